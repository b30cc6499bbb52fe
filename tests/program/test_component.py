"""PodNetworkRoutes as another program uses it, and the hook that guards it."""

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


def test_a_target_that_is_not_known_yet_still_gives_the_route_its_name(
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


def test_without_standing_routes_there_is_no_hook(program: Program) -> None:
    program.run(lambda: PodNetworkRoutes("mine", routes=[pod_route("10.200.0.0/24")]))

    assert program.hooks == []
    assert {one.hooks for one in program.declared} == {()}


URN = f"urn:pulumi:dev::pod-routes::{COMPONENT_TYPE}${ROUTE_TYPE}::rtb-1_"
STANDING = tuple(map(ip_network, ("10.200.0.0/24", "fd00:200::/64")))


def guard(program: Program) -> pulumi.ResourceHook:
    """Return the hook of a component whose table held two destinations."""
    program.run(
        lambda: PodNetworkRoutes(
            "rtb-1", routes=[pod_route("10.200.0.0/24")], standing=STANDING
        )
    )
    (hook,) = program.hooks
    return hook


def before_create(cidr: str) -> ResourceHookArgs:
    return ResourceHookArgs(
        urn=f"{URN}{cidr}", id="", name=f"rtb-1_{cidr}", type=ROUTE_TYPE
    )


def test_each_route_is_guarded_before_it_is_created_in_preview_too(
    program: Program,
) -> None:
    hook = guard(program)

    assert [one.hooks for one in program.of(ROUTE_TYPE)] == [(hook.name,)]
    assert [one.hooks for one in program.of(COMPONENT_TYPE)] == [()]
    assert hook.opts
    assert hook.opts.on_dry_run


@pytest.mark.parametrize("destination", STANDING)
def test_a_destination_that_stands_is_not_created(
    program: Program, destination: Network
) -> None:
    hook = guard(program)

    with pytest.raises(pulumi.RunError) as caught:
        program.context.run(hook.callback, before_create(str(destination)))

    assert one_line(caught.value).strip() == (
        f"rtb-1 {destination}: this route stands. A table holds one route to a"
        " destination, so a second cannot be created to replace it; a new target needs"
        " no replacement. Leave --replace out. If the route is tainted:"
        f" pulumi state untaint '{URN}{destination}' --stack dev"
    )


def test_a_destination_that_does_not_stand_is_created(program: Program) -> None:
    hook = guard(program)

    program.context.run(hook.callback, before_create("10.200.1.0/24"))


def test_two_tables_have_hooks_of_different_names(program: Program) -> None:
    def another() -> None:
        for name in ("rtb-1", "rtb-2"):
            PodNetworkRoutes(name, routes=[], standing=STANDING)

    program.run(another)

    assert len({hook.name for hook in program.hooks}) == 2
