"""A stand-in for pulumi-resource-aws: the engine's protocol, for the sandbox.

It serves two resources and two functions. Endpoints outside this machine are refused.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import botocore.session
import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto.provider_pb2_grpc import (
    ResourceProviderServicer,
    add_ResourceProviderServicer_to_server,
)

from routes.aws.access import load_access
from routes.aws.clients import POOL_SIZE, connect, region_of
from routes.errors import RoutesError
from sandbox.pulumi.instances import InstanceProvider
from sandbox.pulumi.resource import (
    STRING,
    UNKNOWN,
    InitFailedError,
    ProviderError,
    ResourceProvider,
    failing,
    struct,
)
from sandbox.pulumi.routes import RouteProvider

_RESOURCES: Final[Mapping[str, type[ResourceProvider]]] = {
    "aws:ec2/instance:Instance": InstanceProvider,
    "aws:ec2/route:Route": RouteProvider,
}
_FUNCTIONS: Final = {
    "aws:index/getCallerIdentity:getCallerIdentity": (
        "accountId",
        "arn",
        "id",
        "userId",
    ),
    "aws:index/getRegion:getRegion": (
        "description",
        "endpoint",
        "id",
        "name",
        "region",
    ),
}
"""The functions, with the properties of their results."""
_RETRIES: Final = "25"
"""The attempts of one call by default, as in the real provider."""

Context: TypeAlias = grpc.ServicerContext


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


class Servicer(ResourceProviderServicer):
    """The engine's protocol; the methods have the protocol's names."""

    _resources: Mapping[str, ResourceProvider]
    _sts: Any
    _region: str

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def GetPluginInfo(self, _: Empty, __: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=version("pulumi-aws"))

    def GetSchema(self, _: Any, __: Context) -> pb.GetSchemaResponse:
        return pb.GetSchemaResponse(schema=json.dumps(_schema()))

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
        with failing("retrieving AWS account details"):
            account = clients.sts.get_caller_identity()["Account"]
        _refuse_account(config, account)
        self._sts = clients.sts
        self._cancelled = threading.Event()  # an attached plugin outlives an update
        self._resources = {
            token: provider(clients, self._cancelled)
            for token, provider in _RESOURCES.items()
        }
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
        return pb.InvokeResponse(**{"return": struct(values)})

    @_answered
    def Check(self, request: pb.CheckRequest) -> pb.CheckResponse:
        resource = self._resource(request)
        failures = [
            pb.CheckFailure(
                property=key,
                reason=f"{problem}. Examine values at '{request.name}.{key}'.",
            )
            for key, value in MessageToDict(request.news).items()
            if (problem := resource.problem(key, value))
        ]
        return pb.CheckResponse(inputs=request.news, failures=failures)

    @_answered
    def Diff(self, request: pb.DiffRequest) -> pb.DiffResponse:
        resource = self._resource(request)
        changed = resource.changed(
            MessageToDict(request.olds), MessageToDict(request.news)
        )
        replaces = [key for key in changed if key in resource.replacing]
        kind = pb.PropertyDiff
        return pb.DiffResponse(
            changes=pb.DiffResponse.DIFF_SOME if changed else pb.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=replaces,
            detailedDiff={
                key: kind(kind=kind.UPDATE_REPLACE if key in replaces else kind.UPDATE)
                for key in changed
            },
            hasDetailedDiff=True,
        )

    @_answered
    def Create(self, request: pb.CreateRequest) -> pb.CreateResponse:
        resource = self._resource(request)
        inputs = MessageToDict(request.properties)
        if request.preview:
            unknown = dict.fromkeys(resource.outputs, UNKNOWN)
            return pb.CreateResponse(properties=struct(unknown | inputs))
        timeout = request.timeout or resource.timeouts.create
        resource_id, created = resource.create(inputs, timeout)
        return pb.CreateResponse(id=resource_id, properties=struct(created))

    @_answered
    def Update(self, request: pb.UpdateRequest) -> pb.UpdateResponse:
        resource = self._resource(request)
        olds, news = MessageToDict(request.olds), MessageToDict(request.news)
        for key in resource.changed(olds, news):
            if key in resource.stopping:
                raise ProviderError(
                    f"the stand-in does not serve an update of {key!r}, for which the"
                    " real provider stops the instance"
                )
        if request.preview:
            return pb.UpdateResponse(properties=struct(olds | news))
        timeout = request.timeout or resource.timeouts.update
        updated = resource.update(request.id, olds, news, timeout)
        return pb.UpdateResponse(properties=struct(updated))

    @_answered
    def Read(self, request: pb.ReadRequest) -> pb.ReadResponse:
        resource = self._resource(request)
        found = resource.read(request.id, MessageToDict(request.properties))
        if not found:
            return pb.ReadResponse()
        resource_id, properties = found
        inputs = {
            key: properties[key]
            for key in resource.inputs
            if properties.get(key, "") != ""
        }
        return pb.ReadResponse(
            id=resource_id, properties=struct(properties), inputs=struct(inputs)
        )

    @_answered
    def Delete(self, request: pb.DeleteRequest) -> Empty:
        resource = self._resource(request)
        timeout = request.timeout or resource.timeouts.delete
        resource.delete(request.id, MessageToDict(request.properties), timeout)
        return Empty()

    def _resource(self, request: Any) -> ResourceProvider:
        if provider := self._resources.get(request.type):
            return provider
        raise ProviderError(f"the stand-in does not serve {request.type}")


def _schema() -> dict[str, Any]:
    """Return the package schema, which programs in YAML need."""
    resources = {
        token: {
            "inputProperties": provider.inputs,
            "properties": {
                **provider.inputs,
                **dict.fromkeys(provider.outputs, STRING),
            },
            "required": provider.outputs,
        }
        for token, provider in _RESOURCES.items()
    }
    functions = {
        token: {"outputs": {"properties": dict.fromkeys(results, STRING)}}
        for token, results in _FUNCTIONS.items()
    }
    return {"name": "aws", "resources": resources, "functions": functions}


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
    """Print the port for the engine, and serve until the engine exits.

    Service descriptions are read once: that is most of a client's cost.
    """
    botocore.session.create_loader = cache(botocore.session.create_loader)
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
