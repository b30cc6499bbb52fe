"""`unready: skip`: workers that get no route yet don't hold up the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from routes.errors import Finding, Severity
from routes.model import Discovery, RouteKey, Worker, selected
from routes.networks import contains
from routes.planning.faults import of_overlaps
from routes.planning.quota import Headroom
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


def defer(
    settings: Settings,
    discovery: Discovery,
    stack: Stack | None,
    table_ids: Sequence[str],
    faults: Mapping[str, Sequence[Finding]],
) -> tuple[tuple[Worker, ...], list[Finding], list[Finding]]:
    """Split the selected workers into those that get routes now, and the others.

    Established workers, which an entry names or which have a route, come first; a
    problem of theirs is a fault. Newcomers follow, and a problem of theirs is a warning
    while they are pending. Of two workers with overlapping pod CIDRs the later one in
    this order gets no route.

    Args:
        settings: the configuration.
        discovery: which entry matches which worker.
        stack: the state; None for a plan that isn't declared, as if it were empty.
        table_ids: the tables of the plan.
        faults: the problems of each worker, by instance id.

    Returns:
        The workers that are ready; a warning for each newcomer that is pending; and the
        faults of established workers.
    """
    workers = selected(discovery.workers)
    owners = _owners(stack, workers) if stack else {}
    established, newcomers = _in_order(discovery, stack, workers, owners)
    ready = _Ready(workers)
    broken: list[Finding] = []
    for worker in established:
        problems = faults.get(worker.instance_id) or [*ready.overlaps(worker)]
        broken += problems
        if not problems:
            ready.workers.append(worker)
    headroom = Headroom(
        settings.route_quota,
        discovery.prefix_lists,
        discovery.existing,
        table_ids,
        ready.workers,
    )
    pending: list[Finding] = []
    for worker in newcomers:
        problem = next(
            chain(
                _not_started(worker),
                faults.get(worker.instance_id, ()),
                ready.overlaps(worker),
                _over_quota(worker, headroom, settings.route_quota),
            ),
            None,
        )
        if problem:
            pending.append(_deferred(problem))
        else:
            ready.workers.append(worker)
    ids = {worker.instance_id for worker in ready.workers}
    return tuple(w for w in workers if w.instance_id in ids), pending, broken


def _in_order(
    discovery: Discovery,
    stack: Stack | None,
    workers: Iterable[Worker],
    owners: Mapping[RouteKey, str],
) -> tuple[list[Worker], list[Worker]]:
    """Return the established workers and the newcomers, each by precedence.

    An established worker with a managed route to its own pod CIDR comes first, then one
    with any managed route. A newcomer whose interface was a target in the last update
    comes first. Otherwise, the worker that was launched earlier does.
    """
    named = {
        worker.instance_id
        for entry, matches in discovery.workers.items()
        for worker in matches
        if not entry.is_pattern
    }
    served = {*owners.values()}
    own = {(owner, key.destination) for key, owner in owners.items()}
    applied = stack.last_applied.values() if stack else ()
    interfaces = {route.network_interface_id for route in applied}

    def by_route(worker: Worker) -> tuple[object, ...]:
        has_own = any((worker.instance_id, cidr) in own for cidr in worker.pod_cidrs)
        is_served = worker.instance_id in served
        return not has_own, not is_served, worker.launch_time, worker.instance_id

    def by_interface(worker: Worker) -> tuple[object, ...]:
        had_route = worker.interface and worker.interface.id in interfaces
        return not had_route, worker.launch_time, worker.instance_id

    established = [w for w in workers if w.instance_id in served | named]
    newcomers = [w for w in workers if w.instance_id not in served | named]
    return sorted(established, key=by_route), sorted(newcomers, key=by_interface)


class _Ready:
    """The workers that get routes, in order of precedence."""

    def __init__(self, candidates: Sequence[Worker]) -> None:
        self.workers: list[Worker] = []
        self._may_overlap = any(of_overlaps(candidates))  # else no pair is compared

    def overlaps(self, worker: Worker) -> Iterator[Finding]:
        """Yield where a worker's pod CIDRs overlap with those of earlier workers."""
        for other in self.workers if self._may_overlap else ():
            for theirs in other.pod_cidrs:
                for mine in worker.pod_cidrs:
                    if contains(mine, theirs) or contains(theirs, mine):
                        yield Finding(
                            resource=worker.label,
                            problem=f"its pod CIDR {mine} overlaps {theirs} of"
                            f" {other.label}.",
                        )


def _owners(stack: Stack, workers: Iterable[Worker]) -> dict[RouteKey, str]:
    """Return the instance id of each managed route's worker.

    The last update's outputs name a route's worker; a refresh may have recorded
    somebody's change. An instance is known by its id even while EC2 lists it without
    its interface.
    """
    by_id = {worker.instance_id: worker for worker in workers}
    by_interface = {one.interface.id: one for one in workers if one.interface}
    owners = {}
    for key, route in stack.managed.items():
        applied = stack.last_applied.get(key)
        target = applied.network_interface_id if applied else route.target
        owner = by_id.get(stack.owners[key]) or by_interface.get(target)
        if not owner:  # deleted: does the route lead to the pod CIDR's new worker?
            successor = by_interface.get(route.target)
            if successor and key.destination in successor.pod_cidrs:
                owner = successor
        if owner:
            owners[key] = owner.instance_id
    return owners


def _not_started(worker: Worker) -> Iterator[Finding]:
    if worker.state == "pending":
        yield Finding(resource=worker.label, problem="the instance is pending.")


def _over_quota(worker: Worker, headroom: Headroom, quota: int) -> Iterator[Finding]:
    if not headroom.admit(worker):
        problem = f"its routes would exceed the quota of {quota}."
        yield Finding(resource=worker.label, problem=problem)


def _deferred(problem: Finding) -> Finding:
    return replace(
        problem,
        problem=f"it gets no route yet: {problem.problem}",
        severity=Severity.WARNING,
    )
