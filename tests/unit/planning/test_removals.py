"""What one update may take away."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes.engine.state import Stack
from routes.errors import PlanError
from routes.model import PodRoute, Route
from routes.planning import plan
from routes.planning.removals import allowed, refused
from tests import builders
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
    return builders.stack(targets)


def wanted(count: int) -> list[PodRoute[str]]:
    return [pod_route(f"10.200.{n}.0/24", "eni-9") for n in range(count)]


@pytest.mark.parametrize(
    ("limit", "of", "may"),
    [
        pytest.param("0", 8, 0, id="none"),
        pytest.param("3", 8, 3, id="a number"),
        pytest.param("0%", 8, 0, id="no part"),
        pytest.param("25%", 8, 2, id="a quarter"),
        pytest.param("25%", 7, 1, id="a part is rounded down"),
        pytest.param("25%", 3, 1, id="to no less than one"),
        pytest.param("100%", 7, 7, id="all"),
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
    removed = {f"rtb-1_10.200.{n}.0/24" for n in range(kept, held)}

    found = refused(
        settings(maxRemovals=limit), discovery(), stack(held), wanted(kept), removed
    )

    may = allowed(limit, of=held)
    assert found == (removed, ANY) if len(removed) > may else (set(), [])


def test_without_the_key_nothing_is_checked() -> None:
    removed = stack(3).targets.keys()

    assert refused(settings(), discovery(), stack(3), [], removed) == (set(), [])


def test_the_routes_are_named_with_the_command_that_allows_it_once() -> None:
    removed = ["rtb-1_10.200.1.0/24", "rtb-1_10.200.2.0/24"]

    _, (fault,) = refused(
        settings(maxRemovals="1"), discovery(), stack(3), wanted(1), removed
    )

    assert str(fault) == (
        "pod-routes:maxRemovals: this update would delete 2 of the 3 routes\n"
        "  of stack dev; maxRemovals allows 1:\n"
        "  rtb-1 10.200.1.0/24\n"
        "  rtb-1 10.200.2.0/24\n"
        "  Check the configuration and the workers. If these routes are to go, this\n"
        "  allows it once:\n"
        "  POD_ROUTES_MAX_REMOVALS=2 pulumi up --stack dev"
    )


def test_another_table_takes_every_route_of_the_first_away() -> None:
    former = table(id="rtb-9", name="former")

    with pytest.raises(PlanError, match="would delete 3 of the 3 routes"):
        plan.make(
            settings(maxRemovals="99%"),
            discovery(former_tables=[former]),
            stack(3, table="rtb-9"),
        )


def test_the_routes_of_a_table_that_is_not_listed_are_kept() -> None:
    with pytest.raises(PlanError) as caught:
        plan.make(settings(), discovery(), stack(3, table="rtb-9"))

    (fault,) = caught.value.faults
    assert fault.where == "rtb-9"
    assert fault.command == "pulumi refresh --stack dev"


def test_a_short_list_deletes_nothing() -> None:
    """The list lacked worker-1, which is alive: it may have lacked worker-2 as well."""
    short = discovery(missed=frozenset({"i-1"}), workers=[worker(0), worker(1)])

    with pytest.raises(PlanError, match="list of instances was short"):
        plan.make(settings(workers="worker-*"), short, stack(3))

    skipped = plan.make(settings(workers="worker-*", unready="skip"), short, stack(3))
    assert skipped.kept == {"rtb-1_10.200.2.0/24"}
    assert len(skipped.declared) == 2


def test_an_instance_that_is_not_known_by_its_id_keeps_its_route() -> None:
    target = route("10.200.2.0/24", "eni-2", instance_id="i-2")
    found = discovery(
        workers=[worker(0), worker(1)],
        tables=[table(target)],
        unconfirmed=frozenset({"i-2"}),
    )

    with pytest.raises(PlanError, match="does not know that instance by its id"):
        plan.make(settings(workers="worker-*"), found, stack(3))


@pytest.mark.parametrize(
    ("destination", "target"),
    [("192.168.0.0/16", "eni-0"), ("0.0.0.0/0", ""), ("pl-1", "")],
)
def test_what_another_program_put_into_the_state_is_not_deleted(
    destination: str, target: str
) -> None:
    holder = builders.stack({f"rtb-1_{destination}": target})
    existing = table(route(destination, target or "igw-1"))

    with pytest.raises(PlanError) as caught:
        plan.make(settings(), discovery(tables=[existing]), holder)

    (fault,) = caught.value.faults
    assert "this program did not declare it" in fault.problem
    assert fault.command.startswith("pulumi state delete --force ")


def test_a_route_that_the_last_update_did_not_declare_is_not_deleted() -> None:
    """With --target an update leaves a route that nobody needs out of its outputs.

    Somebody may have retargeted it since, and a refresh recorded that.
    """
    own = "rtb-1_10.200.0.0/24"
    holder = builders.stack(
        {own: "eni-0", HELD: "eni-9"}, declared={own: pod_route("10.200.0.0/24")}
    )
    existing = table(route("10.200.0.0/24", "eni-0"), route(POD, "eni-9"))

    with pytest.raises(PlanError, match=r"10\.200\.1\.0/24: it is in the state"):
        plan.make(
            settings(workers="worker-0"),
            discovery([worker(0)], tables=[existing]),
            holder,
        )


def test_a_route_that_is_in_the_state_twice_is_refused_with_the_outer_urn() -> None:
    holder = builders.stack({HELD: "eni-1"}, duplicates={HELD: ("urn:outer",)})

    with pytest.raises(PlanError) as caught:
        plan.make(settings(unready="skip"), discovery(), holder)

    (fault,) = caught.value.faults
    assert fault.command == "pulumi state delete --force urn:outer --stack dev"


def test_what_a_fault_keeps_out_of_the_plan_is_no_removal() -> None:
    found = discovery([worker(0), worker(1, interface=None), worker(2)])

    with pytest.raises(PlanError) as caught:
        plan.make(settings(maxRemovals="0"), found, stack(3))

    assert [fault.where for fault in caught.value.faults] == ["worker-1 (i-1)"]


POD = "10.200.1.0/24"
HELD = f"rtb-1_{POD}"
DECLARED = pod_route(POD)
URN = builders.urn(HELD)


def taken(standing: Route, *, target: str, wanted: list[PodRoute[str]]) -> list[str]:
    holder = builders.stack({HELD: target}, declared={HELD: DECLARED})
    found = discovery(tables=[table(standing)])
    removed = {HELD} - {route.import_id for route in wanted}
    kept, reasons = refused(settings(), found, holder, wanted, removed)
    assert kept == ({HELD} if reasons else set())
    return [one_line(each) for each in reasons]


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
