"""A stand-in for pulumi-resource-aws: one resource and two functions, for the sandbox.

Calls, ids and errors are those of aws_route (terraform-provider-aws,
internal/service/ec2/vpc_route.go). Endpoints outside this machine are refused.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, status_pb2
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto.provider_pb2_grpc import (
    ResourceProviderServicer,
    add_ResourceProviderServicer_to_server,
)

from routes.aws.access import load_access
from routes.aws.clients import POOL_SIZE, Clients, connect, region_of
from routes.errors import RoutesError

_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's value for a string that isn't known yet."""
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
_CREATE_SECONDS: Final = 300.0
_UPDATE_SECONDS: Final = 120.0
_DELETE_SECONDS: Final = 300.0
_RETRIES: Final = "25"
"""The attempts of one call; this and the seconds above are aws_route's defaults."""
_AGREEING_ANSWERS: Final = 2
_LONGEST_PAUSE: Final = 10.0

Properties: TypeAlias = dict[str, Any]
Context: TypeAlias = grpc.ServicerContext


class Key(NamedTuple):
    """The identity of a route."""

    table: str
    destination: str

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Key:
        table, *destinations = map(properties.get, _IDENTITY)
        return cls(str(table), str(next(filter(None, destinations), "")))

    @property
    def cidr(self) -> str:
        """The name of the property with the destination."""
        return _IDENTITY[2] if ":" in self.destination else _IDENTITY[1]

    @property
    def resource_id(self) -> str:
        return f"r-{self.table}{zlib.crc32(self.destination.encode())}"

    def request(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a call of EC2, with the target from the inputs."""
        request = {"RouteTableId": self.table, _OUTPUTS[self.cidr]: self.destination}
        targets = {name: inputs.get(key) for key, name in _TARGETS.items()}
        return request | {name: target for name, target in targets.items() if target}

    def __str__(self) -> str:
        place = f"Route Table ({self.table}) with destination ({self.destination})"
        return f"Route in {place}"


class ProviderError(Exception):
    """An expected failure of one operation, which the engine shows."""


class InitFailedError(ProviderError):
    """The route exists, but a later step failed: the engine keeps it in its state."""

    def __init__(self, message: str, inputs: Properties) -> None:
        super().__init__(message)
        self._inputs = inputs

    @property
    def trailer(self) -> tuple[str, bytes]:
        """The gRPC trailer that gives the engine the route's id and properties."""
        properties = _struct(self._inputs)
        details = AnyMessage()
        details.Pack(
            pb.ErrorResourceInitFailed(
                id=Key.of(self._inputs).resource_id,
                properties=properties,
                inputs=properties,
                reasons=[str(self)],
            )
        )
        status = status_pb2.Status(
            code=grpc.StatusCode.UNKNOWN.value[0], message=str(self), details=[details]
        )
        return "grpc-status-details-bin", status.SerializeToString()


def _answered(serve: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Context], Any]:
    """Give the engine the message of an expected failure, without a traceback."""

    def method(self: Any, request: Any, context: Context) -> Any:
        try:
            return serve(self, request)
        except (ProviderError, RoutesError) as error:
            if isinstance(error, InitFailedError):
                context.set_trailing_metadata((error.trailer,))
            context.abort(grpc.StatusCode.UNKNOWN, str(error))

    return method


class RouteProvider:
    """The resource aws:ec2/route:Route, one EC2 call after the other."""

    def __init__(self, clients: Clients, cancelled: threading.Event) -> None:
        self._ec2: Any = clients.ec2
        self._region = clients.region
        self._cancelled = cancelled

    def create(self, inputs: Properties, timeout: float) -> tuple[str, Properties]:
        """Create one route, unless its destination already exists."""
        key = Key.of(inputs)
        with _failing(f"reading {key}"):
            existing = self._find(key)
        if existing and existing.get("Origin") == "CreateRoute":
            raise ProviderError(f"api error RouteAlreadyExists: {key} already exists")
        with _failing(f"creating {key}"):
            self._ec2.create_route(**key.request(inputs))
        return key.resource_id, self._created(key, inputs, timeout)

    def update(self, inputs: Properties, timeout: float) -> Properties:
        """Retarget the route in place."""
        key = Key.of(inputs)
        with _failing(f"updating {key}"):
            self._ec2.replace_route(**key.request(inputs))
        return self._created(key, inputs, timeout)

    def read(self, resource_id: str, state: Properties) -> Properties | None:
        """Return a route's properties, None if it's deleted; an import has no state."""
        key = Key.of(state) if state else _imported(resource_id)
        with _failing(f"reading {key}"):
            route = self._find(key)
        return self._properties(key, route) if route else None

    def delete(self, state: Properties, timeout: float) -> None:
        """Delete a route, if it still exists."""
        key = Key.of(state)
        with _failing(f"deleting {key}"):
            try:
                self._ec2.delete_route(**key.request({}))
            except ClientError as error:
                if _code(error) == "InvalidRoute.NotFound":
                    return
                raise
        with _failing(f"waiting for {key} to delete"):
            self._wait(lambda: not self._find(key), timeout)

    def _created(self, key: Key, inputs: Properties, timeout: float) -> Properties:
        """Wait until the route is visible, then read it once more."""
        try:
            with _failing(f"waiting for {key} to become available"):
                self._wait(lambda: self._find(key), timeout)
            with _failing(f"reading {key}"):
                route = self._find(key)
        except ProviderError as error:
            raise InitFailedError(str(error), inputs) from None
        if not route:
            raise InitFailedError(f"reading {key}: couldn't find resource", inputs)
        return self._properties(key, route)

    def _wait(self, is_done: Callable[[], Any], timeout: float) -> None:
        """Poll until two answers in a row agree, at growing intervals until then."""
        end = time.monotonic() + timeout
        pause, agreeing = 0.1, 0
        while True:
            agreeing = agreeing + 1 if is_done() else 0
            if agreeing == _AGREEING_ANSWERS:
                return
            if not agreeing:
                pause = min(2 * pause, _LONGEST_PAUSE)
            if time.monotonic() + pause > end:
                raise TimeoutError(f"timeout while waiting, after {timeout:.0f} s")
            if self._cancelled.wait(pause):
                raise ProviderError("context canceled")

    def _find(self, key: Key) -> Mapping[str, Any] | None:
        try:
            answer = self._ec2.describe_route_tables(RouteTableIds=[key.table])
        except ClientError as error:
            if _code(error) == "InvalidRouteTableID.NotFound":
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


def _imported(import_id: str) -> Key:
    table, _, destination = import_id.partition("_")
    if not table or not destination or "_" in destination:
        raise ProviderError(
            f'unexpected format of ID ("{import_id}"), expected'
            " ROUTETABLEID_DESTINATION"
        )
    key = Key(table, destination)
    if problem := _problem(key.cidr, destination):
        raise ProviderError(problem)
    return key


class Servicer(ResourceProviderServicer):
    """The engine's protocol; the methods have the protocol's names."""

    _routes: RouteProvider
    _sts: Any
    _region: str

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def GetPluginInfo(self, _: Empty, __: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=version("pulumi-aws"))

    def GetSchema(self, _: Any, __: Context) -> pb.GetSchemaResponse:
        return pb.GetSchemaResponse(schema='{"name": "aws"}')

    def Attach(self, _: Any, __: Context) -> Empty:
        return Empty()

    def Cancel(self, _: Empty, __: Context) -> Empty:
        self._cancelled.set()
        return Empty()

    def CheckConfig(self, request: pb.CheckRequest, _: Context) -> pb.CheckResponse:
        return pb.CheckResponse(inputs=request.news)

    def DiffConfig(self, _: Any, __: Context) -> pb.DiffResponse:
        """Let the engine compare, so that it uses a changed configuration at once."""
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_UNKNOWN)

    @_answered
    def Configure(self, request: pb.ConfigureRequest) -> pb.ConfigureResponse:
        config = {
            f"aws:{key.rpartition(':')[2]}": value
            for key, value in request.variables.items()
        }
        access = load_access({"aws:maxRetries": _RETRIES} | config)
        self._region = region_of(access)
        clients = connect(replace(access, roles=()), self._region)
        for client in (clients.ec2, clients.sts):
            _refuse_unless_loopback(client.meta.endpoint_url)
        if access.roles:
            connect(access, self._region)  # the real one first checks whether it can
            clients = connect(access, self._region)
        with _failing("retrieving AWS account details"):
            account = clients.sts.get_caller_identity()["Account"]
        _refuse_account(config, account)
        self._sts = clients.sts
        self._cancelled = threading.Event()  # an attached plugin outlives an update
        self._routes = RouteProvider(clients, self._cancelled)
        return pb.ConfigureResponse(supportsPreview=True)

    @_answered
    def Invoke(self, request: pb.InvokeRequest) -> pb.InvokeResponse:
        region = {"region": self._region, "name": self._region, "id": self._region}
        match request.tok:
            case "aws:index/getRegion:getRegion":
                values = region | {"description": "", "endpoint": ""}
            case "aws:index/getCallerIdentity:getCallerIdentity":
                caller = self._sts.get_caller_identity()
                values = {
                    "accountId": caller["Account"],
                    "arn": caller["Arn"],
                    "id": caller["Account"],
                    "userId": caller["UserId"],
                }
            case token:
                raise ProviderError(f"the stand-in does not serve {token}")
        return pb.InvokeResponse(**{"return": _struct(values)})

    def Check(self, request: pb.CheckRequest, _: Context) -> pb.CheckResponse:
        inputs = MessageToDict(request.news)
        name = request.urn.rpartition("::")[2]
        failures = [
            pb.CheckFailure(
                property=key, reason=f"{problem}. Examine values at '{name}.{key}'."
            )
            for key, value in inputs.items()
            if (problem := _problem(key, value))
        ]
        return pb.CheckResponse(inputs=request.news, failures=failures)

    @_answered
    def Diff(self, request: pb.DiffRequest) -> pb.DiffResponse:
        olds, news = MessageToDict(request.olds), MessageToDict(request.news)
        keys = (*_IDENTITY, *_TARGETS)
        changed = [
            key for key in keys if _comparable(news, key) != _comparable(olds, key)
        ]
        kind = pb.PropertyDiff
        return pb.DiffResponse(
            changes=pb.DiffResponse.DIFF_SOME if changed else pb.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=[key for key in changed if key in _IDENTITY],
            detailedDiff={
                key: kind(kind=kind.UPDATE_REPLACE if key in _IDENTITY else kind.UPDATE)
                for key in changed
            },
            hasDetailedDiff=True,
        )

    @_answered
    def Create(self, request: pb.CreateRequest) -> pb.CreateResponse:
        inputs = MessageToDict(request.properties)
        if request.preview:
            unknown = dict.fromkeys(("instanceId", "origin", "state"), _UNKNOWN)
            return pb.CreateResponse(properties=_struct(unknown | inputs))
        timeout = request.timeout or _CREATE_SECONDS
        resource_id, created = self._routes.create(inputs, timeout)
        return pb.CreateResponse(id=resource_id, properties=_struct(created))

    @_answered
    def Update(self, request: pb.UpdateRequest) -> pb.UpdateResponse:
        news = MessageToDict(request.news)
        if request.preview:
            olds = MessageToDict(request.olds)
            return pb.UpdateResponse(properties=_struct(olds | news))
        updated = self._routes.update(news, request.timeout or _UPDATE_SECONDS)
        return pb.UpdateResponse(properties=_struct(updated))

    @_answered
    def Read(self, request: pb.ReadRequest) -> pb.ReadResponse:
        route = self._routes.read(request.id, MessageToDict(request.properties))
        if not route:
            return pb.ReadResponse()
        inputs = {key: route[key] for key in (*_IDENTITY, *_TARGETS) if route.get(key)}
        return pb.ReadResponse(
            id=Key.of(route).resource_id,
            properties=_struct(route),
            inputs=_struct(inputs),
        )

    @_answered
    def Delete(self, request: pb.DeleteRequest) -> Empty:
        self._routes.delete(
            MessageToDict(request.properties), request.timeout or _DELETE_SECONDS
        )
        return Empty()


def _comparable(properties: Mapping[str, Any], key: str) -> object:
    """Return a value in which two spellings of an IPv6 network are equal."""
    value = properties.get(key) or ""
    if key == "destinationIpv6CidrBlock" and value and value != _UNKNOWN:
        return ip_interface(value)
    return value


def _problem(key: str, value: Any) -> str | None:
    """Return the problem of one input of a route, or None."""
    if key not in {*_IDENTITY, *_TARGETS}:
        return f"the sandbox's stand-in for the AWS provider does not serve {key!r}"
    if key == "routeTableId" or key in _TARGETS or value == _UNKNOWN:
        return None
    family = "IPv6" if key == "destinationIpv6CidrBlock" else "IPv4"
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        return f'"{value}" is not a valid CIDR block: invalid CIDR address: {value}'
    if f"IPv{network.version}" != family:
        return f'"{value}" is not a valid {family} CIDR block'
    if ip_interface(value).ip != network.network_address:
        return (
            f'"{value}" is not a valid {family} CIDR block; did you mean "{network}"?'
        )
    return None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _struct(values: Mapping[str, Any]) -> Struct:
    return ParseDict(dict(values), Struct())


@contextmanager
def _failing(action: str) -> Iterator[None]:
    """Raise a failed call as an error with the real provider's message."""
    try:
        yield
    except ClientError as error:
        metadata = error.response.get("ResponseMetadata", {})
        is_sts = error.operation_name in {"AssumeRole", "GetCallerIdentity"}
        raise ProviderError(
            f"{action}: operation error {'STS' if is_sts else 'EC2'}:"
            f" {error.operation_name}, https response"
            f" error StatusCode: {metadata.get('HTTPStatusCode')}, RequestID:"
            f" {metadata.get('RequestId')}, api error {_code(error)}:"
            f" {error.response.get('Error', {}).get('Message')}"
        ) from None
    except (BotoCoreError, TimeoutError) as error:
        raise ProviderError(f"{action}: {error}") from None


def _refuse_unless_loopback(endpoint: str) -> None:
    host = urlsplit(endpoint).hostname or ""
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ProviderError(
            "this is the sandbox's stand-in for the AWS provider, and it serves only"
            f" endpoints on this machine, not {endpoint}. For AWS itself install the"
            " real one: pulumi plugin install resource aws"
        )


def _refuse_account(config: Mapping[str, str], account: str) -> None:
    allowed = json.loads(config.get("aws:allowedAccountIds", "[]"))
    forbidden = json.loads(config.get("aws:forbiddenAccountIds", "[]"))
    if account in forbidden or (allowed and account not in allowed):
        raise ProviderError(f"AWS account ID not allowed: {account}")


def _exit_with_parent() -> None:
    """Exit when the engine exits, even if it is killed."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> None:
    """Print the port for the engine, and serve until the engine exits."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    server = grpc.server(ThreadPoolExecutor(POOL_SIZE))
    add_ResourceProviderServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
