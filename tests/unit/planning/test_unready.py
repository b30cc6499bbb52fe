"""Which workers are pending with `unready: skip`, and which never are."""

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
    key,
    networks,
    one_line,
    pod_route,
    route,
    settings,
    table,
    worker,
)

SKIP = settings(workers="worker-*", unready="skip")
SECOND = key("10.200.1.0/24")


def stack(*served: Worker) -> Stack:
    """Return a stack that manages the routes of some workers."""
    targets = {
        key(str(cidr)): one.interface.id
        for one in served
        if one.interface
        for cidr in one.pod_cidrs
    }
    return builders.stack(targets)


def listed(*workers: Worker, **changes: Any) -> Discovery:  # noqa: ANN401
    """Return a discovery of these workers by a wildcard."""
    return discovery({Selector("worker-*"): workers}, **changes)


def names(planned: Plan) -> list[str]:
    """Return the worker of each desired route."""
    return [one.worker for one in planned.desired.values()]


@pytest.mark.parametrize(
    ("changes", "reason"),
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
            "already routed in rtb-1 to igw-1",
            id="a gateway's route",
        ),
    ],
)
def test_a_newcomer_that_is_not_ready_is_pending_and_named(
    changes: dict[str, Any], reason: str
) -> None:
    late = worker(1, **changes)
    unreadable = {} if late.pod_cidrs else {"i-1": "it has no user data."}
    existing = table(route("10.200.8.0/24", "igw-1"))
    lookup = listed(late, worker(0), tables=[existing], unreadable=unreadable)

    planned = plan.validated(SKIP, lookup, stack())

    assert names(planned) == ["worker-0"]
    (warning,) = planned.warnings
    assert warning.resource == "worker-1 (i-1)"
    assert warning.problem.startswith("it gets no route yet: ")
    assert reason in warning.problem
    with pytest.raises(PlanError):
        plan.validated(settings(workers="worker-*"), lookup, stack())


PENDING = worker(1, state="pending")


def test_a_pending_instance_gets_a_route_at_once_unless_unready_is_skip() -> None:
    lookup = listed(worker(0), PENDING)

    refusing = plan.validated(settings(workers="worker-*"), lookup, stack())
    skipping = plan.validated(SKIP, lookup, stack())

    assert names(refusing) == ["worker-0", "worker-1"]
    assert names(skipping) == ["worker-0"]
    (warning,) = skipping.warnings
    assert warning.problem == "it gets no route yet: the instance is pending."


def problems(planned: Plan) -> list[str]:
    return [one_line(each) for each in planned.problems]


@pytest.mark.parametrize("entry", ["worker-1", "i-1"])
def test_a_named_worker_that_is_not_ready_is_a_fault_and_blocks_no_other(
    entry: str,
) -> None:
    late = worker(1, interface=None)
    lookup = discovery(
        {Selector("worker-*"): (worker(0), late), Selector(entry): (late,)}
    )

    planned = plan.validated(SKIP, lookup, stack())

    assert names(planned) == ["worker-0"]
    (problem,) = problems(planned)
    assert problem.startswith("worker-1 (i-1): expected an attached")


@pytest.mark.parametrize(
    ("changes", "unreadable", "reason"),
    [
        pytest.param(
            {"pod_cidrs": ()}, {"i-1": "it has no user data."}, "no user data", id="bad"
        ),
        pytest.param({"pod_cidrs": ()}, {}, "returned NotFound", id="not known by id"),
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
    changes: dict[str, Any], unreadable: dict[str, str], reason: str
) -> None:
    """And a newcomer with its pod CIDR does not get that route."""
    twin = worker(5, pod_cidrs=networks("10.200.1.0/24"))
    lookup = listed(worker(0), worker(1, **changes), twin, unreadable=unreadable)
    state = replace(
        stack(worker(0), worker(1)),
        last_applied={SECOND: pod_route(instance_id="i-1")},
    )

    planned = plan.validated(SKIP, lookup, state)

    assert names(planned) == ["worker-0"]
    assert planned.kept == {SECOND}
    (problem,) = problems(planned)
    assert reason in problem


def test_a_newcomer_is_pending_although_it_was_launched_first() -> None:
    old = worker(0, pod_cidrs=networks("10.200.1.0/24"))

    planned = plan.validated(SKIP, listed(old, worker(1)), stack(worker(1)))

    assert names(planned) == ["worker-1"]


def refreshed(target: str) -> Stack:
    """Return a stack with worker-1's route, which a refresh found retargeted."""
    return builders.stack({SECOND: target}, last_applied={SECOND: pod_route()})


def test_a_worker_stays_served_after_its_route_was_retargeted_to_a_newcomer() -> None:
    twin = worker(0, pod_cidrs=networks("10.200.1.0/24"))

    planned = plan.validated(SKIP, listed(twin, worker(1)), refreshed("eni-0"))

    assert names(planned) == ["worker-1"]


def test_a_served_workers_route_that_leads_to_a_gateway_now_is_kept() -> None:
    """It would leave the plan, and the gateway's route would be deleted."""
    existing = table(route("10.200.1.0/24", "igw-1"))

    planned = plan.validated(SKIP, listed(worker(1), tables=[existing]), refreshed(""))

    assert planned.kept == {SECOND}
    (problem,) = problems(planned)
    assert "which isn't a worker" in problem


def test_a_refresh_makes_no_worker_served_by_a_route_of_another_pod_cidr() -> None:
    """Its owner was terminated, and somebody retargeted it to one that isn't ready."""
    bad = worker(0, pod_cidrs=())
    lookup = listed(bad, worker(2), unreadable={"i-0": "it has no user data."})

    planned = plan.validated(SKIP, lookup, refreshed("eni-0"))

    assert names(planned) == ["worker-2"]
    assert [one.resource for one in planned.pending] == ["worker-0 (i-0)"]
    assert not planned.problems


def test_a_worker_gets_its_former_route_back_before_an_older_twin() -> None:
    """A refresh dropped the route that somebody deleted, and no update followed."""
    twin = worker(0, pod_cidrs=networks("10.200.1.0/24"))
    state = replace(refreshed("eni-1"), managed={})

    planned = plan.validated(SKIP, listed(twin, worker(1)), state)

    assert names(planned) == ["worker-1"]


def test_a_route_that_exists_already_is_a_fault_and_blocks_no_other() -> None:
    existing = table(route("10.200.1.0/24", "eni-1"), route("10.200.2.0/24", "eni-9"))
    lookup = listed(worker(0), worker(1), worker(2), tables=[existing])

    planned = plan.validated(SKIP, lookup, stack())

    assert [one.worker for one in planned.declared.values()] == ["worker-0"]
    wrong, adopt = planned.problems
    assert "leads to eni-9" in wrong.problem
    assert adopt.command == "python -m routes import-file --stack dev"


def full(*numbers: int) -> RouteTable:
    """Return a table with a default route and the routes of these workers."""
    return table(*(route(f"10.200.{n}.0/24", f"eni-{n}") for n in numbers))


def test_a_newcomer_is_pending_while_a_table_is_full() -> None:
    """The update deletes the route of a terminated worker, which frees a place."""
    configured = settings(workers="worker-*", unready="skip", routeQuota="3")

    planned = plan.validated(
        configured,
        listed(worker(0), worker(5), tables=[full(0, 1)]),
        stack(worker(0), worker(1)),
    )

    assert names(planned) == ["worker-0"]
    assert "would exceed the quota of 3." in planned.warnings[-1].problem
    later = plan.validated(
        configured, listed(worker(0), worker(5), tables=[full(0)]), stack(worker(0))
    )
    assert names(later) == ["worker-0", "worker-5"]


def test_newcomers_share_the_quota_headroom() -> None:
    configured = settings(workers="worker-*", unready="skip", routeQuota="3")

    planned = plan.validated(
        configured,
        listed(worker(0), worker(5), worker(6), tables=[full(0)]),
        stack(worker(0)),
    )

    assert names(planned) == ["worker-0", "worker-5"]


@pytest.mark.parametrize("number", [5, 1])
def test_a_newcomer_needs_headroom_in_every_table_without_its_route(
    number: int,
) -> None:
    configured = settings(workers="worker-*", unready="skip", routeQuota="3")
    tables = [full(0, 1), replace(full(0, 7), id="rtb-2", name="other")]

    planned = plan.validated(
        configured,
        listed(worker(0), worker(number), tables=tables),
        stack(worker(0)),
    )

    assert {*names(planned)} == {"worker-0"}


def test_a_newcomer_needs_headroom_in_the_fullest_table() -> None:
    configured = settings(workers="worker-*", unready="skip", routeQuota="3")
    tables = [full(0), replace(full(0, 7), id="rtb-2", name="other")]

    planned = plan.validated(
        configured, listed(worker(0), worker(5), tables=tables), stack(worker(0))
    )

    assert {*names(planned)} == {"worker-0"}


def test_a_successor_needs_no_quota_headroom() -> None:
    configured = settings(workers="worker-*", unready="skip", routeQuota="3")
    successor = worker(9, pod_cidrs=networks("10.200.1.0/24"))
    joins = worker(5)

    planned = plan.validated(
        configured,
        listed(worker(0), joins, successor, tables=[full(0, 1)]),
        stack(worker(0), worker(1)),
    )

    assert names(planned) == ["worker-0", "worker-9"]


def test_of_two_served_workers_with_one_pod_cidr_its_owner_keeps_the_route() -> None:
    twin = worker(0, pod_cidrs=networks("10.200.1.0/24"))
    state = stack(worker(0), worker(1))

    planned = plan.validated(SKIP, listed(twin, worker(1)), state)

    assert names(planned) == ["worker-1"]
    assert planned.kept == {key("10.200.0.0/24")}
    (problem,) = problems(planned)
    assert "overlaps 10.200.1.0/24 of worker-1 (i-1)" in problem


def test_a_pending_worker_counts_for_the_minimum() -> None:
    configured = settings(workers="worker-*", unready="skip", minWorkers="2")

    planned = plan.validated(configured, listed(worker(0), PENDING), stack())

    assert names(planned) == ["worker-0"]


@given(strategies.crowded_workers().filter(bool), st.data())
def test_newcomers_never_delay_served_workers(
    workers: list[Worker], data: st.DataObject
) -> None:
    configured = settings(
        workers="worker*", unready="skip", clusterCidr="10.200.0.0/16,fd00:200::/48"
    )
    state = stack(*data.draw(st.lists(st.sampled_from(workers), min_size=1)))
    served = [w for w in workers if w.interface.id in state.targets.values()]  # type: ignore[union-attr]
    tables = [with_routes_of(state)]
    alone = plan.draft(configured, listed(*served, tables=tables), state)
    order = data.draw(st.permutations(workers))

    planned = plan.draft(configured, listed(*order, tables=tables), state)

    assert planned.faults == alone.faults
    assert planned.kept == alone.kept
    chosen = {one.label for one in planned.workers}
    assert {one.label for one in alone.workers} <= chosen
    unshuffled = plan.draft(configured, listed(*workers, tables=tables), state)
    assert planned == unshuffled
    assert [*planned.desired] == [*unshuffled.desired]
    newcomers = {one.label for one in workers} - {one.label for one in served}
    assert {one.resource for one in planned.pending} == newcomers - chosen


def with_routes_of(state: Stack) -> RouteTable:
    """Return a table with the managed routes."""
    return table(
        *(
            route(str(each.destination), target)
            for each, target in state.targets.items()
        )
    )


def test_a_route_that_leads_to_a_newcomer_that_is_not_ready_is_restored() -> None:
    """Somebody retargeted it; its worker is served and ready."""
    late = worker(5, pod_cidrs=())
    drifted = table(route("10.200.1.0/24", "eni-5", instance_id="i-5"))
    lookup = listed(worker(1), late, tables=[drifted], unreadable={"i-5": "none."})
    state = replace(
        stack(worker(1)), last_applied={SECOND: pod_route(instance_id="i-1")}
    )

    planned = plan.validated(SKIP, lookup, state)

    assert [*planned.declared] == [SECOND]
    assert not planned.kept
