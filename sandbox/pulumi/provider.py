"""A stand-in for pulumi-resource-aws, for machines that cannot download it.

It serves the one resource and the two functions that the program uses, over the
engine's own protocol. It makes the calls that the real provider makes, in its order:
the Terraform AWS provider's `aws_route` (internal/service/ec2/vpc_route.go), with its
ids, import ids and errors. It refuses an endpoint that is not on this machine.
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
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, provider_pb2, status_pb2
from pulumi.runtime.proto.provider_pb2_grpc import (
    ResourceProviderServicer,
    add_ResourceProviderServicer_to_server,
)

from routes.aws.access import load_access
from routes.aws.clients import POOL_SIZE, Clients, connect, region_of
from routes.errors import RoutesError

_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine's protocol writes a string that is not known yet."""
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
"""Attempts of one call; this and the seconds above are the real one's defaults."""
_AGREEING_ANSWERS: Final = 2
_LONGEST_PAUSE: Final = 10.0

Properties: TypeAlias = dict[str, Any]
Context: TypeAlias = grpc.ServicerContext


class ProviderError(Exception):
    """What the engine shows as the failure of one operation."""


class HalfDoneError(ProviderError):
    """The route stands, but what followed failed: the engine keeps it in its state."""

    def __init__(self, message: str, inputs: Properties) -> None:
        super().__init__(message)
        self.inputs = inputs


def _answered(serve: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Context], Any]:
    """Hand an expected failure to the engine as its message alone."""

    def method(self: Any, request: Any, context: Context) -> Any:
        try:
            return serve(self, request)
        except (ProviderError, RoutesError) as error:
            if isinstance(error, HalfDoneError):
                context.set_trailing_metadata((_half_done(error),))
            context.abort(grpc.StatusCode.UNKNOWN, str(error))

    return method


class RouteProvider:
    """The resource aws:ec2/route:Route, one EC2 call after the other."""

    def __init__(self, clients: Clients, cancelled: threading.Event) -> None:
        self._ec2: Any = clients.ec2
        self._region = clients.region
        self._cancelled = cancelled

    def create(self, inputs: Properties, timeout: float) -> tuple[str, Properties]:
        """Create one route, unless one with its destination stands already."""
        table, destination = _identity(inputs)
        place = f"Route in Route Table ({table}) with destination ({destination})"
        with _failing(f"reading {place}"):
            found = self._find(table, destination)
        if found and found.get("Origin") == "CreateRoute":
            raise ProviderError(f"api error RouteAlreadyExists: {place} already exists")
        with _failing(f"creating {place}"):
            self._ec2.create_route(**_request(inputs))
        return _resource_id(table, destination), self._settled(inputs, timeout)

    def update(self, inputs: Properties, timeout: float) -> Properties:
        """Point the route at another target, in place."""
        table, destination = _identity(inputs)
        place = f"Route in Route Table ({table}) with destination ({destination})"
        with _failing(f"updating {place}"):
            self._ec2.replace_route(**_request(inputs))
        return self._settled(inputs, timeout)

    def read(self, resource_id: str, state: Properties) -> Properties | None:
        """Return a route's properties, None if it is gone; an import has no state."""
        if not state:
            table, _, destination = resource_id.partition("_")
            if not table or not destination or "_" in destination:
                raise ProviderError(
                    f'unexpected format of ID ("{resource_id}"), expected'
                    " ROUTETABLEID_DESTINATION"
                )
            key = _destination_key(destination)
            if fault := _fault(key, destination):
                raise ProviderError(fault)
            state = {"routeTableId": table, key: destination}
        table, destination = _identity(state)
        with _failing(
            f"reading Route in Route Table ({table}) with destination ({destination})"
        ):
            found = self._find(table, destination)
        return self._properties(table, found) if found else None

    def delete(self, state: Properties, timeout: float) -> None:
        """Delete a route; one that is gone already is no error."""
        table, destination = _identity(state)
        place = f"Route in Route Table ({table}) with destination ({destination})"
        with _failing(f"deleting {place}"):
            try:
                self._ec2.delete_route(**_entry(table, destination))
            except ClientError as error:
                if _code(error) == "InvalidRoute.NotFound":
                    return
                raise
        with _failing(f"waiting for {place} to delete"):
            self._wait(lambda: not self._find(table, destination), timeout)

    def _settled(self, inputs: Properties, timeout: float) -> Properties:
        """Wait until the route is visible, then read it once more."""
        table, destination = _identity(inputs)
        place = f"Route in Route Table ({table}) with destination ({destination})"
        try:
            with _failing(f"waiting for {place} to become available"):
                self._wait(lambda: self._find(table, destination), timeout)
            with _failing(f"reading {place}"):
                found = self._find(table, destination)
        except ProviderError as error:
            raise HalfDoneError(str(error), inputs) from None
        if not found:
            raise HalfDoneError(f"reading {place}: couldn't find resource", inputs)
        return self._properties(table, found)

    def _wait(self, is_so: Callable[[], Any], timeout: float) -> None:
        """Ask until two answers in a row say so, less and less often until then."""
        end = time.monotonic() + timeout
        pause, agreed = 0.1, 0
        while True:
            agreed = agreed + 1 if is_so() else 0
            if agreed == _AGREEING_ANSWERS:
                return
            if not agreed:
                pause = min(2 * pause, _LONGEST_PAUSE)
            if time.monotonic() + pause > end:
                raise TimeoutError(f"timeout while waiting, after {timeout:.0f} s")
            if self._cancelled.wait(pause):
                raise ProviderError("context canceled")

    def _find(self, table: str, destination: str) -> Mapping[str, Any] | None:
        try:
            answer = self._ec2.describe_route_tables(RouteTableIds=[table])
        except ClientError as error:
            if _code(error) == "InvalidRouteTableID.NotFound":
                return None
            raise
        routes = [r for found in answer["RouteTables"] for r in found["Routes"]]
        name = _OUTPUTS[_destination_key(destination)]
        wanted = ip_interface(destination)
        return next(
            (r for r in routes if r.get(name) and ip_interface(r[name]) == wanted), None
        )

    def _properties(self, table: str, route: Mapping[str, Any]) -> Properties:
        known = {key: route.get(name) or "" for key, name in _OUTPUTS.items()}
        return {"routeTableId": table, "region": self._region} | known


class Servicer(ResourceProviderServicer):
    """The engine's protocol around it; methods bear the protocol's names."""

    def __init__(self) -> None:
        self._account: Properties = {}
        self._cancelled = threading.Event()
        self._routes: RouteProvider | None = None
        self._region = ""

    def GetPluginInfo(self, _: Empty, __: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=version("pulumi-aws"))

    def GetSchema(self, _: Any, __: Context) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema='{"name": "aws"}')

    def Attach(self, _: Any, __: Context) -> Empty:
        return Empty()

    def Cancel(self, _: Empty, __: Context) -> Empty:
        self._cancelled.set()
        return Empty()

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, _: Context
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, _: Any, __: Context) -> provider_pb2.DiffResponse:
        """Let the engine compare; a changed configuration is then used at once."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_UNKNOWN)

    @_answered
    def Configure(
        self, request: provider_pb2.ConfigureRequest
    ) -> provider_pb2.ConfigureResponse:
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
            connect(access, self._region)  # the real one first sees that it can
            clients = connect(access, self._region)
        with _failing("retrieving AWS account details"):
            answer = clients.sts.get_caller_identity()
        _refuse_account(config, answer["Account"])
        self._account = {
            "accountId": answer["Account"],
            "arn": answer["Arn"],
            "id": answer["Account"],
            "userId": answer["UserId"],
        }
        self._sts = clients.sts
        self._cancelled = threading.Event()  # an attached one outlives a cancellation
        self._routes = RouteProvider(clients, self._cancelled)
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    @_answered
    def Invoke(
        self, request: provider_pb2.InvokeRequest
    ) -> provider_pb2.InvokeResponse:
        region = {"region": self._region, "name": self._region, "id": self._region}
        match request.tok:
            case "aws:index/getRegion:getRegion":
                found = region | {"description": "", "endpoint": ""}
            case "aws:index/getCallerIdentity:getCallerIdentity":
                self._sts.get_caller_identity()
                found = self._account
            case token:
                raise ProviderError(f"the stand-in does not serve {token}")
        return provider_pb2.InvokeResponse(**{"return": _struct(found)})

    def Check(
        self, request: provider_pb2.CheckRequest, _: Context
    ) -> provider_pb2.CheckResponse:
        inputs = MessageToDict(request.news)
        name = request.urn.rpartition("::")[2]
        failures = [
            provider_pb2.CheckFailure(
                property=key, reason=f"{fault}. Examine values at '{name}.{key}'."
            )
            for key, value in inputs.items()
            if (fault := _fault(key, value))
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @_answered
    def Diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        olds, news = MessageToDict(request.olds), MessageToDict(request.news)
        keys = (*_IDENTITY, *_TARGETS)
        changed = [
            key for key in keys if _comparable(news, key) != _comparable(olds, key)
        ]
        answer = provider_pb2.DiffResponse
        kind = provider_pb2.PropertyDiff
        return answer(
            changes=answer.DIFF_SOME if changed else answer.DIFF_NONE,
            diffs=changed,
            replaces=[key for key in changed if key in _IDENTITY],
            detailedDiff={
                key: kind(kind=kind.UPDATE_REPLACE if key in _IDENTITY else kind.UPDATE)
                for key in changed
            },
            hasDetailedDiff=True,
        )

    @_answered
    def Create(
        self, request: provider_pb2.CreateRequest
    ) -> provider_pb2.CreateResponse:
        inputs = MessageToDict(request.properties)
        if request.preview:
            unknown = dict.fromkeys(("instanceId", "origin", "state"), _UNKNOWN)
            return provider_pb2.CreateResponse(properties=_struct(unknown | inputs))
        timeout = request.timeout or _CREATE_SECONDS
        resource_id, made = self._route.create(inputs, timeout)
        return provider_pb2.CreateResponse(id=resource_id, properties=_struct(made))

    @_answered
    def Update(
        self, request: provider_pb2.UpdateRequest
    ) -> provider_pb2.UpdateResponse:
        news = MessageToDict(request.news)
        if request.preview:
            olds = MessageToDict(request.olds)
            return provider_pb2.UpdateResponse(properties=_struct(olds | news))
        made = self._route.update(news, request.timeout or _UPDATE_SECONDS)
        return provider_pb2.UpdateResponse(properties=_struct(made))

    @_answered
    def Read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        found = self._route.read(request.id, MessageToDict(request.properties))
        if not found:
            return provider_pb2.ReadResponse()
        inputs = {key: found[key] for key in (*_IDENTITY, *_TARGETS) if found.get(key)}
        table, destination = _identity(found)
        return provider_pb2.ReadResponse(
            id=_resource_id(table, destination),
            properties=_struct(found),
            inputs=_struct(inputs),
        )

    @_answered
    def Delete(self, request: provider_pb2.DeleteRequest) -> Empty:
        self._route.delete(
            MessageToDict(request.properties), request.timeout or _DELETE_SECONDS
        )
        return Empty()

    @property
    def _route(self) -> RouteProvider:
        if not self._routes:
            raise ProviderError("the provider is not configured")
        return self._routes


def _identity(properties: Mapping[str, Any]) -> tuple[str, str]:
    destination = next(filter(None, map(properties.get, _IDENTITY[1:])), "")
    return str(properties["routeTableId"]), str(destination)


def _destination_key(destination: str) -> str:
    return _IDENTITY[2] if ":" in destination else _IDENTITY[1]


def _request(inputs: Mapping[str, Any]) -> dict[str, Any]:
    table, destination = _identity(inputs)
    return _entry(table, destination) | {
        name: inputs[key] for key, name in _TARGETS.items() if inputs.get(key)
    }


def _entry(table: str, destination: str) -> dict[str, Any]:
    return {"RouteTableId": table, _OUTPUTS[_destination_key(destination)]: destination}


def _resource_id(table: str, destination: str) -> str:
    return f"r-{table}{zlib.crc32(destination.encode())}"


def _comparable(properties: Mapping[str, Any], key: str) -> object:
    """Two ways to write one IPv6 network are no difference."""
    value = properties.get(key) or ""
    if key == "destinationIpv6CidrBlock" and value and value != _UNKNOWN:
        return ip_interface(value)
    return value


def _fault(key: str, value: Any) -> str | None:
    """Say what is wrong with one input of a route."""
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


def _half_done(error: HalfDoneError) -> tuple[str, bytes]:
    """Return the header that tells the engine what stands nevertheless."""
    table, destination = _identity(error.inputs)
    properties = _struct(error.inputs)
    details = AnyMessage()
    details.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=_resource_id(table, destination),
            properties=properties,
            inputs=properties,
            reasons=[str(error)],
        )
    )
    status = status_pb2.Status(
        code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[details]
    )
    return "grpc-status-details-bin", status.SerializeToString()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _struct(values: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


@contextmanager
def _failing(action: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        details = error.response
        metadata = details.get("ResponseMetadata", {})
        sts = error.operation_name in {"AssumeRole", "GetCallerIdentity"}
        raise ProviderError(
            f"{action}: operation error {'STS' if sts else 'EC2'}:"
            f" {error.operation_name}, https response"
            f" error StatusCode: {metadata.get('HTTPStatusCode')}, RequestID:"
            f" {metadata.get('RequestId')}, api error {_code(error)}:"
            f" {details.get('Error', {}).get('Message')}"
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
    """End with the engine, however it ends."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> None:
    """Serve until the engine is gone, and tell it the port on standard output."""
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
