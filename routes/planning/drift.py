"""Where a table is no longer as the stack's last update, or refresh, left it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, Severity
from routes.model import PodRoute, Route, RouteTable, standing

if TYPE_CHECKING:
    from routes.engine.state import Stack


def drift(
    wanted: Iterable[PodRoute[str]], tables: Iterable[RouteTable], stack: Stack
) -> Iterator[Finding]:
    """Yield each wanted route that is gone or leads elsewhere, and for whom it was.

    The engine compares with its state alone unless it is told to refresh: an update
    would leave such a route as it is.
    """
    for route, found in drifted(wanted, tables, stack):
        target = stack.targets[route.import_id]
        now = f"it leads to {found.target or 'nothing'} now" if found else "it is gone"
        before = stack.declared.get(route.import_id, route)
        yield Finding(
            where=route.import_id.replace("_", " "),
            problem=f"the stack's route for {before.worker} to {target} has drifted:"
            f" {now}.",
            remedy="Only a run with --refresh sees that; this one, if it has it:",
            command=remedies.update(stack.name),
            severity=Severity.WARNING,
        )


def drifted(
    wanted: Iterable[PodRoute[str]], tables: Iterable[RouteTable], stack: Stack
) -> Iterator[tuple[PodRoute[str], Route | None]]:
    """Yield each wanted route that has drifted, and what its table has instead."""
    existing = standing(tables)
    for route in wanted:
        target = stack.targets.get(route.import_id)
        found = existing.get(route.import_id)
        if target and (not found or found.target != target):
            yield route, found
