"""Who has to wait under a wildcard, and who never does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes.engine.state import Stack
from routes.errors import PlanError
from routes.model import Discovery, RouteTable, Selector, Worker
from routes.planning import plan
from routes.planning.plan import Plan
from tests import builders, strategies
from tests.builders import (
    discovery,
    networks,
    one_line,
    pod_route,
    route,
    settings,
    table,
    worker,
)

SKIP = settings(workers="worker-*", unready="skip")


def stack(*served: Worker) -> Stack:
    """Return a stack that holds the routes of some workers."""
    targets = {
        f"rtb-1_{cidr}": one.interface.id
        for one in served
        if one.interface
        for cidr in one.pod_cidrs
    }
    return builders.stack(targets)


def found(
    *workers: Worker,
    entry: str = "worker-*",
    **changes: Any,  # noqa: ANN401
) -> Discovery:
    return discovery({Selector(entry): workers}, **changes)


def names(planned: Plan) -> list[str]:
    return [one.worker for one in planned.routes]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param(
            {"interface": None}, "expected an attached primary", id="no interface"
        ),
        pytest.param({"pod_cidrs": ()}, "it has no user data.", id="no pod CIDR"),
        pytest.param(
            {"pod_cidrs": networks("10.9.0.0/24")}, "expected a pod CIDR", id="outside"
        ),
        pytest.param(
            {"pod_cidrs": networks("10.200.0.0/24")},
            "its pod CIDR 10.200.0.0/24 overlaps 10.200.0.0/24 of worker-0 (i-0).",
            id="the same pod CIDR",
        ),
        pytest.param(
            {"pod_cidrs": networks("10.200.0.0/23")},
            "its pod CIDR 10.200.0.0/23 overlaps 10.200.0.0/24 of worker-0 (i-0).",
            id="a wider pod CIDR",
        ),
        pytest.param(
            {"pod_cidrs": networks("10.200.8.0/24")},
            "already routed to igw-1 in rtb-1",
            id="a gateway's route",
        ),
    ],
)
def test_a_newcomer_that_is_not_ready_waits_and_is_named(
    changes: dict[str, Any], why: str
) -> None:
    late = worker(1, **changes)
    unreadable = {} if late.pod_cidrs else {"i-1": "it has no user data."}
    held = table(route("10.200.8.0/24", "igw-1"))
    lookup = found(late, worker(0), tables=[held], unreadable=unreadable)

    planned = plan.make(SKIP, lookup, stack())

    assert names(planned) == ["worker-0"]
    (warning,) = planned.warnings
    assert warning.where == "worker-1 (i-1)"
    assert warning.problem.startswith("it gets no route yet: ")
    assert why in warning.problem
    with pytest.raises(PlanError):
        plan.make(settings(workers="worker-*"), lookup, stack())


PENDING = worker(1, state="pending")


def test_a_pending_worker_is_routed_by_default_and_waits_otherwise() -> None:
    lookup = found(worker(0), PENDING)

    routed = plan.make(settings(workers="worker-*"), lookup, stack())
    waiting = plan.make(SKIP, lookup, stack())

    assert names(routed) == ["worker-0", "worker-1"]
    assert names(waiting) == ["worker-0"]
    (warning,) = waiting.warnings
    assert warning.problem == "it gets no route yet: the instance is pending."


def problems(planned: Plan) -> list[str]:
    return [one_line(each) for each in planned.problems]


@pytest.mark.parametrize("entry", ["worker-1", "i-1"])
def test_a_named_worker_that_is_not_ready_is_a_fault_and_holds_up_no_other(
    entry: str,
) -> None:
    late = worker(1, interface=None)
    lookup = discovery(
        {Selector("worker-*"): (worker(0), late), Selector(entry): (late,)}
    )

    planned = plan.make(SKIP, lookup, stack())

    assert names(planned) == ["worker-0"]
    (problem,) = problems(planned)
    assert problem.startswith("worker-1 (i-1): expected an attached")


@pytest.mark.parametrize(
    ("changes", "unreadable", "why"),
    [
        pytest.param(
            {"pod_cidrs": ()}, {"i-1": "it has no user data."}, "no user data", id="bad"
        ),
        pytest.param({"pod_cidrs": ()}, {}, "did not know it", id="not known by id"),
        pytest.param({"interface": None}, {}, "primary network", id="no interface"),
        pytest.param(
            {"pod_cidrs": networks("10.9.0.0/24")},
            {},
            "expected a pod CIDR inside",
            id="another pod CIDR",
        ),
    ],
)
def test_a_served_worker_that_is_not_ready_keeps_its_route(
    changes: dict[str, Any], unreadable: dict[str, str], why: str
) -> None:
    """And a newcomer with its pod CIDR does not get that route."""
    twin = worker(5, pod_cidrs=networks("10.200.1.0/24"))
    lookup = found(worker(0), worker(1, **changes), twin, unreadable=unreadable)
    holder = stack(worker(0), worker(1))
    declared = {"rtb-1_10.200.1.0/24": pod_route(instance_id="i-1")}

    planned = plan.make(SKIP, lookup, replace(holder, declared=declared))

    assert names(planned) == ["worker-0"]
    assert planned.kept == {"rtb-1_10.200.1.0/24"}
    (problem,) = problems(planned)
    assert why in problem


def test_the_newcomer_waits_although_it_was_launched_first() -> None:
    old = worker(0, pod_cidrs=networks("10.200.1.0/24"))

    planned = plan.make(SKIP, found(old, worker(1)), stack(worker(1)))

    assert names(planned) == ["worker-1"]


def turned(by_refresh: str) -> Stack:
    """Return a stack of worker-1 whose route a refresh found changed."""
    holder = stack(worker(1))
    (key,) = holder.targets
    return builders.stack({key: by_refresh}, declared={key: pod_route()})


def test_who_was_served_stays_so_when_its_route_was_turned_to_a_newcomer() -> None:
    twin = worker(0, pod_cidrs=networks("10.200.1.0/24"))

    planned = plan.make(SKIP, found(twin, worker(1)), turned("eni-0"))

    assert names(planned) == ["worker-1"]


def test_a_served_workers_route_that_leads_to_a_gateway_now_stays() -> None:
    """It would leave the plan, and the gateway's route would be deleted."""
    held = table(route("10.200.1.0/24", "igw-1"))

    planned = plan.make(SKIP, found(worker(1), tables=[held]), turned(""))

    assert planned.kept == {"rtb-1_10.200.1.0/24"}
    (problem,) = problems(planned)
    assert "that is no worker's" in problem


def test_a_refresh_makes_nobody_served_by_a_route_of_another_pod_cidr() -> None:
    """Its owner is gone, and somebody turned it to one that is not ready."""
    bad = worker(0, pod_cidrs=())
    lookup = found(bad, worker(2), unreadable={"i-0": "it has no user data."})

    assert names(plan.make(SKIP, lookup, turned("eni-0"))) == ["worker-2"]


def test_who_had_a_route_gets_it_back_before_an_older_twin() -> None:
    """A refresh dropped the route that somebody deleted, and no update followed."""
    twin = worker(0, pod_cidrs=networks("10.200.1.0/24"))
    holder = replace(turned("eni-1"), managed={})

    planned = plan.make(SKIP, found(twin, worker(1)), holder)

    assert names(planned) == ["worker-1"]


def test_a_route_that_exists_already_is_a_fault_and_blocks_no_other() -> None:
    held = table(route("10.200.1.0/24", "eni-1"), route("10.200.2.0/24", "eni-9"))
    lookup = found(worker(0), worker(1), worker(2), tables=[held])

    planned = plan.make(SKIP, lookup, stack())

    assert [one.worker for one in planned.declared] == ["worker-0"]
    wrong, adopt = planned.problems
    assert "leads to eni-9" in wrong.problem
    assert adopt.command == "python -m routes import-file --stack dev"


def full(*numbers: int) -> RouteTable:
    """Return a table with a default route and the routes of these workers."""
    return table(*(route(f"10.200.{n}.0/24", f"eni-{n}") for n in numbers))


def test_a_newcomer_waits_for_room_in_a_full_table() -> None:
    """The route of a worker that is gone goes with the update, and makes room."""
    wanted = settings(workers="worker-*", unready="skip", routeQuota="3")
    held = stack(worker(0), worker(1))

    planned = plan.make(wanted, found(worker(0), worker(5), tables=[full(0, 1)]), held)

    assert names(planned) == ["worker-0"]
    assert "past the quota of 3." in planned.warnings[-1].problem
    later = plan.make(
        wanted, found(worker(0), worker(5), tables=[full(0)]), stack(worker(0))
    )
    assert names(later) == ["worker-0", "worker-5"]


def test_who_replaces_a_worker_needs_no_room_of_its_own() -> None:
    wanted = settings(workers="worker-*", unready="skip", routeQuota="3")
    successor = worker(9, pod_cidrs=networks("10.200.1.0/24"))
    joins = worker(5)

    planned = plan.make(
        wanted,
        found(worker(0), joins, successor, tables=[full(0, 1)]),
        stack(worker(0), worker(1)),
    )

    assert names(planned) == ["worker-0", "worker-9"]


def test_of_two_served_workers_with_one_pod_cidr_its_owner_keeps_the_route() -> None:
    twin = worker(0, pod_cidrs=networks("10.200.1.0/24"))
    holder = stack(worker(0), worker(1))

    planned = plan.make(SKIP, found(twin, worker(1)), holder)

    assert names(planned) == ["worker-1"]
    assert planned.kept == {"rtb-1_10.200.0.0/24"}
    (problem,) = problems(planned)
    assert "overlaps 10.200.1.0/24 of worker-1 (i-1)" in problem


def test_who_waits_still_counts_for_the_minimum() -> None:
    wanted = settings(workers="worker-*", unready="skip", minWorkers="2")

    assert names(plan.make(wanted, found(worker(0), PENDING), stack())) == ["worker-0"]


@given(strategies.crowded_workers().filter(bool), st.data())
def test_newcomers_never_hold_up_who_is_served(
    workers: list[Worker], data: st.DataObject
) -> None:
    wanted = settings(
        workers="worker*", unready="skip", clusterCidr="10.200.0.0/16,fd00:200::/48"
    )
    holder = stack(*data.draw(st.lists(st.sampled_from(workers), min_size=1)))
    served = [w for w in workers if w.interface.id in holder.targets.values()]  # type: ignore[union-attr]
    tables = [standing(holder)]
    alone = plan.draft(wanted, found(*served, tables=tables), holder)
    order = data.draw(st.permutations(workers))

    planned = plan.draft(wanted, found(*order, tables=tables), holder)

    assert planned.faults == alone.faults
    assert planned.kept == alone.kept
    chosen = {one.label for one in planned.workers}
    assert {one.label for one in alone.workers} <= chosen
    assert planned == plan.draft(wanted, found(*workers, tables=tables), holder)
    newcomers = {one.label for one in workers} - {one.label for one in served}
    assert {one.where for one in planned.pending} == newcomers - chosen


def standing(holder: Stack) -> RouteTable:
    return table(
        *(
            route(held.partition("_")[2], target)
            for held, target in holder.targets.items()
        )
    )


def test_a_route_that_leads_to_a_newcomer_that_is_not_ready_is_put_back() -> None:
    """Somebody retargeted it; its worker is served and ready."""
    key = "rtb-1_10.200.1.0/24"
    late = worker(5, pod_cidrs=())
    drifted = table(route("10.200.1.0/24", "eni-5", instance_id="i-5"))
    lookup = found(worker(1), late, tables=[drifted], unreadable={"i-5": "none."})
    holder = stack(worker(1))

    planned = plan.make(
        SKIP, lookup, replace(holder, declared={key: pod_route(instance_id="i-1")})
    )

    assert [one.import_id for one in planned.declared] == [key]
    assert not planned.kept
