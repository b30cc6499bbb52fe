"""A snapshot as an update of the stack would leave it, before anything is changed."""

from __future__ import annotations

from dataclasses import replace

from routes.model import Route, RouteTable, import_id
from routes.verify.snapshot import Snapshot


def after_update(snapshot: Snapshot) -> Snapshot:
    """Return what would stand after `pulumi up`; where that is refused, what stands.

    It is refused while the plan has faults or another one is pending, where it would
    take away too much, and where a wanted route stands that the stack does not hold.
    """
    static = {table.id: table.static_routes() for table in snapshot.tables}
    held = snapshot.held or {}
    taken = any(
        route.import_id not in held
        and route.destination in static[route.route_table_id]
        for route in snapshot.wanted
    )
    if taken or snapshot.refusals or not snapshot.is_settled:
        return snapshot
    return replace(
        snapshot,
        planned=True,
        tables=tuple(_updated(snapshot, table) for table in snapshot.tables),
        held={route.import_id: route.network_interface_id for route in snapshot.wanted},
    )


def _updated(snapshot: Snapshot, table: RouteTable) -> RouteTable:
    """Remove what the stack holds and no longer wants, turn and add what it wants."""
    wanted = {
        route.import_id: Route(
            destination=route.destination, target=route.network_interface_id
        )
        for route in snapshot.wanted
        if route.route_table_id == table.id
    }
    ours = {*wanted, *(snapshot.held or {})}
    routes = []
    for route in table.routes:
        name = import_id(table.id, route.destination)
        if not route.is_static or name not in ours:
            routes.append(route)
        elif name in wanted:
            new = wanted.pop(name)
            routes.append(route if route.target == new.target else _made(snapshot, new))
    made = (_made(snapshot, route) for route in wanted.values())
    return replace(table, routes=(*routes, *made))


def _made(snapshot: Snapshot, route: Route) -> Route:
    """Return a new route; to what does not run it is a blackhole.

    See VPC User Guide, "Routes", on the state of a route.
    """
    gone = snapshot.why_gone(route.target)
    return replace(route, state="blackhole" if gone else "active")
