"""Which managed routes stay as they are because EC2's answers don't decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from routes.engine.state import Stack
from routes.errors import PlanError
from routes.model import ManagedRoute, Selector, Worker
from routes.planning import plan
from tests import builders
from tests.builders import (
    discovery,
    key,
    networks,
    pod_route,
    route,
    settings,
    table,
    worker,
)

SKIP = settings(workers="worker-*", unready="skip", maxRemovals="100%")
REFUSE = settings(workers="worker-*", maxRemovals="100%")
ALL = Selector("worker-*")
FIRST = key("10.200.0.0/24")
SECOND = key("10.200.1.0/24")


def stack(*served: Worker, table_id: str = "rtb-1") -> Stack:
    """Return a stack that an update left with the routes of these workers."""
    routes = [
        pod_route(str(one.pod_cidrs[0]), one.interface.id, table_id, one.instance_id)
        for one in served
        if one.interface
    ]
    return builders.stack(
        {each.key: each.network_interface_id for each in routes},
        last_applied={each.key: each for each in routes},
    )


def targets(planned: plan.Plan) -> list[str]:
    """Return the target of each desired route, in order."""
    return [each.network_interface_id for each in planned.desired.values()]


def swapped(**changes: Any) -> list[Worker]:  # noqa: ANN401
    """Return two workers that have each other's pod CIDR; the first is changed."""
    first = {"pod_cidrs": networks("10.200.1.0/24"), **changes}
    return [worker(0, **first), worker(1, pod_cidrs=networks("10.200.0.0/24"))]


@pytest.mark.parametrize("name", ["kubernetes", "former"])
def test_a_table_that_a_filter_by_name_misses_keeps_its_routes(name: str) -> None:
    """The filter left it out, or it was renamed; it was found by its id."""
    other = table(id="rtb-2", name="other")
    lookup = discovery(
        {ALL: (worker(0),)},
        {Selector("kubernetes"): (), Selector("other"): (other,)},
        deselected_tables=(table(route("10.200.0.0/24", "eni-0"), name=name),),
    )

    planned = plan.validated(SKIP, lookup, stack(worker(0)))

    assert planned.kept == {FIRST}
    assert planned.table_ids == ["rtb-1", "rtb-2"]
    assert planned.problems


def test_a_list_of_tables_that_lacks_one_of_two_namesakes_deletes_nothing() -> None:
    lookup = discovery(
        {ALL: (worker(0),)},
        {Selector("kubernetes"): (table(id="rtb-2"),)},
        deselected_tables=(table(route("10.200.0.0/24", "eni-0")),),
    )

    planned = plan.validated(SKIP, lookup, stack(worker(0)))

    assert planned.kept == {FIRST}
    with pytest.raises(PlanError, match="list of route tables was incomplete"):
        plan.validated(REFUSE, lookup, stack(worker(0)))


def test_a_table_that_no_entry_selects_any_more_loses_its_routes() -> None:
    lookup = discovery(
        {ALL: (worker(0),)},
        {Selector("other"): (table(id="rtb-2", name="other"),)},
        deselected_tables=(table(route("10.200.0.0/24", "eni-0")),),
    )

    planned = plan.validated(SKIP, lookup, stack(worker(0)))

    assert not planned.kept
    assert [each.route_table_id for each in planned.desired] == ["rtb-2"]


@pytest.mark.parametrize("changes", [{"interface": None}, {"pod_cidrs": ()}])
def test_workers_that_swap_pod_cidrs_keep_their_routes_while_one_is_not_ready(
    changes: dict[str, Any],
) -> None:
    lookup = discovery({ALL: tuple(swapped(**changes))})

    planned = plan.validated(SKIP, lookup, stack(worker(0), worker(1)))

    assert planned.kept == {FIRST, SECOND}


def test_routes_of_workers_that_swap_pod_cidrs_are_retargeted() -> None:
    planned = plan.validated(
        SKIP, discovery({ALL: tuple(swapped())}), stack(worker(0), worker(1))
    )

    assert not planned.kept
    assert targets(planned) == ["eni-1", "eni-0"]


def imported(target: str, instance_id: str) -> Stack:
    """Return a stack that has worker-0's route by an import, to some target."""
    managed = ManagedRoute(urn="urn", target=target, instance_id=instance_id)
    return builders.stack(managed={FIRST: managed})


@pytest.mark.parametrize("changes", [{}, {"pod_cidrs": ()}])
def test_an_imported_route_of_a_worker_without_its_interface_is_kept(
    changes: dict[str, Any],
) -> None:
    lookup = discovery({ALL: (worker(0, interface=None, **changes),)})

    planned = plan.validated(SKIP, lookup, imported("eni-0", "i-0"))

    assert planned.kept == {FIRST}
    assert "primary network interface" in planned.problems[-1].problem


def test_an_imported_route_is_kept_while_its_own_worker_is_unread() -> None:
    """A refresh recorded that somebody retargeted it to another worker."""
    lookup = discovery(
        {ALL: (worker(0, pod_cidrs=()), worker(1))},
        unreadable={"i-0": "it has no user data."},
    )

    planned = plan.validated(SKIP, lookup, imported("eni-1", "i-1"))

    assert planned.kept == {FIRST}


def test_a_route_that_leads_to_a_worker_that_is_not_ready_is_kept() -> None:
    """It was imported, and somebody retargeted it; its worker was terminated."""
    newcomer = worker(5, pod_cidrs=(), interface=None)
    lookup = discovery(
        {ALL: (newcomer,)},
        [table(route("10.200.0.0/24", "eni-5", instance_id="i-5"))],
    )

    planned = plan.validated(SKIP, lookup, imported("eni-0", "i-0"))

    assert planned.kept == {FIRST}
    assert not planned.problems


def test_an_applied_route_is_kept_for_the_worker_of_its_interface() -> None:
    """Its worker is unread, and a refresh recorded that somebody retargeted it."""
    applied = pod_route("10.200.0.0/24", "eni-0")
    lookup = discovery(
        {ALL: (worker(0, pod_cidrs=()),)}, unreadable={"i-0": "it has no user data."}
    )

    planned = plan.validated(
        SKIP, lookup, builders.stack({FIRST: "eni-9"}, last_applied={FIRST: applied})
    )

    assert planned.kept == {FIRST}


@pytest.mark.parametrize(
    ("entry", "is_applied", "is_kept"),
    [
        pytest.param("worker-1", True, True, id="its worker's name"),
        pytest.param("spare", True, False, id="another name"),
        pytest.param("spare", False, True, id="any name, after an import"),
    ],
)
def test_a_route_that_an_unmatched_entry_may_need_is_kept(
    entry: str, *, is_applied: bool, is_kept: bool
) -> None:
    lookup = discovery({ALL: (worker(2),), Selector(entry): ()})
    state = stack(worker(0)) if is_applied else imported("eni-0", "i-0")

    planned = plan.validated(SKIP, lookup, state)

    assert planned.kept == ({FIRST} if is_kept else set())


def test_of_two_workers_with_one_pod_cidr_neither_gets_a_gateways_route() -> None:
    twins = (worker(0), worker(1, pod_cidrs=networks("10.200.0.0/24")))
    existing = table(route("10.200.0.0/24", "igw-9"))
    before = stack(worker(0))
    refreshed = {k: replace(each, target="") for k, each in before.managed.items()}

    planned = plan.validated(
        SKIP, discovery({ALL: twins}, [existing]), replace(before, managed=refreshed)
    )

    assert planned.kept == refreshed.keys()
    assert not planned.desired


def test_tables_whose_vpc_is_not_listed_are_reported() -> None:
    with pytest.raises(PlanError, match="not their VPC"):
        plan.validated(SKIP, discovery({}, vpcs=()), stack())


def test_a_route_that_leads_to_a_worker_that_is_not_ready_is_restored() -> None:
    """Somebody retargeted it, and a refresh saw that; its own worker is ready."""
    newcomer = worker(5, pod_cidrs=(), interface=None)
    elsewhere = ManagedRoute(urn="urn", target="eni-5", instance_id="i-5")
    lookup = discovery(
        {ALL: (worker(0), newcomer)},
        [table(route("10.200.0.0/24", "eni-5", instance_id="i-5"))],
        unreadable={"i-5": "it has no user data."},
    )

    planned = plan.validated(
        SKIP, lookup, replace(stack(worker(0)), managed={FIRST: elsewhere})
    )

    assert not planned.kept
    assert targets(planned) == ["eni-0"]
