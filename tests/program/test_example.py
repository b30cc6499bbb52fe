"""The example: another program, which starts its own workers."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
from pulumi import RunError
from pulumi.runtime import mocks

from routes.model import ROUTE_TYPE
from sandbox import TOP
from tests.program.conftest import Engine, Program

INSTANCE_TYPE = "aws:ec2/instance:Instance"


class Workers(Engine):
    """Give each started instance an interface."""

    def new_resource(
        self, args: mocks.MockResourceArgs
    ) -> tuple[str | None, dict[str, Any]]:
        if args.typ != INSTANCE_TYPE:
            return super().new_resource(args)
        interface = f"eni-of-{args.name}"
        return f"i-of-{args.name}", {
            **args.inputs,
            "primaryNetworkInterfaceId": interface,
            "privateIp": "10.0.1.20",
        }


@pytest.fixture
def example(program: Program) -> Program:
    program.engine = Workers()
    program.config = {
        "pod-routes:ami": "ami-1",
        "pod-routes:subnetId": "subnet-1",
        "pod-routes:securityGroupId": "sg-1",
        "pod-routes:routeTableId": "rtb-1",
        "pod-routes:clusterCidr": "10.200.0.0/16",
        "pod-routes:workers": "2",
    }
    return program


def run() -> object:
    return runpy.run_path(str(TOP / "examples/workers/__main__.py"))


def test_a_range_too_small_for_the_workers_starts_none(example: Program) -> None:
    example.config["pod-routes:clusterCidr"] = "10.200.0.0/24"

    with pytest.raises(RunError, match="room for 1 workers only"):
        example.run(run)

    assert not example.of(INSTANCE_TYPE)


@pytest.mark.filterwarnings("ignore:aws.ec2/.* has been deprecated")  # on import
def test_the_example_routes_to_the_workers_that_it_starts(example: Program) -> None:
    example.run(run)

    assert [
        (one.name, one.inputs["networkInterfaceId"]) for one in example.of(ROUTE_TYPE)
    ] == [
        ("rtb-1_10.200.0.0/24", "eni-of-worker-0"),
        ("rtb-1_10.200.1.0/24", "eni-of-worker-1"),
    ]
    assert [
        (one.inputs["userData"], one.inputs["sourceDestCheck"])
        for one in example.of(INSTANCE_TYPE)
    ] == [
        ("name=worker-0|pod-cidr=10.200.0.0/24", False),
        ("name=worker-1|pod-cidr=10.200.1.0/24", False),
    ]
    assert [route["worker"] for route in example.outputs["routes"]] == [
        "worker-0",
        "worker-1",
    ]
