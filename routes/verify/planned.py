"""The snapshot as a plain `pulumi up` would leave it, before anything is changed."""

from __future__ import annotations

from dataclasses import replace

from routes.model import Route, RouteTable, import_id, standing
from routes.verify.snapshot import Snapshot


def after_update(snapshot: Snapshot) -> Snapshot:
    """Return what a plain `pulumi up` leaves; the snapshot itself if that is refused.

    An update is refused while the plan has faults, while another update is pending, if
    it would delete too much, and if an unmanaged route has a desired destination. What
    only holds back its own routes leaves those as they are.

    Without `--refresh` the engine compares the program with the state alone ("`pulumi
    refresh` ... compares the current stack's resource state with the state known to
    exist in the actual cloud provider", Pulumi CLI reference). So a route that drifted
    stays drifted.
    """
    state = snapshot.held or {}
    existing = standing(snapshot.tables)
    desired = {
        route.import_id: route.network_interface_id
        for route in snapshot.wanted
        if route.import_id in state or route.import_id not in existing
    }
    is_blocked = len(desired) < len(snapshot.wanted) and not snapshot.held_back
    if is_blocked or snapshot.refusals or not snapshot.is_settled:
        return snapshot
    failed = state.keys() - existing.keys()
    unchanged = {*snapshot.kept} | (desired.keys() & failed)
    return replace(
        snapshot,
        planned=True,
        tables=tuple(_updated(snapshot, table) for table in snapshot.tables),
        held=desired | {key: state[key] for key in unchanged},
    )


def _updated(snapshot: Snapshot, table: RouteTable) -> RouteTable:
    """Apply to one table the calls of an update, by destination.

    Desired, and in the state with that target: none. In the state with another target:
    ReplaceRoute, which fails if the table has no such route. Not in the state:
    CreateRoute. In the state and not desired: DeleteRoute.
    """
    state = snapshot.held or {}
    desired = {
        route.import_id: Route(
            destination=route.destination, target=route.network_interface_id
        )
        for route in snapshot.wanted
        if route.route_table_id == table.id
    }
    routes = []
    for route in table.routes:
        key = import_id(table.id, route.destination)
        new = desired.get(key)
        if not route.is_static or key not in state or key in snapshot.kept:
            routes.append(route)
        elif new:
            is_same = new.target in {state[key], route.target}
            routes.append(route if is_same else _made(snapshot, new))
    existing = table.static_routes()
    created = (
        _made(snapshot, route)
        for key, route in desired.items()
        if key not in state and route.destination not in existing
    )
    return replace(table, routes=(*routes, *created))


def _made(snapshot: Snapshot, route: Route) -> Route:
    """Return a new route; to what does not run it is a blackhole.

    See VPC User Guide, "Routes", on the state of a route.
    """
    gone = snapshot.why_gone(route.target)
    return replace(route, state="blackhole" if gone else "active")
