"""The resource aws:ec2/route:Route.

Calls, ids and errors are those of aws_route (terraform-provider-aws,
internal/service/ec2/vpc_route.go).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from ipaddress import ip_interface, ip_network
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError

from sandbox.pulumi.resource import (
    STRING,
    UNKNOWN,
    InitFailedError,
    Properties,
    ProviderError,
    ResourceProvider,
    Timeouts,
    code,
    failing,
)

_IDENTITY: Final = ("routeTableId", "destinationCidrBlock", "destinationIpv6CidrBlock")
_TARGETS: Final = {"networkInterfaceId": "NetworkInterfaceId", "gatewayId": "GatewayId"}
_OUTPUTS: Final = {
    "destinationCidrBlock": "DestinationCidrBlock",
    "destinationIpv6CidrBlock": "DestinationIpv6CidrBlock",
    "gatewayId": "GatewayId",
    "instanceId": "InstanceId",
    "instanceOwnerId": "InstanceOwnerId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "origin": "Origin",
    "state": "State",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}
_AGREEING_ANSWERS: Final = 2


class Key(NamedTuple):
    """The identity of a route."""

    table: str
    destination: str

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Key:
        """Return the identity of the route with these properties."""
        table, *destinations = map(properties.get, _IDENTITY)
        return cls(str(table), str(next(filter(None, destinations), "")))

    @property
    def cidr(self) -> str:
        """The name of the property with the destination."""
        return _IDENTITY[2] if ":" in self.destination else _IDENTITY[1]

    @property
    def resource_id(self) -> str:
        """The id in the engine's state."""
        return f"r-{self.table}{zlib.crc32(self.destination.encode())}"

    def request(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a call of EC2, with the target from the inputs."""
        request = {"RouteTableId": self.table, _OUTPUTS[self.cidr]: self.destination}
        targets = {name: inputs.get(key) for key, name in _TARGETS.items()}
        return request | {name: target for name, target in targets.items() if target}

    def __str__(self) -> str:
        place = f"Route Table ({self.table}) with destination ({self.destination})"
        return f"Route in {place}"


class RouteProvider(ResourceProvider):
    """Routes of route tables."""

    inputs = dict.fromkeys((*_IDENTITY, *_TARGETS), STRING)
    outputs = ("instanceId", "origin", "state")
    replacing = _IDENTITY
    timeouts = Timeouts(create=300, update=120, delete=300)

    def problem(self, key: str, value: object) -> str | None:
        """Return the problem of one input of a route, or None."""
        if problem := super().problem(key, value):
            return problem
        if key == "routeTableId" or key in _TARGETS or value == UNKNOWN:
            return None
        family = "IPv6" if key == "destinationIpv6CidrBlock" else "IPv4"
        text = str(value)
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            return f'"{text}" is not a valid CIDR block: invalid CIDR address: {text}'
        if f"IPv{network.version}" != family:
            return f'"{text}" is not a valid {family} CIDR block'
        if ip_interface(text).ip != network.network_address:
            return (
                f'"{text}" is not a valid {family} CIDR block;'
                f' did you mean "{network}"?'
            )
        return None

    def create(self, inputs: Properties, timeout: float) -> tuple[str, Properties]:
        """Create one route, unless its destination already exists."""
        key = Key.of(inputs)
        with failing(f"reading {key}"):
            existing = self._find(key)
        if existing and existing.get("Origin") == "CreateRoute":
            raise ProviderError(f"api error RouteAlreadyExists: {key} already exists")
        with failing(f"creating {key}"):
            self._ec2.create_route(**key.request(inputs))
        return key.resource_id, self._created(key, inputs, timeout)

    def update(
        self, _id: str, _olds: Properties, news: Properties, timeout: float
    ) -> Properties:
        """Retarget the route in place."""
        key = Key.of(news)
        with failing(f"updating {key}"):
            self._ec2.replace_route(**key.request(news))
        return self._created(key, news, timeout)

    def read(
        self, resource_id: str, state: Properties
    ) -> tuple[str, Properties] | None:
        """Return a route's id and properties, None if it's deleted."""
        key = Key.of(state) if state else self._imported(resource_id)
        with failing(f"reading {key}"):
            route = self._find(key)
        if not route:
            return None
        properties = self._properties(key, route)
        return Key.of(properties).resource_id, properties

    def delete(self, _id: str, state: Properties, timeout: float) -> None:
        """Delete a route, if it still exists."""
        key = Key.of(state)
        with failing(f"deleting {key}"):
            try:
                self._ec2.delete_route(**key.request({}))
            except ClientError as error:
                if code(error) == "InvalidRoute.NotFound":
                    return
                raise
        with failing(f"waiting for {key} to delete"):
            self._wait(lambda: not self._find(key), timeout, _AGREEING_ANSWERS)

    def _created(self, key: Key, inputs: Properties, timeout: float) -> Properties:
        """Wait until the route is visible, then read it once more."""
        try:
            with failing(f"waiting for {key} to become available"):
                self._wait(lambda: self._find(key), timeout, _AGREEING_ANSWERS)
            with failing(f"reading {key}"):
                route = self._find(key)
        except ProviderError as error:
            raise InitFailedError(str(error), key.resource_id, inputs) from None
        if not route:
            message = f"reading {key}: couldn't find resource"
            raise InitFailedError(message, key.resource_id, inputs)
        return self._properties(key, route)

    def _find(self, key: Key) -> Mapping[str, Any] | None:
        try:
            answer = self._ec2.describe_route_tables(RouteTableIds=[key.table])
        except ClientError as error:
            if code(error) == "InvalidRouteTableID.NotFound":
                return None
            raise
        name = _OUTPUTS[key.cidr]
        destination = ip_interface(key.destination)
        for table in answer["RouteTables"]:
            for route in table["Routes"]:
                if name in route and ip_interface(route[name]) == destination:
                    return dict(route)
        return None

    def _properties(self, key: Key, route: Mapping[str, Any]) -> Properties:
        known = {output: route.get(name) or "" for output, name in _OUTPUTS.items()}
        return {"routeTableId": key.table, "region": self._region} | known

    def _comparable(self, properties: Mapping[str, Any], key: str) -> object:
        """Return a value in which two spellings of an IPv6 network are equal."""
        value = properties.get(key) or ""
        if key == "destinationIpv6CidrBlock" and value and value != UNKNOWN:
            return ip_interface(value)
        return value

    def _imported(self, import_id: str) -> Key:
        table, _, destination = import_id.partition("_")
        if not table or not destination or "_" in destination:
            raise ProviderError(
                f'unexpected format of ID ("{import_id}"), expected'
                " ROUTETABLEID_DESTINATION"
            )
        key = Key(table, destination)
        if problem := self.problem(key.cidr, destination):
            raise ProviderError(problem)
        return key
