"""What the resources of the stand-in for the AWS plugin have in common."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto import status_pb2

from routes.aws.clients import Clients

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's value for a string that isn't known yet."""
STRING: Final = {"type": "string"}
"""The type of a property in the package schema."""
_LONGEST_PAUSE: Final = 10.0

Properties: TypeAlias = dict[str, Any]


class Timeouts(NamedTuple):
    """Seconds after which an operation fails, unless the program sets others."""

    create: float
    update: float
    delete: float


class ProviderError(Exception):
    """An expected failure of one operation, which the engine shows."""


class InitFailedError(ProviderError):
    """The resource exists, but a later step failed; the engine keeps its state."""

    def __init__(self, message: str, resource_id: str, inputs: Properties) -> None:
        super().__init__(message)
        self._id = resource_id
        self._inputs = inputs

    @property
    def trailer(self) -> tuple[str, bytes]:
        """The gRPC trailer that gives the engine the resource's id and properties."""
        properties = struct(self._inputs)
        details = AnyMessage()
        details.Pack(
            pb.ErrorResourceInitFailed(
                id=self._id,
                properties=properties,
                inputs=properties,
                reasons=[str(self)],
            )
        )
        status = status_pb2.Status(
            code=grpc.StatusCode.UNKNOWN.value[0], message=str(self), details=[details]
        )
        return "grpc-status-details-bin", status.SerializeToString()


class ResourceProvider(ABC):
    """One type of resource, one EC2 call after the other.

    Attributes:
        inputs: the inputs that it serves, with their types in the package schema.
        outputs: the other properties, which EC2 decides.
        replacing: the inputs that replace the resource if they change.
        stopping: the inputs for whose update the real provider stops the instance.
        timeouts: those of the real provider.
    """

    inputs: ClassVar[Mapping[str, Mapping[str, object]]]
    outputs: ClassVar[tuple[str, ...]]
    replacing: ClassVar[tuple[str, ...]]
    stopping: ClassVar[tuple[str, ...]] = ()
    timeouts: ClassVar[Timeouts]

    def __init__(self, clients: Clients, cancelled: threading.Event) -> None:
        self._ec2: Any = clients.ec2
        self._region = clients.region
        self._cancelled = cancelled

    def problem(self, key: str, _: object) -> str | None:
        """Return the problem of one input, or None."""
        if key in self.inputs:
            return None
        return f"the sandbox's stand-in for the AWS provider does not serve {key!r}"

    def changed(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[str]:
        """Return the inputs in which the new ones differ from the state."""
        return [
            key
            for key in self.inputs
            if self._comparable(olds, key) != self._comparable(news, key)
        ]

    @abstractmethod
    def create(self, inputs: Properties, timeout: float) -> tuple[str, Properties]:
        """Create the resource, and return its id and its properties."""

    @abstractmethod
    def update(
        self, resource_id: str, olds: Properties, news: Properties, timeout: float
    ) -> Properties:
        """Update the resource in place, and return its properties."""

    @abstractmethod
    def read(
        self, resource_id: str, state: Properties
    ) -> tuple[str, Properties] | None:
        """Return a resource's id and properties, None if it's deleted.

        An import has no state.
        """

    @abstractmethod
    def delete(self, resource_id: str, state: Properties, timeout: float) -> None:
        """Delete the resource, if it still exists."""

    @abstractmethod
    def _comparable(self, properties: Mapping[str, Any], key: str) -> object:
        """Return a value in which two spellings of one input are equal."""

    def _wait(
        self, is_done: Callable[[], object], timeout: float, answers: int = 1
    ) -> None:
        """Poll until so many answers in a row agree, at growing intervals before."""
        end = time.monotonic() + timeout
        pause, agreeing = 0.1, 0
        while True:
            agreeing = agreeing + 1 if is_done() else 0
            if agreeing == answers:
                return
            if not agreeing:
                pause = min(2 * pause, _LONGEST_PAUSE)
            if time.monotonic() + pause > end:
                raise TimeoutError(f"timeout while waiting, after {timeout:.0f} s")
            if self._cancelled.wait(pause):
                raise ProviderError("context canceled")


@contextmanager
def failing(action: str) -> Iterator[None]:
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
            f" {metadata.get('RequestId')}, api error {code(error)}:"
            f" {error.response.get('Error', {}).get('Message')}"
        ) from None
    except (BotoCoreError, TimeoutError) as error:
        raise ProviderError(f"{action}: {error}") from None


def code(error: ClientError) -> str:
    """Return the code of an AWS error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def struct(values: Mapping[str, Any]) -> Struct:
    """Return properties as the engine's protocol has them."""
    return ParseDict(dict(values), Struct())
