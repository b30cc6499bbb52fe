"""A snapshot -> what stands, what is missing, and which pods reach which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from routes import commands
from routes.errors import Fault, first
from routes.model import (
    NAMESPACE,
    PodRoute,
    Route,
    RouteTable,
    contains,
    import_id,
    in_address_order,
)
from routes.packets import Question
from routes.reachability import Reachability, judge
from routes.snapshot import Snapshot

CAVEAT = (
    "EC2 cannot tell what runs on the workers: the CNI plugin, host firewalls and"
    " net.ipv4.ip_forward were not looked at."
)


class Standing(StrEnum):
    """How one route stands against what the plan wants."""

    IN_PLACE = "in place"
    MISSING = "missing"
    WRONG_TARGET = "wrong target"
    BLACKHOLE = "blackhole"
    HELD = "held by another"
    LEFT_OVER = "left over"
    STALE = "stale"
    FOREIGN = "foreign"
    OTHER = "-"

    @property
    def is_well(self) -> bool:
        """Whether nothing has to be done about it."""
        return self in {Standing.IN_PLACE, Standing.FOREIGN, Standing.OTHER}


@dataclass(frozen=True, kw_only=True)
class RouteFinding:
    """One entry of a table, or one that it should have.

    Attributes:
        target: what the table leads to, "" where there is no such entry.
        state: active, blackhole, or "" where there is no such entry.
        worker: whose pod CIDR the destination is, "" where it is nobody's.
        why: the reason of a blackhole or a stale route, "" if there is none to tell.
        command: what mends it.
    """

    table_id: str
    destination: str
    target: str
    state: str
    worker: str
    standing: Standing
    why: str = ""
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Everything that was found.

    Attributes:
        routes: the entries of the stack's tables and those missing, in order.
        faults: what is wrong beside routes and pairs: the lookup, the stack's state,
            subnets whose table is not served.
        notes: what deserves a look and stops no worker's pods.
    """

    snapshot: Snapshot
    question: Question
    routes: tuple[RouteFinding, ...]
    reachability: Reachability
    faults: tuple[Fault, ...]
    notes: tuple[Fault, ...]

    @property
    def is_well(self) -> bool:
        """Whether every route, every pair and everything else is as it should be."""
        return (
            not self.faults
            and all(finding.standing.is_well for finding in self.routes)
            and all(not verdict.cause for verdict in self.reachability.verdicts)
        )


def verify(snapshot: Snapshot, question: Question) -> Verification:
    """Judge a snapshot; nothing is read but the snapshot."""
    tables = sorted(
        (table for table in snapshot.tables if table.id in snapshot.route_table_ids),
        key=lambda table: table.id,
    )
    return Verification(
        snapshot=snapshot,
        question=question,
        routes=tuple(
            finding for table in tables for finding in _routes(snapshot, table)
        ),
        reachability=judge(snapshot, question),
        faults=tuple(
            sorted(
                {
                    *snapshot.faults,
                    *_state_faults(snapshot),
                    *_unserved_workers(snapshot, are_short=True),
                }
            )
        ),
        notes=tuple(
            sorted(
                {
                    *_unserved_workers(snapshot, are_short=False),
                    *_unserved_neighbours(snapshot),
                }
            )
        ),
    )


def _routes(snapshot: Snapshot, table: RouteTable) -> Iterator[RouteFinding]:
    """Yield the pods' routes by destination, then the table's other entries."""
    standing = table.static_routes()
    wanted = {
        route.destination: route
        for route in snapshot.wanted
        if route.route_table_id == table.id
    }
    for destination in sorted(wanted, key=in_address_order):
        yield _wanted(snapshot, wanted[destination], standing.get(destination))
    others = [
        route
        for route in table.routes
        if not (route.is_static and route.destination in wanted)
    ]
    for route in sorted(others, key=_as_listed):
        yield _other(snapshot, table, route)


def _as_listed(route: Route) -> tuple[bool, tuple[int, int, int], tuple[str, ...]]:
    rest = (str(route.destination), route.target, route.state, route.origin)
    if isinstance(route.destination, str):
        return True, (0, 0, 0), rest
    return False, in_address_order(route.destination), rest


def _wanted(
    snapshot: Snapshot, route: PodRoute[str], found: Route | None
) -> RouteFinding:
    table = route.route_table_id
    target, why, command = route.network_interface_id, "", ""
    if found is None:
        standing, command = Standing.MISSING, commands.update(snapshot.stack)
    elif not found.is_to_interface:
        standing = Standing.HELD
    elif found.state == "blackhole":
        standing, why = Standing.BLACKHOLE, snapshot.why_gone(found.target)
    elif found.target != target:
        standing = Standing.WRONG_TARGET
    else:
        standing = Standing.IN_PLACE
    if found and found.target != target:
        command = commands.redirect(snapshot, table, found, route.destination, target)
    elif standing is Standing.BLACKHOLE:
        command = _revival(snapshot, route)
    return RouteFinding(
        table_id=table,
        destination=str(route.destination),
        target=found.target if found else "",
        state=found.state if found else "",
        worker=route.worker,
        standing=standing,
        why=why,
        command=command,
    )


def _revival(snapshot: Snapshot, route: PodRoute[str]) -> str:
    """Return what ends a blackhole that leads to the right interface."""
    for worker in snapshot.workers:
        if worker.instance_id == route.instance_id and worker.state != "running":
            return commands.start(worker.instance_id, worker.state, snapshot.region)
    return commands.replace_route(
        route.route_table_id,
        route.destination,
        route.network_interface_id,
        snapshot.region,
    )


def _other(snapshot: Snapshot, table: RouteTable, route: Route) -> RouteFinding:
    standing, why, command = Standing.OTHER, "", ""
    gone = snapshot.why_gone(route.target) if route.is_to_interface else ""
    if route.is_static and import_id(table.id, route.destination) in (
        snapshot.held or {}
    ):
        standing, why = Standing.LEFT_OVER, gone
        command = commands.update(snapshot.stack)
    elif not isinstance(route.destination, str) and any(
        contains(network, route.destination) for network in snapshot.cluster_cidrs
    ):
        standing = Standing.FOREIGN
        if route.state == "blackhole" or gone == "the interface is gone":
            standing, why = Standing.STALE, gone
            command = commands.remove_route(table.id, route, snapshot.region)
    return RouteFinding(
        table_id=table.id,
        destination=str(route.destination),
        target=route.target,
        state=route.state,
        worker="",
        standing=standing,
        why=why,
        command=command,
    )


def _state_faults(snapshot: Snapshot) -> Iterator[Fault]:
    """Yield where the stack's state and the tables do not agree."""
    if snapshot.held is None:
        return
    standing = {
        import_id(table.id, destination): route
        for table in snapshot.tables
        for destination, route in table.static_routes().items()
    }
    ready = [
        f"{route.route_table_id} {route.destination}"
        for route in snapshot.wanted
        if route.import_id not in snapshot.held
        and route.import_id in standing
        and standing[route.import_id].target == route.network_interface_id
    ]
    if ready:
        yield Fault(
            where=f"stack {snapshot.stack}",
            problem="routes stand that it wants and does not hold:",
            rows=first(ready, 10),
            remedy="Take them over; this writes the file to import:",
            command=commands.take_over(snapshot.stack),
        )
    for held, target in snapshot.held.items():
        found = standing.get(held)
        if not found or found.target != target:
            actual = found.target if found else "no such route"
            remedy = "Bring both to what the configuration asks for:"
            if found and not found.is_to_interface:
                remedy = "If nobody needs that route, remove it, and then:"
            yield Fault(
                where=held.replace("_", " "),
                problem=f"stack {snapshot.stack} says {target or 'no interface'}, EC2"
                f" says {actual or 'nothing'}.",
                remedy=remedy,
                command=commands.update(snapshot.stack),
            )


def _unserved_workers(snapshot: Snapshot, *, are_short: bool) -> Iterator[Fault]:
    """Yield workers whose subnet's table is not served: short of routes, or not."""
    homes: dict[str, list[str]] = {}
    for worker in snapshot.workers:
        if worker.interface:
            homes.setdefault(worker.interface.subnet_id, []).append(worker.name)
    served = {subnet: snapshot.table_of(subnet) for subnet in homes}
    for table in snapshot.tables:
        if table.id in snapshot.route_table_ids:
            continue
        if _is_short(snapshot, table) != are_short:
            continue
        names = sorted(
            f"{name}  {subnet}"
            for subnet, workers in homes.items()
            for name in workers
            if served[subnet] == table
        )
        if names:
            yield Fault(
                where=table.id,
                problem=f"workers' subnets use it, but {NAMESPACE}:routeTables does not"
                " name it:",
                rows=first(names, 10),
                remedy="Have the stack serve it as well, then update:",
                command=commands.configure_tables(
                    snapshot.stack, {*snapshot.route_table_ids, table.id}
                ),
            )


def _unserved_neighbours(snapshot: Snapshot) -> Iterator[Fault]:
    """Yield subnets of other running instances whose table lacks the routes."""
    workers = {worker.instance_id for worker in snapshot.workers}
    homes = {w.interface.subnet_id for w in snapshot.workers if w.interface}
    subnets = {
        instance.subnet_id
        for instance in snapshot.instances
        if instance.state == "running" and instance.id not in workers
    }
    short = {table.id for table in snapshot.tables if _is_short(snapshot, table)} - set(
        snapshot.route_table_ids
    )
    for subnet_id in subnets - homes:
        table = snapshot.table_of(subnet_id)
        if table and table.id in short:
            yield Fault(
                where=subnet_id,
                problem=f"other instances run in it, and its table {table.id} lacks"
                " routes to pods. An API server there would reach no pod.",
                remedy="If they need pods, have the stack serve that table as well:",
                command=commands.configure_tables(
                    snapshot.stack, {*snapshot.route_table_ids, table.id}
                ),
            )


def _is_short(snapshot: Snapshot, table: RouteTable) -> bool:
    """Return whether a table lacks a route that the stack's own tables should have."""
    standing = table.static_routes()
    return any(
        route.destination not in standing
        or standing[route.destination].target != route.network_interface_id
        for route in snapshot.wanted
    )
