"""Routes that stand and that the stack does not hold: refused, or taken over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routes import remedies
from routes.errors import Finding, first
from routes.model import COMPONENT_TYPE, ROUTE_TYPE, PodRoute, RouteTable, standing

if TYPE_CHECKING:
    from routes.engine.state import Stack


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What stands of a plan, sorted by what has to be done about it.

    Attributes:
        routes: existing with the right target, or with one that is gone, and not in the
            stack's state.
        in_the_way: those that lead to another interface, and how to turn each.
        held: standing, and held by the stack already.
    """

    routes: tuple[PodRoute[str], ...]
    in_the_way: tuple[Finding, ...]
    held: tuple[PodRoute[str], ...]


def adopt(
    wanted: Iterable[PodRoute[str]],
    tables: Iterable[RouteTable],
    stack: Stack,
) -> Adoption:
    """Sort the wanted routes by what stands in their tables, and what the stack holds.

    What leads to no interface at all is a fault of the plan already.
    """
    there = standing(tables)
    routes = []
    in_the_way = []
    held = []
    for route in wanted:
        found = there.get(route.import_id)
        if not found or not found.is_to_interface:
            continue
        if route.import_id in stack.managed:
            held.append(route)
        elif found.target == route.network_interface_id or found.is_target_gone:
            routes.append(route)
        else:
            in_the_way.append(_wrong_target(route, found.target))
    return Adoption(
        routes=tuple(routes), in_the_way=tuple(in_the_way), held=tuple(held)
    )


def _wrong_target(route: PodRoute[str], target: str) -> Finding:
    """Explain a route that may be somebody else's: no command retargets it."""
    return Finding(
        where=f"{route.route_table_id} {route.destination}",
        problem=f"leads to {target}, and should lead to {route.network_interface_id} of"
        f" {route.worker}; this stack does not hold it.",
        remedy="If it is yours, retarget it to the worker's interface, then adopt it"
        " with import-file; or delete it, and the update creates it. Otherwise the"
        " worker needs another pod CIDR.",
    )


def refusals(found: Adoption, stack: Stack) -> tuple[Finding, ...]:
    """Return why an update would meet RouteAlreadyExists."""
    if not found.routes:
        return found.in_the_way
    return (
        *found.in_the_way,
        Finding(
            where=f"stack {stack.name}",
            problem="these routes already exist, to the right target or to one that is"
            " gone, and are not in its state:",
            rows=first(
                (
                    f"{route.route_table_id} {route.destination} of {route.worker}"
                    for route in found.routes
                ),
                10,
            ),
            remedy="Unless another stack declares them, adopt them; this writes the"
            " file to import:",
            command=remedies.take_over(stack.name),
        ),
    )


def document(routes: Iterable[str], components: Mapping[str, str]) -> dict[str, Any]:
    """Return the import file: components first, each route a child of its own.

    Args:
        routes: the import ids of what is taken over.
        components: name of each PodNetworkRoutes that the stack holds, and its URN.
    """
    parents = {route: route.partition("_")[0] for route in routes}
    tables = dict.fromkeys(parents.values())
    return {
        "nameTable": {
            table: components[table] for table in tables if table in components
        },
        "resources": [
            {"type": COMPONENT_TYPE, "name": table, "component": True}
            for table in tables
            if table not in components
        ]
        + [
            {
                "type": ROUTE_TYPE,
                "name": route,
                "id": route,
                "parent": table,
            }
            for route, table in parents.items()
        ],
    }
