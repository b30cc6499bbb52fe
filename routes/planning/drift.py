"""Routes that somebody changed or deleted since the stack's last update or refresh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from routes import commands
from routes.errors import Finding, Severity
from routes.model import ManagedRoute, PodRoute, Route, RouteKey

if TYPE_CHECKING:
    from routes.engine.state import Stack


def drifted(
    desired: Mapping[RouteKey, PodRoute],
    existing: Mapping[RouteKey, Route],
    managed: Mapping[RouteKey, ManagedRoute],
) -> dict[RouteKey, Route | None]:
    """Return desired routes with another target in the table than in the state.

    The value is the table's route, None if it was deleted.
    """
    return {
        key: existing.get(key)
        for key in desired
        if key in managed
        and managed[key].target
        and (key not in existing or existing[key].target != managed[key].target)
    }


def warnings_of(
    desired: Mapping[RouteKey, PodRoute],
    drift: Mapping[RouteKey, Route | None],
    stack: Stack,
) -> Iterator[Finding]:
    """Yield a warning for each drifted route.

    Without --refresh the engine compares the program with the state alone, so an update
    doesn't repair drift.
    """
    for key, route in drift.items():
        now = (
            f"it leads to {route.target or 'nothing'} now"
            if route
            else "it was deleted"
        )
        worker = stack.last_applied.get(key, desired[key]).worker
        yield Finding(
            resource=str(key),
            problem=f"the stack's route for {worker} to {stack.managed[key].target} has"
            f" drifted: {now}.",
            hint="Pulumi only detects this with --refresh:",
            command=commands.update(stack.name),
            severity=Severity.WARNING,
        )
