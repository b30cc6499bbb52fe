"""The snapshot as a plain `pulumi up` would leave it."""

from __future__ import annotations

from dataclasses import replace

from routes.model import Route, RouteKey, RouteTable, Worker
from routes.verify.snapshot import Snapshot


def after_update(snapshot: Snapshot) -> Snapshot:
    """Return what a plain `pulumi up` leaves; the snapshot itself if it is refused.

    An update is refused while the plan has faults, while another update is pending, if
    it would delete too much, and if an unmanaged route has a desired destination.
    Problems that block only their own routes leave those as they are.

    Without `--refresh` the engine compares the program with the state alone ("`pulumi
    refresh` ... compares the current stack's resource state with the state known to
    exist in the actual cloud provider", Pulumi CLI reference). So a route that drifted
    stays drifted.
    """
    managed = snapshot.managed or {}
    desired = {
        route.key: route.network_interface_id
        for route in snapshot.desired
        if route.key in managed or route.key not in snapshot.existing
    }
    is_blocked = len(desired) < len(snapshot.desired) and not snapshot.blocked
    if is_blocked or snapshot.refusals or not snapshot.can_update:
        return snapshot
    failing = managed.keys() - snapshot.existing.keys()
    unchanged = {*snapshot.kept} | (desired.keys() & failing)
    return replace(
        snapshot,
        planned=True,
        tables=tuple(_updated(snapshot, table) for table in snapshot.tables),
        workers=tuple(_without_check(snapshot, each) for each in snapshot.workers),
        managed=desired | {key: managed[key] for key in unchanged},
    )


def _without_check(snapshot: Snapshot, worker: Worker) -> Worker:
    if worker.interface is None or worker.interface.id not in snapshot.checked:
        return worker
    interface = replace(worker.interface, source_dest_check=False)
    return replace(worker, interface=interface)


def _updated(snapshot: Snapshot, table: RouteTable) -> RouteTable:
    """Apply an update's calls to one table.

    A desired route that isn't managed gets CreateRoute; a managed one with another
    target, ReplaceRoute, which fails if the table has no such route. A managed route
    that isn't desired gets DeleteRoute.
    """
    managed = snapshot.managed or {}
    desired = {
        route.key: Route(
            destination=route.destination, target=route.network_interface_id
        )
        for route in snapshot.desired
        if route.route_table_id == table.id
    }
    routes = []
    for route in table.routes:
        key = RouteKey(table.id, route.destination)
        new = desired.get(key)
        if not route.is_static or key not in managed or key in snapshot.kept:
            routes.append(route)
        elif new:
            is_same = new.target in {managed[key], route.target}
            routes.append(route if is_same else _created(snapshot, new))
    created = (
        _created(snapshot, route)
        for key, route in desired.items()
        if key not in managed and key not in snapshot.existing
    )
    return replace(table, routes=(*routes, *created))


def _created(snapshot: Snapshot, route: Route) -> Route:
    """Return a new route: a blackhole if its target isn't running.

    See VPC User Guide, "Routes", on the state of a route.
    """
    is_blackhole = snapshot.why_blackhole(route.target)
    return replace(route, state="blackhole" if is_blackhole else "active")
