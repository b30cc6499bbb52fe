"""What one update may take away."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes.engine.state import Stack
from routes.errors import PlanError
from routes.model import PodRoute, Route
from routes.planning import plan
from routes.planning.removals import allowed, refused
from tests.builders import (
    discovery,
    one_line,
    pod_route,
    route,
    settings,
    table,
    worker,
)


def stack(count: int, table: str = "rtb-1") -> Stack:
    """Return a stack that holds the routes of the lab's first workers."""
    targets = {f"{table}_10.200.{n}.0/24": f"eni-{n}" for n in range(count)}
    return Stack(name="dev", config={}, targets=targets, components={})


def wanted(count: int) -> list[PodRoute[str]]:
    return [pod_route(f"10.200.{n}.0/24", "eni-9") for n in range(count)]


@pytest.mark.parametrize(
    ("limit", "of", "may"),
    [
        pytest.param("0", 8, 0, id="none"),
        pytest.param("3", 8, 3, id="a number"),
        pytest.param("0%", 8, 0, id="no part"),
        pytest.param("25%", 8, 2, id="a quarter"),
        pytest.param("25%", 7, 1, id="a part of one is none"),
        pytest.param("100%", 7, 7, id="all"),
        pytest.param("25%", 0, 0, id="of nothing"),
    ],
)
def test_a_limit_is_a_number_or_a_part(limit: str, of: int, may: int) -> None:
    assert allowed(limit, of=of) == may


@given(
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 25).map(str) | st.integers(0, 100).map("{}%".format),
)
def test_a_plan_is_refused_if_and_only_if_it_takes_away_more(
    held: int, kept: int, limit: str
) -> None:
    faults = [*refused(settings(maxRemovals=limit), wanted(kept), [], stack(held))]

    gone = max(0, held - kept)
    number, _, is_part = limit.partition("%")[0], 0, "%" in limit
    may = held * int(number) / 100 if is_part else int(number)
    assert len(faults) == (gone > may)


def test_without_the_key_nothing_is_checked() -> None:
    assert [*refused(settings(), [], [], stack(3))] == []


def test_the_routes_are_named_with_the_command_that_allows_it_once() -> None:
    (fault,) = refused(settings(maxRemovals="1"), wanted(1), [], stack(3))

    assert str(fault) == (
        "pod-routes:maxRemovals: expected at most 1 of the 3 routes of stack\n"
        "  dev to go, found 2:\n"
        "  rtb-1 10.200.1.0/24\n"
        "  rtb-1 10.200.2.0/24\n"
        "  Check the configuration and the workers. If they are to go, this allows it\n"
        "  once:\n"
        "  POD_ROUTES_MAX_REMOVALS=2 pulumi up --stack dev"
    )


def test_another_table_takes_every_route_of_the_first_away() -> None:
    with pytest.raises(PlanError, match="to go, found 3:"):
        plan.make(settings(maxRemovals="99%"), discovery(), stack(3, table="rtb-9"))


def test_what_a_fault_keeps_out_of_the_plan_is_no_removal() -> None:
    found = discovery([worker(0), worker(1, interface=None), worker(2)])

    with pytest.raises(PlanError) as caught:
        plan.make(settings(maxRemovals="0"), found, stack(3))

    assert [fault.where for fault in caught.value.faults] == ["worker-1 (i-1)"]


POD = "10.200.1.0/24"
HELD = f"rtb-1_{POD}"
DECLARED = pod_route(POD)
URN = f"urn:pulumi:dev::p::routes:PodNetworkRoutes$aws:ec2/route:Route::{HELD}"


def taken(standing: Route, *, target: str, wanted: list[PodRoute[str]]) -> list[str]:
    holder = Stack(
        name="dev",
        config={},
        targets={HELD: target},
        components={},
        urns={HELD: URN},
        declared={HELD: DECLARED},
    )
    found = refused(settings(), wanted, [table(standing)], holder)
    return [one_line(each) for each in found]


@pytest.mark.parametrize(
    ("standing", "target"),
    [
        pytest.param(route(POD, "tgw-1"), "eni-1", id="a gateway's"),
        pytest.param(route(POD, "tgw-1"), "", id="seen by a refresh"),
        pytest.param(route(POD, "eni-9"), "eni-1", id="an instance's"),
        pytest.param(
            route(POD, "tgw-1", state="blackhole"),
            "eni-1",
            id="a gateway's that is down",
        ),
        pytest.param(route(POD, "eni-9"), "eni-9", id="so, and seen by a refresh"),
        pytest.param(
            route(POD, "eni-9", state="blackhole", instance_id="i-9"),
            "eni-1",
            id="a stopped instance's",
        ),
    ],
)
def test_a_route_that_was_handed_over_is_not_deleted(
    standing: Route, target: str
) -> None:
    (text,) = taken(standing, target=target, wanted=[])

    assert f"was to eni-1, and leads to {standing.target} now." in text
    assert text.endswith(f"pulumi state delete --force '{URN}' --stack dev")


def test_a_route_in_a_table_that_was_left_may_be_another_stacks() -> None:
    """Its owner there serves the same workers."""
    elsewhere = replace(DECLARED, route_table_id="rtb-2", network_interface_id="eni-2")

    (text,) = taken(route(POD, "eni-2"), target="eni-1", wanted=[elsewhere])

    assert "leads to eni-2 now" in text


@pytest.mark.parametrize(
    ("standing", "wanted"),
    [
        pytest.param(route(POD, "eni-1"), [], id="as it was left"),
        pytest.param(
            route(POD, "eni-9"), [DECLARED], id="wanted, so it is turned back"
        ),
        pytest.param(route(POD, "eni-9", state="blackhole"), [], id="to nothing"),
        pytest.param(
            route(POD, "eni-2"),
            [
                replace(
                    DECLARED,
                    destination=ip_network("10.200.2.0/24"),
                    network_interface_id="eni-2",
                )
            ],
            id="to a worker of the plan, by mistake",
        ),
    ],
)
def test_what_nobody_else_owns_may_be_deleted(
    standing: Route, wanted: list[PodRoute[str]]
) -> None:
    assert taken(standing, target="eni-1", wanted=wanted) == []
