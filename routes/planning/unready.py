"""Workers that have to wait, so that they do not hold up the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, Severity
from routes.model import (
    Discovery,
    Route,
    RouteTable,
    Worker,
    import_id,
    selected,
    standing,
)
from routes.networks import contains
from routes.planning.quota import Room
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


def sift(
    settings: Settings,
    discovery: Discovery,
    stack: Stack | None,
    tables: Sequence[RouteTable],
    faults: Iterable[Finding],
) -> tuple[tuple[Worker, ...], list[Finding]]:
    """Return the workers to plan for, and why each of the others has to wait.

    Only a worker that nothing but wildcards name may wait, and only while no route of
    the stack leads to it: what is served is never given up for a newcomer. Of two
    newcomers with overlapping pod CIDRs, or for one place in a table, the later waits.

    Args:
        settings: what is asked for.
        discovery: which entry matches whom.
        stack: what it holds; None if nobody declares the plan, as if it held nothing.
        tables: as they stand.
        faults: of single workers, each under the worker's label.
    """
    workers = selected(discovery.workers)
    named = {
        worker.instance_id
        for entry, found in discovery.workers.items()
        for worker in found
        if not entry.is_pattern
    }
    settled = named | (_served(stack, workers) if stack else set())
    bad = {fault.where: fault for fault in faults}
    ready = [worker for worker in workers if worker.instance_id in settled]
    there = standing(tables)
    room = Room(settings.route_quota, discovery, tables, ready)
    waiting = []
    newcomers = [worker for worker in workers if worker.instance_id not in settled]
    declared = stack.declared.values() if stack else ()
    had = {route.network_interface_id for route in declared}
    # First who had a route in the last update, then by age.
    for worker in sorted(
        newcomers,
        key=lambda one: (
            not (one.interface and one.interface.id in had),
            one.launch_time,
            one.instance_id,
        ),
    ):
        obstacle = (
            _pending(worker)
            or bad.get(worker.label)
            or (stack and _standing(worker, there, tables, stack))
            or _overlap(worker, ready)
            or _past_quota(worker, room, settings.route_quota)
        )
        if obstacle:
            waiting.append(
                replace(
                    obstacle,
                    problem=f"it gets no route yet: {obstacle.problem}",
                    severity=Severity.WARNING,
                )
            )
        else:
            ready.append(worker)
    chosen = {worker.instance_id for worker in ready}
    return tuple(one for one in workers if one.instance_id in chosen), waiting


def _served(stack: Stack, workers: Iterable[Worker]) -> set[str]:
    """Return the instances of the stack's routes, as its last update declared them.

    A refresh since then may have seen a route that somebody turned: that takes nothing
    from the worker that it was for, and makes nobody else's worker a served one.
    """
    owners = {one.interface.id: one for one in workers if one.interface}
    served = set()
    for held, target in stack.targets.items():
        declared = stack.declared.get(held)
        before = declared.network_interface_id if declared else target
        owner = owners.get(before)
        if not owner:  # it is gone: is there who has its pod CIDR, and its route?
            found = owners.get(target)
            cidrs = found.pod_cidrs if found else ()
            owner = found if held.partition("_")[2] in map(str, cidrs) else None
        if owner:
            served.add(owner.instance_id)
    return served


def _pending(worker: Worker) -> Finding | None:
    if worker.state != "pending":
        return None
    return _of(worker, "the instance is pending.")


def _of(worker: Worker, problem: str, remedy: str = "", command: str = "") -> Finding:
    return Finding(where=worker.label, problem=problem, remedy=remedy, command=command)


def _standing(
    worker: Worker,
    there: Mapping[str, Route],
    tables: Iterable[RouteTable],
    stack: Stack,
) -> Finding | None:
    """Return which route that is not the stack's a worker's own would meet."""
    for table, cidr in product(tables, worker.pod_cidrs):
        route = there.get(import_id(table.id, cidr))
        if not route or import_id(table.id, cidr) in stack.targets:
            continue
        problem = (
            f"{table.id} has a route to {cidr} already, to"
            f" {route.target or 'nothing'}, and this stack does not hold it."
        )
        if not worker.interface or route.target != worker.interface.id:
            return _of(worker, problem)
        return _of(
            worker,
            problem,
            "Unless another stack declares it, take it over; this writes the file to"
            " import:",
            remedies.take_over(stack.name),
        )
    return None


def _past_quota(worker: Worker, room: Room, quota: int) -> Finding | None:
    if room.admits(worker):
        return None
    return _of(worker, f"its routes would go past the quota of {quota}.")


def _overlap(worker: Worker, others: Iterable[Worker]) -> Finding | None:
    for other in others:
        for theirs in other.pod_cidrs:
            for mine in worker.pod_cidrs:
                if contains(mine, theirs) or contains(theirs, mine):
                    return _of(
                        worker,
                        f"its pod CIDR {mine} overlaps {theirs} of {other.label}.",
                    )
    return None
