"""Where a table is no longer as the stack's last update, or refresh, left it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, Severity
from routes.model import PodRoute, RouteTable, standing

if TYPE_CHECKING:
    from routes.engine.state import Stack


def drift(
    wanted: Iterable[PodRoute[str]], tables: Iterable[RouteTable], stack: Stack
) -> Iterator[Finding]:
    """Yield each route that is gone or leads elsewhere, and for whom it was.

    The engine compares with its state alone unless it is told to refresh: an update
    would leave such a route as it is. One that is gone, and no longer wanted, is none.
    """
    tables = tuple(tables)
    there = standing(tables)
    workers = {route.import_id: route.worker for route in wanted}
    for held, target in stack.targets.items():
        table_id, _, destination = held.partition("_")
        if not target or table_id not in {table.id for table in tables}:
            continue
        found = there.get(held)
        if found and found.target == target:
            continue
        if found:
            now = f"it leads to {found.target or 'nothing'} now"
        elif held in workers:
            now = "it is gone"
        else:
            continue
        whose = stack.owners.get(held) or workers.get(held) or "a worker"
        yield Finding(
            where=f"{table_id} {destination}",
            problem=f"the stack's route for {whose} to {target} has drifted: {now}.",
            remedy="Only a run with --refresh sees that; this one, if it has it:",
            command=remedies.update(stack.name),
            severity=Severity.WARNING,
        )
