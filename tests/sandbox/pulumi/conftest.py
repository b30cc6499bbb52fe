"""The engine's side of the stand-in for the AWS plugin, and a lab for its calls."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from sandbox.pulumi.provider import Servicer

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class RefusedError(Exception):
    """The error of an operation, as the engine would show it."""


class Context:
    """The servicer's side of a gRPC call."""

    def __init__(self) -> None:
        self.trailers: tuple[tuple[str, bytes], ...] = ()

    def set_trailing_metadata(self, trailers: tuple[tuple[str, bytes], ...]) -> None:
        self.trailers = trailers

    def abort(self, code: grpc.StatusCode, text: str) -> None:
        assert code is grpc.StatusCode.UNKNOWN
        raise RefusedError(text)


@dataclass(kw_only=True)
class Engine:
    """The engine's side of one provider and one type of resource, in this process.

    Attributes:
        defaults: the inputs that a test doesn't change.
    """

    provider: Servicer
    local_aws: Sandbox
    type: str
    defaults: Mapping[str, Any]

    def inputs(self, **changes: object) -> dict[str, Any]:
        inputs = {**self.defaults, **changes}
        return {key: value for key, value in inputs.items() if value is not None}

    def create(
        self,
        context: Context | None = None,
        *,
        preview: bool = False,
        **changes: object,
    ) -> provider_pb2.CreateResponse:
        request = provider_pb2.CreateRequest(
            type=self.type, properties=struct(self.inputs(**changes)), preview=preview
        )
        answer: provider_pb2.CreateResponse = self.provider.Create(
            request, context or Context()
        )
        return answer

    def update(
        self,
        context: Context | None = None,
        *,
        resource_id: str = "",
        preview: bool = False,
        **changes: object,
    ) -> provider_pb2.UpdateResponse:
        request = provider_pb2.UpdateRequest(
            type=self.type,
            id=resource_id,
            olds=struct(self.inputs()),
            news=struct(self.inputs(**changes)),
            preview=preview,
        )
        answer: provider_pb2.UpdateResponse = self.provider.Update(
            request, context or Context()
        )
        return answer

    def delete(self, resource_id: str = "", **changes: object) -> None:
        properties = struct(self.inputs(**changes))
        request = provider_pb2.DeleteRequest(
            type=self.type, id=resource_id, properties=properties
        )
        self.provider.Delete(request, Context())

    def read(
        self, resource_id: str, state: Mapping[str, Any] | None = None
    ) -> provider_pb2.ReadResponse:
        request = provider_pb2.ReadRequest(
            type=self.type, id=resource_id, properties=struct(state or {})
        )
        answer: provider_pb2.ReadResponse = self.provider.Read(request, Context())
        return answer

    def diff(
        self, olds: Mapping[str, Any], news: Mapping[str, Any]
    ) -> provider_pb2.DiffResponse:
        request = provider_pb2.DiffRequest(
            type=self.type, olds=struct(olds), news=struct(news)
        )
        answer: provider_pb2.DiffResponse = self.provider.Diff(request, Context())
        return answer

    def check(self, **changes: object) -> list[str]:
        request = provider_pb2.CheckRequest(
            type=self.type, name="r", news=struct(self.inputs(**changes))
        )
        answer = self.provider.Check(request, Context())
        return [failure.reason for failure in answer.failures]

    def calls(self) -> list[str]:
        """Return the actions called since the last call of this method."""
        actions = [call.action for call in self.local_aws.calls()]
        self.local_aws.clear_calls()
        return actions

    def inject(self, fault: Fault) -> None:
        self.local_aws.control(Control(faults=(fault,)))


def struct(values: Mapping[str, Any]) -> Struct:
    message = Struct()
    message.update(dict(values))
    return message


def values(message: Struct) -> dict[str, Any]:
    properties: dict[str, Any] = MessageToDict(message)
    return properties


def configure(**variables: str) -> Servicer:
    """Return a provider with the `aws:` keys of a stack."""
    provider = Servicer()
    named = {f"aws:config:{key}": value for key, value in variables.items()}
    request = provider_pb2.ConfigureRequest(variables=named)
    provider.Configure(request, Context())
    return provider


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def lab(running: Sandbox) -> labs.Lab:
    return labs.create_lab(running.client("ec2"))


@pytest.fixture(scope="module")
def ec2(running: Sandbox) -> EC2Client:
    return running.client("ec2")


@pytest.fixture
def local_aws(
    running: Sandbox,
    ec2: EC2Client,
    lab: labs.Lab,
    aws_environment: pytest.MonkeyPatch,
) -> Sandbox:
    """Return the sandbox with the lab, without pod routes, faults and calls."""
    running.control(Control())
    for destination in labs.routes(ec2, lab.table_id):
        if destination.startswith("10.200."):
            ec2.delete_route(
                RouteTableId=lab.table_id, DestinationCidrBlock=destination
            )
    for name, value in running.environment.items():
        aws_environment.setenv(name, value)
    running.clear_calls()
    return running


@pytest.fixture(scope="module")
def configured(running: Sandbox) -> Servicer:
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("AWS_"):
                patch.delenv(name)
        for name, value in running.environment.items():
            patch.setenv(name, value)
        return configure()
