"""Laws of the plan."""

from __future__ import annotations

import dataclasses
import random
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from routes.errors import Finding
from routes.model import Discovery, Worker
from routes.planning import plan
from tests import strategies
from tests.builders import discovery, settings

CONFIGURED = settings(
    workers="worker", clusterCidr="10.200.0.0/16,fd00:200::/48", routeQuota="5"
)


def shuffled(lookup: Discovery, order: random.Random) -> Discovery:
    """Return the same lookup with EC2's answers in another order."""

    def another(things: dict[object, tuple[object, ...]]) -> dict[object, object]:
        entries = [*things.items()]
        order.shuffle(entries)
        return {key: tuple(order.sample(each, len(each))) for key, each in entries}

    return dataclasses.replace(
        lookup,
        tables=another(dict(lookup.tables)),  # type: ignore[arg-type]
        workers=another(dict(lookup.workers)),  # type: ignore[arg-type]
    )


@given(strategies.lookups(), st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_answers(
    lookup: Discovery, order: random.Random
) -> None:
    first = plan.draft(CONFIGURED, lookup)
    second = plan.draft(CONFIGURED, shuffled(lookup, order))

    assert second == first
    assert [*second.desired] == [*first.desired]


def overlaps(workers: list[Worker]) -> set[tuple[str, str]]:
    """Return each overlapping pair of workers, every one compared with every other."""
    return {
        (one.instance_id, other.instance_id)
        for one, other in combinations(workers, 2)
        for mine in one.pod_cidrs
        for theirs in other.pod_cidrs
        if mine.version == theirs.version and mine.overlaps(theirs)
    }


@given(strategies.crowded_workers())
def test_workers_are_accepted_if_and_only_if_they_are_disjoint(
    workers: list[Worker],
) -> None:
    drafted = plan.draft(CONFIGURED, discovery(workers))

    assert bool(of_overlaps(drafted.faults)) is bool(overlaps(workers))


def of_overlaps(faults: tuple[Finding, ...]) -> list[Finding]:
    """Return the faults that report an overlap of two workers."""
    return [
        fault
        for fault in faults
        if "is also that of" in fault.problem or "lies inside" in fault.problem
    ]


@given(strategies.crowded_workers())
def test_each_reported_overlap_is_one_and_each_narrower_worker_is_reported(
    workers: list[Worker],
) -> None:
    drafted = plan.draft(CONFIGURED, discovery(workers))
    labels = {worker.label: worker.instance_id for worker in workers}
    pairs = overlaps(workers)

    for fault in of_overlaps(drafted.faults):
        owner = fault.problem.rstrip(".").partition(" of ")[2].removeprefix("of ")
        pair = sorted([labels[fault.resource], labels[owner]], key=lambda i: int(i[2:]))
        assert tuple(pair) in pairs
    involved = {labels[fault.resource] for fault in of_overlaps(drafted.faults)}
    assert all(one in involved or other in involved for one, other in pairs)


@given(strategies.crowded_workers())
def test_an_accepted_plan_routes_every_network_to_its_own_worker(
    workers: list[Worker],
) -> None:
    drafted = plan.draft(CONFIGURED, discovery(workers))
    expected = {
        (str(network), worker.instance_id)
        for worker in workers
        for network in worker.pod_cidrs
    }

    if not of_overlaps(drafted.faults):
        routes = drafted.desired
        assert {
            (str(key.destination), route.instance_id) for key, route in routes.items()
        } == expected
        assert all(route.key == key for key, route in routes.items())
        assert len({key.import_id for key in routes}) == len(expected)
