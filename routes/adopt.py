"""Routes made by hand -> the file with which `pulumi import` takes them over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from routes.errors import Fault
from routes.model import (
    COMPONENT_TYPE,
    ROUTE_TYPE,
    PodRoute,
    RouteTable,
    destination_option,
)


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


def adopt(
    routes: Iterable[PodRoute[str]],
    tables: Iterable[RouteTable],
    held: Mapping[str, str],
    components: Mapping[str, str],
) -> Adoption:
    """Sort the wanted routes by what stands in their tables.

    Args:
        routes: what the plan declares.
        tables: the tables as they stand.
        held: import id of each route in the stack's state, and its interface there.
        components: name of each component in the stack's state, and its URN.
    """
    standing = {table.id: table.static_routes() for table in tables}
    ready = []
    notes = []
    for route in routes:
        found = standing[route.route_table_id].get(route.destination)
        if not found:
            continue
        where = f"{route.route_table_id} {route.destination}"
        if route.import_id in held:
            notes.append(
                Fault(where=where, problem="the stack holds this route already.")
            )
        elif found.target == route.network_interface_id:
            ready.append(route)
        else:
            notes.append(_wrong_target(route, where, found.target))
    return Adoption(
        routes=tuple(ready),
        document=_document(ready, components),
        notes=tuple(notes),
    )


def _wrong_target(route: PodRoute[str], where: str, target: str) -> Fault:
    return Fault(
        where=where,
        problem=f"expected a route to {route.network_interface_id} of {route.worker},"
        f" found one to {target}; it is not in the import file.",
        remedy="If it is yours, point it at the worker and run this again:",
        command="aws ec2 replace-route"
        f" --route-table-id {route.route_table_id}"
        f" {destination_option(route.destination)}"
        f" --network-interface-id {route.network_interface_id}",
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
