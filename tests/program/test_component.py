"""PodNetworkRoutes in another program, and its hook before a creation."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pulumi
import pytest
from pulumi.resource_hooks import ResourceHookArgs

from routes.engine.component import PodNetworkRoutes
from routes.model import COMPONENT_TYPE, ROUTE_TYPE, PodRoute
from routes.networks import Network
from tests.builders import one_line
from tests.program.conftest import Program


def pod_route(
    cidr: str, target: pulumi.Input[str] = "eni-1"
) -> PodRoute[pulumi.Input[str]]:
    return PodRoute(
        route_table_id="rtb-1",
        destination=ip_network(cidr),
        network_interface_id=target,
        worker="worker-0",
    )


@pytest.mark.parametrize("preview", [True, False])
def test_a_target_may_be_an_output_of_the_same_program(
    program: Program, *, preview: bool
) -> None:
    def another() -> None:
        target = pulumi.Output.from_input("eni-").apply(lambda prefix: f"{prefix}9")
        mine = PodNetworkRoutes("mine", routes=[pod_route("10.200.0.0/24", target)])
        pulumi.export("routes", mine.routes)

    program.run(another, preview=preview)

    (declared,) = program.of(ROUTE_TYPE)
    assert declared.name == "rtb-1_10.200.0.0/24"
    assert declared.parent == "mine"
    assert declared.inputs["networkInterfaceId"] == "eni-9"
    assert program.outputs["routes"][0]["networkInterfaceId"] == "eni-9"


def test_a_route_with_an_unknown_target_has_its_name_already(
    program: Program,
) -> None:
    def another() -> None:
        resolved: pulumi.Output[Any] = pulumi.Output.from_input(
            pulumi.runtime.rpc.UNKNOWN
        )
        unknown = resolved.apply(lambda _: pulumi.runtime.rpc.UNKNOWN)
        PodNetworkRoutes("mine", routes=[pod_route("10.200.0.0/24", unknown)])

    program.run(another, preview=True)

    assert [one.name for one in program.of(ROUTE_TYPE)] == ["rtb-1_10.200.0.0/24"]


def test_options_of_the_component_do_not_leak_into_its_routes(
    program: Program,
) -> None:
    def another() -> None:
        outer = pulumi.ComponentResource(COMPONENT_TYPE, "outer")
        PodNetworkRoutes(
            "mine",
            routes=[pod_route("10.200.0.0/24")],
            opts=pulumi.ResourceOptions(parent=outer),
        )

    program.run(another)

    assert {one.name: one.parent for one in program.declared} == {
        "outer": "pod-routes-dev",
        "mine": "outer",
        "rtb-1_10.200.0.0/24": "mine",
    }


def test_without_existing_routes_there_is_no_hook(program: Program) -> None:
    program.run(lambda: PodNetworkRoutes("mine", routes=[pod_route("10.200.0.0/24")]))

    assert program.hooks == []
    assert {one.hooks for one in program.declared} == {()}


URN = f"urn:pulumi:dev::pod-routes::{COMPONENT_TYPE}${ROUTE_TYPE}::rtb-1_"
EXISTING = (ip_network("10.200.0.0/24"), "fd00:200::/64", "pl-1")
"""Networks, or text as `aws.ec2.get_route_table` returns it."""


def hook_of(program: Program) -> pulumi.ResourceHook:
    """Return the hook of a component whose table has three routes."""
    program.run(
        lambda: PodNetworkRoutes(
            "rtb-1", routes=[pod_route("10.200.0.0/24")], existing=EXISTING
        )
    )
    (hook,) = program.hooks
    return hook


def before_create(cidr: str) -> ResourceHookArgs:
    return ResourceHookArgs(
        urn=f"{URN}{cidr}", id="", name=f"rtb-1_{cidr}", type=ROUTE_TYPE
    )


def test_each_route_has_the_hook_in_preview_too(
    program: Program,
) -> None:
    hook = hook_of(program)

    assert [one.hooks for one in program.of(ROUTE_TYPE)] == [(hook.name,)]
    assert [one.hooks for one in program.of(COMPONENT_TYPE)] == [()]
    assert hook.opts
    assert hook.opts.on_dry_run


@pytest.mark.parametrize("destination", EXISTING)
def test_a_route_that_exists_is_not_created(
    program: Program, destination: Network | str
) -> None:
    hook = hook_of(program)

    with pytest.raises(pulumi.RunError) as caught:
        program.context.run(hook.callback, before_create(str(destination)))

    assert one_line(caught.value).strip() == (
        f"rtb-1 {destination}: this route exists. A table has one route per"
        " destination, so no second one can be created to replace it; a new target"
        " needs no replacement. Leave out --replace. If the route is tainted:"
        f" pulumi state untaint '{URN}{destination}' --stack dev"
    )


def test_a_route_that_does_not_exist_is_created(program: Program) -> None:
    hook = hook_of(program)

    program.context.run(hook.callback, before_create("10.200.1.0/24"))


def test_two_tables_have_hooks_of_different_names(program: Program) -> None:
    def another() -> None:
        for name in ("rtb-1", "rtb-2"):
            PodNetworkRoutes(name, routes=[], existing=EXISTING)

    program.run(another)

    assert len({hook.name for hook in program.hooks}) == 2
