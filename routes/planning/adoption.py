"""Desired routes that exist and aren't in the stack's state: adopted, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from routes import commands
from routes.errors import Finding, truncated
from routes.model import (
    COMPONENT_TYPE,
    ROUTE_TYPE,
    ManagedRoute,
    PodRoute,
    Route,
    RouteKey,
)


def unmanaged_routes(
    desired: Mapping[RouteKey, PodRoute],
    existing: Mapping[RouteKey, Route],
    managed: Mapping[RouteKey, ManagedRoute],
) -> tuple[list[RouteKey], list[RouteKey]]:
    """Return the unmanaged routes to interfaces that desired routes collide with.

    A route to another kind of target is a fault of its worker.

    Returns:
        Those that can be adopted, as their target is right, or a deleted interface; and
        those in conflict, with the interface of somebody else.
    """
    adoptable: list[RouteKey] = []
    conflicting: list[RouteKey] = []
    for key in desired.keys() - managed.keys() & existing.keys():
        route = existing[key]
        if not route.is_to_interface:
            continue
        is_right = route.target == desired[key].network_interface_id
        if is_right or route.is_target_deleted:
            adoptable.append(key)
        else:
            conflicting.append(key)
    return sorted(adoptable), sorted(conflicting)


def conflicts(
    keys: Iterable[RouteKey],
    desired: Mapping[RouteKey, PodRoute],
    existing: Mapping[RouteKey, Route],
) -> Iterator[Finding]:
    """Yield a fault for each route in conflict.

    It may belong to somebody else, so no command retargets it.
    """
    for key in keys:
        route = desired[key]
        yield Finding(
            resource=str(key),
            problem=f"leads to {existing[key].target}, and should lead to"
            f" {route.network_interface_id} of {route.worker}; it isn't in this stack's"
            " state.",
            hint="If it is yours, retarget it to the worker's interface, then adopt it"
            " with import-file; or delete it, and the update creates it. Otherwise the"
            " worker needs another pod CIDR.",
        )


def not_adopted(
    keys: Iterable[RouteKey], desired: Mapping[RouteKey, PodRoute], stack: str
) -> Iterator[Finding]:
    """Yield one fault for all adoptable routes: EC2 would refuse to create them."""
    rows = [f"{key} of {desired[key].worker}" for key in keys]
    if rows:
        yield Finding(
            resource=f"stack {stack}",
            problem="these routes already exist with the right target, or a deleted"
            " one, but aren't in the stack's state:",
            details=truncated(rows, 10),
            hint="Unless another stack declares them, adopt them. This writes the"
            " import file:",
            command=commands.import_file(stack),
        )


def document(keys: Iterable[RouteKey], components: Mapping[str, str]) -> dict[str, Any]:
    """Return the import file: components first, each route a child of its own.

    Args:
        keys: the routes to adopt.
        components: name of each PodNetworkRoutes in the state, and its URN.
    """
    routes = [*keys]
    tables = dict.fromkeys(key.route_table_id for key in routes)
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
                "name": key.import_id,
                "id": key.import_id,
                "parent": key.route_table_id,
            }
            for key in routes
        ],
    }
