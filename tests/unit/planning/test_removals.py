"""What one update may delete."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes.engine.state import Stack
from routes.errors import PlanError
from routes.model import PodRoute, Route, RouteKey
from routes.planning import plan
from routes.planning.removals import allowed, not_deletable
from tests import builders
from tests.builders import (
    discovery,
    key,
    one_line,
    pod_route,
    route,
    settings,
    table,
    worker,
)


def stack(count: int, table_id: str = "rtb-1") -> Stack:
    """Return a stack that manages the routes of the lab's first workers."""
    return builders.stack(
        {key(f"10.200.{n}.0/24", table_id): f"eni-{n}" for n in range(count)}
    )


def desired(count: int) -> dict[RouteKey, PodRoute]:
    """Return the routes of the first workers, which were replaced."""
    routes = [pod_route(f"10.200.{n}.0/24", "eni-9") for n in range(count)]
    return {each.key: each for each in routes}


@pytest.mark.parametrize(
    ("limit", "of", "count"),
    [
        pytest.param("0", 8, 0, id="none"),
        pytest.param("3", 8, 3, id="a number"),
        pytest.param("0%", 8, 0, id="zero percent"),
        pytest.param("25%", 8, 2, id="a quarter"),
        pytest.param("25%", 7, 1, id="a percentage is rounded down"),
        pytest.param("25%", 3, 1, id="to no less than one"),
        pytest.param("100%", 7, 7, id="all"),
    ],
)
def test_a_limit_is_a_number_or_a_percentage(limit: str, of: int, count: int) -> None:
    assert allowed(limit, of=of) == count


@given(
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 25).map(str) | st.integers(0, 100).map("{}%".format),
)
def test_a_plan_is_refused_if_and_only_if_it_deletes_more(
    managed: int, remaining: int, limit: str
) -> None:
    removed = {key(f"10.200.{n}.0/24") for n in range(remaining, managed)}

    result = not_deletable(
        settings(maxRemovals=limit),
        discovery(),
        stack(managed),
        desired(remaining),
        removed,
    )

    is_refused = len(removed) > allowed(limit, of=managed)
    assert result == ((removed, ANY) if is_refused else (set(), []))
    assert bool(result[1]) is is_refused


def test_without_the_key_nothing_is_checked() -> None:
    removed = stack(3).targets.keys()

    assert not_deletable(settings(), discovery(), stack(3), {}, removed) == (set(), [])


def test_with_fewer_workers_than_the_minimum_nothing_is_deleted() -> None:
    """The lookup has a fault already."""
    removed = {key("10.200.2.0/24")}

    result = not_deletable(
        settings(minWorkers="4"), discovery(), stack(3), desired(2), removed
    )

    assert result == (removed, [])


def test_the_routes_are_named_with_the_command_that_allows_it_once() -> None:
    removed = [key("10.200.1.0/24"), key("10.200.2.0/24")]

    _, (fault,) = not_deletable(
        settings(maxRemovals="1"), discovery(), stack(3), desired(1), removed
    )

    assert str(fault) == (
        "pod-routes:maxRemovals: this update would delete 2 of the 3 routes\n"
        "  of stack dev; maxRemovals allows 1:\n"
        "  rtb-1 10.200.1.0/24\n"
        "  rtb-1 10.200.2.0/24\n"
        "  Check the configuration and the workers. If these routes should be\n"
        "  deleted, this allows it once:\n"
        "  POD_ROUTES_MAX_REMOVALS=2 pulumi up --stack dev"
    )


def test_another_table_deletes_every_route_of_the_first() -> None:
    former = table(id="rtb-9", name="former")

    with pytest.raises(PlanError, match="would delete 3 of the 3 routes"):
        plan.validated(
            settings(maxRemovals="99%"),
            discovery(deselected_tables=[former]),
            stack(3, "rtb-9"),
        )


def test_the_routes_of_a_table_that_is_not_listed_are_kept() -> None:
    with pytest.raises(PlanError) as caught:
        plan.validated(settings(), discovery(), stack(3, "rtb-9"))

    (fault,) = caught.value.faults
    assert fault.resource == "rtb-9"
    assert fault.command == "pulumi refresh --stack dev"


def test_an_incomplete_list_deletes_nothing() -> None:
    """The list lacked worker-1, which is live: it may have lacked worker-2 as well."""
    lookup = discovery(unlisted=frozenset({"i-1"}), workers=[worker(0), worker(1)])

    with pytest.raises(PlanError, match="list of instances was incomplete"):
        plan.validated(settings(workers="worker-*"), lookup, stack(3))

    skipped = plan.validated(
        settings(workers="worker-*", unready="skip"), lookup, stack(3)
    )
    assert skipped.kept == {key("10.200.2.0/24")}
    assert len(skipped.declared) == 2


def test_an_instance_that_is_not_known_by_its_id_keeps_its_route() -> None:
    target = route("10.200.2.0/24", "eni-2", instance_id="i-2")
    lookup = discovery(
        workers=[worker(0), worker(1)],
        tables=[table(target)],
        unconfirmed=frozenset({"i-2"}),
    )

    with pytest.raises(PlanError, match="doesn't know that instance by its id"):
        plan.validated(settings(workers="worker-*"), lookup, stack(3))


@pytest.mark.parametrize(
    ("destination", "target"),
    [("192.168.0.0/16", "eni-0"), ("0.0.0.0/0", ""), ("pl-1", "")],
)
def test_a_route_that_another_program_put_into_the_state_is_not_deleted(
    destination: str, target: str
) -> None:
    state = builders.stack({key(destination): target})
    existing = table(route(destination, target or "igw-1"))

    with pytest.raises(PlanError) as caught:
        plan.validated(settings(), discovery(tables=[existing]), state)

    (fault,) = caught.value.faults
    assert "this program didn't declare it" in fault.problem
    assert fault.command.startswith("pulumi state delete --force ")


def test_a_route_that_the_last_update_did_not_declare_is_not_deleted() -> None:
    """With --target an update leaves a route that nobody needs out of its outputs.

    Somebody may have retargeted it since, and a refresh recorded that.
    """
    own = pod_route("10.200.0.0/24", "eni-0")
    state = builders.stack(
        {own.key: "eni-0", ROUTE.key: "eni-9"}, last_applied={own.key: own}
    )
    existing = table(route("10.200.0.0/24", "eni-0"), route(POD, "eni-9"))

    with pytest.raises(PlanError, match=r"10\.200\.1\.0/24: it is in the state"):
        plan.validated(
            settings(workers="worker-0"),
            discovery([worker(0)], tables=[existing]),
            state,
        )


def test_a_route_that_is_in_the_state_twice_is_refused_with_the_outer_urn() -> None:
    state = builders.stack({ROUTE.key: "eni-1"}, duplicates={ROUTE.key: ("urn:outer",)})

    with pytest.raises(PlanError) as caught:
        plan.validated(settings(unready="skip"), discovery(), state)

    (fault,) = caught.value.faults
    assert fault.command == "pulumi state delete --force urn:outer --stack dev"


def test_a_route_that_a_fault_keeps_out_of_the_plan_is_no_removal() -> None:
    lookup = discovery([worker(0), worker(1, interface=None), worker(2)])

    with pytest.raises(PlanError) as caught:
        plan.validated(settings(maxRemovals="0"), lookup, stack(3))

    assert [fault.resource for fault in caught.value.faults] == ["worker-1 (i-1)"]


POD = "10.200.1.0/24"
ROUTE = pod_route(POD)
URN = builders.urn(ROUTE.key)


def refusals(existing: Route, *, target: str, routes: list[PodRoute]) -> list[str]:
    """Return why the route of the last update must not be deleted.

    Args:
        existing: the route in the table.
        target: the one in the state.
        routes: those of the plan.
    """
    state = builders.stack({ROUTE.key: target}, last_applied={ROUTE.key: ROUTE})
    by_key = {each.key: each for each in routes}
    kept, reasons = not_deletable(
        settings(),
        discovery(tables=[table(existing)]),
        state,
        by_key,
        {ROUTE.key} - by_key.keys(),
    )
    assert kept == ({ROUTE.key} if reasons else set())
    return [one_line(each) for each in reasons]


@pytest.mark.parametrize(
    ("existing", "target"),
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
    existing: Route, target: str
) -> None:
    (text,) = refusals(existing, target=target, routes=[])

    assert f"led to eni-1, and now leads to {existing.target}." in text
    assert text.endswith(f"pulumi state delete --force '{URN}' --stack dev")


def test_a_route_that_was_handed_over_is_no_removal_for_the_limits() -> None:
    state = builders.stack({ROUTE.key: "eni-1"}, last_applied={ROUTE.key: ROUTE})
    lookup = discovery(tables=[table(route(POD, "tgw-1"))], unlisted=frozenset({"i-0"}))

    kept, reasons = not_deletable(
        settings(maxRemovals="0"), lookup, state, {}, {ROUTE.key}
    )

    assert kept == {ROUTE.key}
    assert [each.resource for each in reasons] == [f"rtb-1 {POD}"]


def test_an_applied_route_outside_the_cluster_range_may_be_deleted() -> None:
    """The range was changed since; the interface was deleted."""
    state = builders.stack({ROUTE.key: "eni-1"}, last_applied={ROUTE.key: ROUTE})
    lookup = discovery(tables=[table(route(POD, "eni-9", state="blackhole"))])

    result = not_deletable(
        settings(clusterCidr="10.201.0.0/16"), lookup, state, {}, {ROUTE.key}
    )

    assert result == (set(), [])


def test_a_route_in_a_deselected_table_may_be_another_stacks() -> None:
    """It may declare routes for the same workers."""
    elsewhere = replace(ROUTE, route_table_id="rtb-2", network_interface_id="eni-2")

    (text,) = refusals(route(POD, "eni-2"), target="eni-1", routes=[elsewhere])

    assert "now leads to eni-2" in text


@pytest.mark.parametrize(
    ("existing", "routes"),
    [
        pytest.param(route(POD, "eni-1"), [], id="unchanged"),
        pytest.param(route(POD, "eni-9"), [ROUTE], id="desired, so it is restored"),
        pytest.param(route(POD, "eni-9", state="blackhole"), [], id="to nothing"),
        pytest.param(
            route(POD, "eni-2"),
            [
                replace(
                    ROUTE,
                    destination=ip_network("10.200.2.0/24"),
                    network_interface_id="eni-2",
                )
            ],
            id="to a worker of the plan, by mistake",
        ),
    ],
)
def test_a_route_that_nobody_else_owns_may_be_deleted(
    existing: Route, routes: list[PodRoute]
) -> None:
    assert refusals(existing, target="eni-1", routes=routes) == []
