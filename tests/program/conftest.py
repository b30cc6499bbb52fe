"""Run the entry point as the language host does, with a monitor that records."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import runpy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pulumi
import pytest
from google.protobuf import empty_pb2, json_format
from moto import mock_aws
from pulumi.runtime import mocks, rpc
from pulumi.runtime.settings import ROOT, SETTINGS
from pulumi.runtime.stack import run_in_stack

from routes import cache
from routes.aws.access import load_access
from routes.aws.clients import Clients, connect
from routes.model import COMPONENT_TYPE, ROUTE_TYPE
from sandbox import TOP
from sandbox import lab as labs
from sandbox.lab import Lab
from tests.builders import LAB_CONFIG

ENTRY_POINT = TOP / "__main__.py"


@dataclass(frozen=True)
class Declared:
    """One resource, as the program declared it."""

    type: str
    name: str
    parent: str
    protect: bool
    inputs: Mapping[str, Any]
    hooks: tuple[str, ...]
    aliases: tuple[str, ...]


class Engine(mocks.Mocks):
    """Answer the known requests of the program, and fail at any other."""

    def __init__(self) -> None:
        self.account = "123456789012"
        self.region = "us-east-1"
        self.failure = ""
        self.state: dict[str, Any] = {}
        """URN of each resource in the state, and its type and outputs."""
        self.writing = 0
        """How often the state can't be read, because it is being written."""

    def call(
        self, args: mocks.MockCallArgs
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        if args.token == "pulumi:pulumi:readStackResourceOutputs":
            assert args.args == {"stackName": "organization/pod-routes/dev"}
            self.writing -= 1
            if self.writing >= 0:
                return {}, [("", "failed to load checkpoint: EOF")]
            return {"outputs": self.state}, []
        if self.failure:
            return {}, [("", self.failure)]
        answers = {
            "aws:index/getCallerIdentity:getCallerIdentity": {
                "accountId": self.account,
                "arn": "arn",
                "id": self.account,
                "userId": "user",
            },
            "aws:index/getRegion:getRegion": {
                "region": self.region,
                "id": self.region,
                "description": "",
                "endpoint": "",
                "name": self.region,
            },
        }
        return answers[args.token], []

    def new_resource(
        self, args: mocks.MockResourceArgs
    ) -> tuple[str | None, dict[str, Any]]:
        known = {COMPONENT_TYPE, ROUTE_TYPE}
        assert args.typ in known or args.typ.startswith("test:")
        return f"id-of-{args.name}", {**args.inputs, "state": "active"}


@contextmanager
def own_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give this thread an event loop, and close it: Pulumi's mocks would leak one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        loop.close()
        asyncio.set_event_loop(None)


class Monitor(mocks.MockMonitor):
    """Record every request: mocks don't get parents, protection and hooks."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.declared: list[Declared] = []
        self.outputs: dict[str, Any] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802
        if request.type != "pulumi:pulumi:Stack":
            self.declared.append(
                Declared(
                    type=request.type,
                    name=request.name,
                    parent=request.parent.rpartition("::")[2],
                    protect=request.protect,
                    inputs=json_format.MessageToDict(request.object),
                    hooks=tuple(request.hooks.before_create),
                    aliases=tuple(alias.urn for alias in request.aliases),
                )
            )
        with own_loop():
            return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def Invoke(self, request: Any) -> Any:  # noqa: ANN401, N802
        with own_loop():
            return super().Invoke(request)  # type: ignore[no-untyped-call]

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: ANN401, N802
        with own_loop():
            outputs = rpc.deserialize_properties(request.outputs)
        self.outputs.setdefault(request.urn.rpartition("::")[2], {}).update(outputs)
        return empty_pb2.Empty()


@dataclass
class Program:
    """A stack of the program on the lab; what it declared and exported."""

    clients: Clients
    lab: Lab
    engine: Engine = field(default_factory=Engine)
    config: dict[str, str] = field(
        default_factory=lambda: {**LAB_CONFIG, "aws:region": "us-east-1"}
    )
    declared: list[Declared] = field(default_factory=list)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    hooks: list[pulumi.ResourceHook] = field(default_factory=list)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def configure(self, **changes: str) -> None:
        """Set keys of the stack, as `pulumi config set` does."""
        self.config |= {f"pod-routes:{key}": value for key, value in changes.items()}

    def run(
        self,
        program: Callable[[], object] = lambda: runpy.run_path(str(ENTRY_POINT)),
        *,
        preview: bool = False,
    ) -> None:
        """Run the entry point, or another program, afresh."""
        monitor = Monitor(self.engine)

        def fresh() -> None:
            SETTINGS.rpc_manager.clear()  # of a program that failed
            SETTINGS.outputs.clear()
            with own_loop() as loop:
                mocks.set_mocks(
                    self.engine,
                    organization="organization",
                    project="pod-routes",
                    stack="dev",
                    preview=preview,
                    logger=logging.getLogger("program"),
                    monitor=monitor,
                )
                ROOT.set(None)  # run_in_stack makes the stack, outputs and all
                loop.run_until_complete(run_in_stack(lambda: ignore(program())))

        try:
            with pytest.MonkeyPatch.context() as environment:
                environment.setenv("PULUMI_CONFIG", json.dumps(self.config))
                self.context = contextvars.copy_context()
                self.context.run(fresh)
        finally:
            self.declared = monitor.declared
            self.outputs = monitor.outputs.get("pod-routes-dev", {})

    def of(self, kind: str) -> list[Declared]:
        """Return the resources of a type, sorted by name."""
        resources = [one for one in self.declared if one.type == kind]
        return sorted(resources, key=lambda one: one.name)

    def interface(self, worker: str) -> str:
        return labs.interface_of(self.clients.ec2, self.lab.workers[worker])


def ignore(_: object) -> None:
    """Return nothing, as a program does."""


@pytest.fixture
def program(aws_environment: pytest.MonkeyPatch) -> Iterator[Program]:
    hooks: list[pulumi.ResourceHook] = []

    class Hook(pulumi.ResourceHook):
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            super().__init__(*args, **kwargs)
            hooks.append(self)

    aws_environment.setattr(pulumi, "ResourceHook", Hook)
    aws_environment.setattr(cache, "_SETTLED", timedelta())  # the lab is new
    with mock_aws():
        clients = connect(load_access({}), "us-east-1")
        lab = labs.create_lab(clients.ec2)
        program = Program(clients, lab, hooks=hooks)
        for worker in lab.workers:  # moto keeps the instance's attribute apart
            clients.ec2.modify_network_interface_attribute(
                NetworkInterfaceId=program.interface(worker),
                SourceDestCheck={"Value": False},
            )
        yield program
