"""Workers that have to wait, so that they do not hold up the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from routes.errors import Finding, Severity
from routes.model import Discovery, RouteTable, Worker, import_id
from routes.networks import contains

if TYPE_CHECKING:
    from routes.engine.state import Stack


def sift(
    discovery: Discovery,
    stack: Stack | None,
    tables: Sequence[RouteTable],
    workers: Sequence[Worker],
    faults: Iterable[Finding],
) -> tuple[tuple[Worker, ...], list[Finding]]:
    """Return the workers to plan for, and why each of the others has to wait.

    Only a worker that nothing but wildcards name may wait, and only while no route of
    the stack leads to it: what is served is never given up for a newcomer. Of two
    newcomers with overlapping pod CIDRs, the later waits.

    Args:
        discovery: which entry matches whom.
        stack: what it holds; None if nobody declares the plan, as if it held nothing.
        tables: as they stand.
        workers: whom the entries select.
        faults: of single workers, each under the worker's label.
    """
    held = stack.targets if stack else {}
    settled = {
        worker.instance_id
        for entry, found in discovery.workers.items()
        for worker in found
        if not entry.is_pattern
        or (worker.interface and worker.interface.id in held.values())
    }
    bad = {fault.where: fault.problem for fault in faults}
    ready = [worker for worker in workers if worker.instance_id in settled]
    waiting = []
    newcomers = (worker for worker in workers if worker.instance_id not in settled)
    for worker in sorted(newcomers, key=lambda one: (one.launch_time, one.instance_id)):
        reason = (
            ("the instance is pending." if worker.state == "pending" else "")
            or bad.get(worker.label)
            or (_standing(worker, tables, held) if stack else "")
            or _overlap(worker, ready)
        )
        if reason:
            waiting.append(_left_out(worker, reason))
        else:
            ready.append(worker)
    chosen = {worker.instance_id for worker in ready}
    return tuple(one for one in workers if one.instance_id in chosen), waiting


def _standing(
    worker: Worker, tables: Iterable[RouteTable], held: Mapping[str, str]
) -> str:
    """Return which route that is not the stack's a worker's own would meet."""
    for table in tables:
        for destination, route in table.static_routes().items():
            ours = import_id(table.id, destination) in held
            if destination in worker.pod_cidrs and not ours:
                return (
                    f"{table.id} has a route to {destination} already, to"
                    f" {route.target or 'nothing'}, and this stack does not hold it."
                )
    return ""


def _overlap(worker: Worker, others: Iterable[Worker]) -> str:
    for other in others:
        for theirs in other.pod_cidrs:
            for mine in worker.pod_cidrs:
                if contains(mine, theirs) or contains(theirs, mine):
                    return f"its pod CIDR {mine} overlaps {theirs} of {other.label}."
    return ""


def _left_out(worker: Worker, reason: str) -> Finding:
    return Finding(
        where=worker.label,
        problem=f"it gets no route yet: {reason}",
        severity=Severity.WARNING,
    )
