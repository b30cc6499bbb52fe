"""Routes made by hand -> the file with which `pulumi import` takes them over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routes import commands
from routes.errors import Fault
from routes.model import COMPONENT_TYPE, ROUTE_TYPE, PodRoute

if TYPE_CHECKING:
    from routes.plan import Plan
    from routes.stack import Stack


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What can be taken over, and what cannot.

    Attributes:
        routes: wanted, standing with the right target, and not held by the stack.
        document: the import file of those routes; its `resources` are empty if none.
        notes: the other routes that are wanted and stand already, and what to do.
    """

    routes: tuple[PodRoute[str], ...]
    document: Mapping[str, Any]
    notes: tuple[Fault, ...]


def adopt(plan: Plan, stack: Stack, region: str) -> Adoption:
    """Sort the wanted routes by what stands in their tables, and what the stack holds.

    Args:
        plan: what is wanted, and the tables as they stand.
        stack: what the stack's state holds.
        region: where the tables are.
    """
    standing = {table.id: table.static_routes() for table in plan.tables}
    ready = []
    notes = []
    for route in plan.routes:
        found = standing[route.route_table_id].get(route.destination)
        if not found:
            continue
        where = f"{route.route_table_id} {route.destination}"
        if route.import_id in stack.targets:
            notes.append(
                Fault(where=where, problem="the stack holds this route already.")
            )
        elif found.target == route.network_interface_id:
            ready.append(route)
        else:
            notes.append(_wrong_target(route, where, found.target, region))
    return Adoption(
        routes=tuple(ready),
        document=_document(ready, stack.components),
        notes=tuple(notes),
    )


def _wrong_target(route: PodRoute[str], where: str, target: str, region: str) -> Fault:
    return Fault(
        where=where,
        problem=f"expected a route to {route.network_interface_id} of {route.worker},"
        f" found one to {target}; it is not in the import file.",
        remedy="If it is yours, point it at the worker and run this again:",
        command=commands.replace_route(
            route.route_table_id,
            route.destination,
            route.network_interface_id,
            region,
        ),
    )


def _document(
    routes: Iterable[PodRoute[str]], components: Mapping[str, str]
) -> dict[str, Any]:
    """Return the import file: components first, each route a child of its own."""
    tables = dict.fromkeys(route.route_table_id for route in routes)
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
                "name": route.import_id,
                "id": route.import_id,
                "parent": route.route_table_id,
            }
            for route in routes
        ],
    }
