"""What an update would take away, against what it may."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, first
from routes.model import NAMESPACE, PodRoute
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


def too_many(
    settings: Settings, wanted: Iterable[PodRoute[str]], stack: Stack
) -> Iterator[Finding]:
    """Yield a fault if the stack would lose more routes than `maxRemovals` allows.

    A route is its table and its destination: a worker that is renamed or replaced takes
    none away; one with another pod CIDR, or in another table, does.
    """
    limit = settings.max_removals
    gone = sorted(stack.targets.keys() - {route.import_id for route in wanted})
    if len(gone) <= allowed(limit, of=len(stack.targets)):
        return
    yield Finding(
        where=f"{NAMESPACE}:maxRemovals",
        problem=f"expected at most {limit} of the {len(stack.targets)} routes of stack"
        f" {stack.name} to go, found {len(gone)}:",
        rows=first((name.replace("_", " ") for name in gone), 20),
        remedy="Check the configuration and the workers. If they are to go, this"
        " allows it once:",
        command=remedies.update_removing(stack.name, len(gone)),
    )


def allowed(limit: str, *, of: int) -> int:
    """Return how many routes may go, of so many; a percentage is rounded down."""
    number = int(limit.removesuffix("%"))
    return of * number // 100 if limit.endswith("%") else number
