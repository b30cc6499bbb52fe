"""Workers that get no route now, so that they do not hold up the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from routes.errors import Finding, Severity
from routes.model import Discovery, RouteTable, Worker, selected
from routes.networks import contains
from routes.planning.faults import of_overlaps
from routes.planning.quota import Room
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


def defer(
    settings: Settings,
    discovery: Discovery,
    stack: Stack | None,
    tables: Sequence[RouteTable],
    faults: Iterable[Finding],
) -> tuple[tuple[Worker, ...], list[Finding], list[Finding]]:
    """Return the workers to plan for, and why each of the others is not among them.

    A worker that has a route of the stack comes before one that has none, first where
    the route is to its pod CIDR, and a worker that an entry names before one that only
    wildcards match. Of two with overlapping
    pod CIDRs, or for one place in a table, the later gets no route.

    Args:
        settings: what is asked for.
        discovery: which entry matches whom.
        stack: what it manages; None if nobody declares the plan, as if it had no route.
        tables: as they are.
        faults: of single workers, each under the worker's label.

    Returns:
        The workers that are ready; a warning for each newcomer that is pending; and the
        faults of workers that are named, or have a route.
    """
    workers = selected(discovery.workers)
    owners = _owners(stack, workers) if stack else {}
    served = {*owners.values()}
    named = {
        worker.instance_id
        for entry, matches in discovery.workers.items()
        for worker in matches
        if not entry.is_pattern
    }
    known: dict[str, list[Finding]] = {}
    for fault in faults:
        known.setdefault(fault.where, []).append(fault)
    declared = stack.declared.values() if stack else ()
    had = {route.network_interface_id for route in declared}
    own = {(owner, key.partition("_")[2]) for key, owner in owners.items()}
    settled = [w for w in workers if w.instance_id in served | named]
    do_overlap = any(of_overlaps(workers))  # else not every pair is compared
    ready: list[Worker] = []
    found: list[Finding] = []
    for worker in sorted(
        settled,
        key=lambda one: (
            not any((one.instance_id, str(cidr)) in own for cidr in one.pod_cidrs),
            one.instance_id not in served,
            one.launch_time,
            one.instance_id,
        ),
    ):
        obstacles = known.get(worker.label) or _overlaps(
            worker, ready if do_overlap else ()
        )
        found += obstacles
        if not obstacles:
            ready.append(worker)
    room = Room(settings.route_quota, discovery, tables, ready)
    pending = []
    for worker in sorted(
        (worker for worker in workers if worker not in settled),
        key=lambda one: (
            not (one.interface and one.interface.id in had),
            one.launch_time,
            one.instance_id,
        ),
    ):
        obstacles = (
            _pending(worker)
            or known.get(worker.label)
            or _overlaps(worker, ready if do_overlap else ())
            or _past_quota(worker, room, settings.route_quota)
        )
        pending += [_wait(obstacle) for obstacle in obstacles[:1]]
        if not obstacles:
            ready.append(worker)
    chosen = {worker.instance_id for worker in ready}
    return (
        tuple(one for one in workers if one.instance_id in chosen),
        pending,
        found,
    )


def _wait(obstacle: Finding) -> Finding:
    return replace(
        obstacle,
        problem=f"it gets no route yet: {obstacle.problem}",
        severity=Severity.WARNING,
    )


def _owners(stack: Stack, workers: Iterable[Worker]) -> dict[str, str]:
    """Return the worker of each managed route, as the last update declared it.

    A refresh since then may have seen a route that somebody retargeted: that takes
    nothing from the worker that it was for, and gives nothing to another. An instance
    is known by its id even while EC2 lists it without its interface.
    """
    by_id = {worker.instance_id: worker for worker in workers}
    by_interface = {one.interface.id: one for one in workers if one.interface}
    owners = {}
    for key, route in stack.managed.items():
        declared = stack.declared.get(key)
        before = declared.network_interface_id if declared else route.target
        owner = by_id.get(stack.owners[key]) or by_interface.get(before)
        if not owner:  # it is gone: does the route lead to who has its pod CIDR now?
            new = by_interface.get(route.target)
            cidrs = new.pod_cidrs if new else ()
            owner = new if key.partition("_")[2] in map(str, cidrs) else None
        if owner:
            owners[key] = owner.instance_id
    return owners


def _pending(worker: Worker) -> list[Finding]:
    if worker.state != "pending":
        return []
    return [Finding(where=worker.label, problem="the instance is pending.")]


def _past_quota(worker: Worker, room: Room, quota: int) -> list[Finding]:
    if room.admits(worker):
        return []
    problem = f"its routes would go past the quota of {quota}."
    return [Finding(where=worker.label, problem=problem)]


def _overlaps(worker: Worker, others: Iterable[Worker]) -> list[Finding]:
    return [
        Finding(
            where=worker.label,
            problem=f"its pod CIDR {mine} overlaps {theirs} of {other.label}.",
        )
        for other in others
        for theirs in other.pod_cidrs
        for mine in worker.pod_cidrs
        if contains(mine, theirs) or contains(theirs, mine)
    ]
