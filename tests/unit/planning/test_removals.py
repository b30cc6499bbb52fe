"""How many routes one update may take away."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes.engine.state import Stack
from routes.errors import PlanError
from routes.model import PodRoute
from routes.planning import plan
from routes.planning.removals import allowed, too_many
from tests.builders import discovery, settings, worker


def stack(count: int, table: str = "rtb-1") -> Stack:
    """Return a stack that holds the routes of the lab's first workers."""
    targets = {f"{table}_10.200.{n}.0/24": f"eni-{n}" for n in range(count)}
    return Stack(name="dev", config={}, targets=targets, components={})


def wanted(count: int) -> list[PodRoute[str]]:
    return [
        PodRoute(
            route_table_id="rtb-1",
            destination=ip_network(f"10.200.{n}.0/24"),
            network_interface_id="eni-9",
            worker="another",
        )
        for n in range(count)
    ]


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
    faults = [*too_many(settings(maxRemovals=limit), wanted(kept), stack(held))]

    gone = max(0, held - kept)
    number, _, is_part = limit.partition("%")[0], 0, "%" in limit
    may = held * int(number) / 100 if is_part else int(number)
    assert len(faults) == (gone > may)


def test_without_the_key_nothing_is_checked() -> None:
    assert [*too_many(settings(), [], stack(3))] == []


def test_the_routes_are_named_with_the_command_that_allows_it_once() -> None:
    (fault,) = too_many(settings(maxRemovals="1"), wanted(1), stack(3))

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
