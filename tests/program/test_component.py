"""PodNetworkRoutes in another program, and its hook before a creation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pulumi
import pytest
from pulumi.errors import InputPropertiesError
from pulumi.resource_hooks import ResourceHookArgs

from component.pod_network_routes import TYPE, PodNetworkRoutes, PodRoute
from routes.model import COMPONENT_TYPE, ROUTE_TYPE
from tests.builders import one_line
from tests.program.conftest import Program


def pod_route(cidr: pulumi.Input[str], target: pulumi.Input[str] = "eni-1") -> PodRoute:
    return {
        "destination_cidr": cidr,
        "network_interface_id": target,
        "worker": "worker-0",
    }


def component(
    *routes: PodRoute,
    table: pulumi.Input[str] = "rtb-1",
    existing: pulumi.Input[Sequence[pulumi.Input[str]]] = (),
) -> PodNetworkRoutes:
    return PodNetworkRoutes(
        "mine",
        {
            "route_table_id": table,
            "routes": routes,
            "existing_destinations": existing,
        },
    )


def later() -> pulumi.Output[Any]:
    """Return what a preview doesn't know."""
    return pulumi.Output.from_input("").apply(lambda _: pulumi.UNKNOWN)


def nothing() -> pulumi.Output[Any]:
    """Return an output whose known value is null."""
    return pulumi.Output.from_input("").apply(lambda _: None)


def test_the_program_finds_the_component_by_its_type() -> None:
    assert TYPE == COMPONENT_TYPE


@pytest.mark.parametrize("preview", [True, False])
def test_a_target_may_be_an_output_of_the_same_program(
    program: Program, *, preview: bool
) -> None:
    def another() -> None:
        target = pulumi.Output.from_input("eni-").apply(lambda prefix: f"{prefix}9")
        mine = component(pod_route("10.200.0.0/24", target))
        pulumi.export("routes", mine.routes)

    program.run(another, preview=preview)

    (declared,) = program.of(ROUTE_TYPE)
    assert declared.name == "rtb-1_10.200.0.0/24"
    assert declared.parent == "mine"
    assert declared.inputs["networkInterfaceId"] == "eni-9"
    assert program.outputs["routes"] == [
        {
            "routeTableId": "rtb-1",
            "destinationCidr": "10.200.0.0/24",
            "networkInterfaceId": "eni-9",
            "worker": "worker-0",
        }
    ]


def test_a_route_with_an_unknown_target_has_its_name_already(
    program: Program,
) -> None:
    program.run(lambda: component(pod_route("10.200.0.0/24", later())), preview=True)

    assert [one.name for one in program.of(ROUTE_TYPE)] == ["rtb-1_10.200.0.0/24"]


def test_a_preview_shows_routes_of_a_new_table_and_a_new_network(
    program: Program,
) -> None:
    program.run(
        lambda: component(
            pod_route("10.200.0.0/24"), pod_route(later()), table=later()
        ),
        preview=True,
    )

    assert [one.name for one in program.of(ROUTE_TYPE)] == [
        "mine_1",
        "mine_10.200.0.0/24",
    ]


def test_a_route_may_be_of_ipv6(program: Program) -> None:
    program.run(lambda: component(pod_route("FD00:200::/64")))

    (declared,) = program.of(ROUTE_TYPE)
    assert declared.name == "rtb-1_fd00:200::/64"
    assert declared.inputs["destinationIpv6CidrBlock"] == "fd00:200::/64"


def test_options_of_the_component_do_not_leak_into_its_routes(
    program: Program,
) -> None:
    def another() -> None:
        outer = pulumi.ComponentResource(TYPE, "outer")
        PodNetworkRoutes(
            "mine",
            {"route_table_id": "rtb-1", "routes": [pod_route("10.200.0.0/24")]},
            pulumi.ResourceOptions(parent=outer),
        )

    program.run(another)

    assert {one.name: one.parent for one in program.declared} == {
        "outer": "pod-routes-dev",
        "mine": "outer",
        "rtb-1_10.200.0.0/24": "mine",
    }


@pytest.mark.parametrize(
    ("declare", "faults"),
    [
        pytest.param(
            lambda: component(pod_route("10.200.0.1/24")),
            {
                "routes[0].destinationCidr": "it has host bits; the network is"
                " 10.200.0.0/24"
            },
            id="host bits",
        ),
        pytest.param(
            lambda: component(pod_route("10.200.0.5")),
            {"routes[0].destinationCidr": "expected a CIDR like 10.200.0.0/24"},
            id="an address",
        ),
        pytest.param(
            lambda: component(
                pod_route("10.200.0.0/24"),
                pod_route("fd00:200::/64"),
                pod_route("FD00:0200::/64", "eni-2"),
            ),
            {
                "routes[2].destinationCidr": "routes[1] has it too; a table has one"
                " route for it"
            },
            id="two routes for one destination",
        ),
        pytest.param(
            lambda: component(
                pod_route("", ""), pod_route("x", "i-1"), table="subnet-1"
            ),
            {
                "routeTableId": "expected an id that begins with rtb-",
                "routes[0].destinationCidr": "expected a CIDR like 10.200.0.0/24",
                "routes[0].networkInterfaceId": "expected an id that begins with eni-",
                "routes[1].destinationCidr": "expected a CIDR like 10.200.0.0/24",
                "routes[1].networkInterfaceId": "expected an id that begins with eni-",
            },
            id="all at once",
        ),
        pytest.param(
            lambda: component(pod_route(nothing(), nothing()), table=nothing()),
            {
                "routeTableId": "expected an id that begins with rtb-",
                "routes[0].destinationCidr": "expected a CIDR like 10.200.0.0/24",
                "routes[0].networkInterfaceId": "expected an id that begins with eni-",
            },
            id="an output of nothing",
        ),
        pytest.param(
            lambda: component(pod_route(7), table=7),  # type: ignore[arg-type]
            {
                "routeTableId": "expected an id that begins with rtb-",
                "routes[0].destinationCidr": "expected a CIDR like 10.200.0.0/24",
            },
            id="numbers",
        ),
        pytest.param(
            lambda: PodNetworkRoutes(
                "mine",
                {
                    "route_table_id": "rtb-1",
                    "routes": pulumi.Output.all(pod_route("10.200.0.0/24")),  # type: ignore[typeddict-item]
                },
            ),
            {
                "routes": "expected a plain list, of which only the elements may be"
                " outputs"
            },
            id="an output for the list",
        ),
        pytest.param(
            lambda: component(existing=["10.0.0.0/16", "pl-1", "igw-1"]),
            {"existingDestinations[2]": "expected a CIDR like 10.200.0.0/24"},
            id="an existing destination",
        ),
    ],
)
@pytest.mark.parametrize("preview", [True, False])
def test_wrong_inputs_are_one_error_and_declare_no_route(
    program: Program,
    declare: Callable[[], object],
    faults: dict[str, str],
    *,
    preview: bool,
) -> None:
    with pytest.raises(InputPropertiesError, match="some inputs are wrong") as caught:
        program.run(declare, preview=preview)

    assert caught.value.errors
    found = {each["property_path"]: each["reason"] for each in caught.value.errors}
    assert found == faults
    assert program.of(ROUTE_TYPE) == []


def test_without_existing_routes_there_is_no_hook(program: Program) -> None:
    program.run(lambda: component(pod_route("10.200.0.0/24")))

    assert program.hooks == []
    assert {one.hooks for one in program.declared} == {()}


URN = f"urn:pulumi:dev::pod-routes::{TYPE}${ROUTE_TYPE}::rtb-1_"
EXISTING = ["10.200.0.0/24", "fd00:200::/64", "pl-1"]


def hook_of(program: Program) -> pulumi.ResourceHook:
    """Return the hook of a component whose table has three routes."""
    program.run(
        lambda: component(
            pod_route("10.200.0.0/24"),
            existing=pulumi.Output.all(*EXISTING),
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
    assert [one.hooks for one in program.of(TYPE)] == [()]
    assert hook.opts
    assert hook.opts.on_dry_run


@pytest.mark.parametrize("destination", EXISTING)
def test_a_route_that_exists_is_not_created(program: Program, destination: str) -> None:
    hook = hook_of(program)

    with pytest.raises(pulumi.RunError) as caught:
        program.context.run(hook.callback, before_create(destination))

    assert one_line(caught.value).strip() == (
        f"rtb-1 {destination}: this route exists, and a table has one route per"
        " destination. If this stack doesn't manage it, leave it out, or import it. If"
        " it does, a new target needs no replacement: leave out --replace, and if the"
        " route is tainted:"
        f" pulumi state untaint '{URN}{destination}' --stack dev"
    )


def test_a_route_that_does_not_exist_is_created(program: Program) -> None:
    hook = hook_of(program)

    program.context.run(hook.callback, before_create("10.200.1.0/24"))


def test_components_have_hooks_of_different_names(program: Program) -> None:
    def another() -> None:
        for parent in ("test:index:A", "test:index:B"):
            outer = pulumi.ComponentResource(parent, "outer")
            PodNetworkRoutes(
                "pods",
                {
                    "route_table_id": "rtb-1",
                    "routes": [],
                    "existing_destinations": EXISTING,
                },
                pulumi.ResourceOptions(parent=outer),
            )

    program.run(another)

    assert len({hook.name for hook in program.hooks}) == 2


def test_a_name_may_contain_an_underscore(program: Program) -> None:
    hook = hook_of(program)
    args = before_create(EXISTING[0])
    args.name = f"my_pods_{EXISTING[0]}"

    with pytest.raises(pulumi.RunError, match=r"my_pods 10\.200\.0\.0/24: this route"):
        program.context.run(hook.callback, args)
