"""What an update would take away, against what it may."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, first
from routes.model import NAMESPACE, PodRoute, Route, RouteTable, standing
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


def refused(
    settings: Settings,
    wanted: Collection[PodRoute[str]],
    tables: Iterable[RouteTable],
    stack: Stack,
) -> Iterator[Finding]:
    """Yield a fault for what a whole plan would take away, and may not."""
    gone = stack.targets.keys() - {route.import_id for route in wanted}
    yield from _too_many(settings, gone, stack)
    yield from _handed_over(gone, wanted, tables, stack)


def _too_many(
    settings: Settings, gone: Collection[str], stack: Stack
) -> Iterator[Finding]:
    """Yield a fault if the stack would lose more routes than `maxRemovals` allows.

    A route is its table and its destination: a worker that is renamed or replaced takes
    none away; one with another pod CIDR, or in another table, does.
    """
    limit = settings.max_removals
    if len(gone) <= allowed(limit, of=len(stack.targets)):
        return
    yield Finding(
        where=f"{NAMESPACE}:maxRemovals",
        problem=f"expected at most {limit} of the {len(stack.targets)} routes of stack"
        f" {stack.name} to go, found {len(gone)}:",
        rows=first((name.replace("_", " ") for name in sorted(gone)), 20),
        remedy="Check the configuration and the workers. If they are to go, this"
        " allows it once:",
        command=remedies.update_removing(stack.name, len(gone)),
    )


def _handed_over(
    gone: Collection[str],
    wanted: Iterable[PodRoute[str]],
    tables: Iterable[RouteTable],
    stack: Stack,
) -> Iterator[Finding]:
    """Yield a fault for each route that an update would take from its new owner.

    The stack holds it, nobody in the plan needs it, and it leads elsewhere than the
    last update had it: to delete it would delete somebody else's. Where it leads to a
    worker that the plan serves in that table, or to an interface that is gone, it is
    nobody's.
    """
    served = {(route.route_table_id, route.network_interface_id) for route in wanted}
    for held, found in standing(tables).items():
        is_served = (held.partition("_")[0], found.target) in served
        if held not in gone or is_served or _leads_nowhere(found):
            continue
        declared = stack.declared.get(held)
        before = declared.network_interface_id if declared else stack.targets[held]
        if found.target == before:
            continue
        yield Finding(
            where=held.replace("_", " "),
            problem=f"the stack's route was to {before or 'something else'}, and leads"
            f" to {found.target or 'nothing'} now. No worker needs it, so an update"
            " would delete it.",
            remedy="If it is somebody else's now, let it go; AWS is not touched:",
            command=remedies.let_go(stack.name, stack.urns[held]),
        )


def _leads_nowhere(route: Route) -> bool:
    """Return whether the target is an interface of no instance any more."""
    is_gone = route.state == "blackhole" and not route.instance_id
    return is_gone and route.is_to_interface


def allowed(limit: str, *, of: int) -> int:
    """Return how many routes may go, of so many; a percentage is rounded down."""
    number = int(limit.removesuffix("%"))
    return of * number // 100 if limit.endswith("%") else number
