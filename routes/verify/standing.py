"""What is wrong with a route, and what mends it: once, for table and journey alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from routes.model import PodRoute, Route, RouteTable, import_id
from routes.networks import enclosing, in_address_order
from routes.verify import remedies as mend
from routes.verify.snapshot import INTERFACE_GONE, Snapshot


class Standing(StrEnum):
    """How one route stands against what the plan wants."""

    IN_PLACE = "in place"
    MISSING = "missing"
    WRONG_TARGET = "wrong target"
    BLACKHOLE = "blackhole"
    HELD = "held by another"
    LEFT_OVER = "left over"
    UNDECIDED = "undecided"
    STALE = "stale"
    FOREIGN = "foreign"
    OTHER = "-"

    @property
    def is_well(self) -> bool:
        """Whether nothing has to be done about it."""
        return self in {Standing.IN_PLACE, Standing.FOREIGN, Standing.OTHER}


IN_MOTION: Final = "an update is under way, or was interrupted"
"""Why nobody can say whether the stack wants what it holds."""


@dataclass(frozen=True, kw_only=True)
class RouteFinding:
    """One entry of a table, or one that it should have.

    Attributes:
        target: what the table leads to, "" where there is no such entry.
        state: active, blackhole, or "" where there is no such entry.
        worker: whose pod CIDR the destination is, "" where it is nobody's.
        problem: completes "rtb-... ", "" where there is none.
        why: the reason of a blackhole or a stale route, "" if there is none to tell.
        remedy: what to do, in prose; the command follows it.
        command: what mends it, "" where no command does.
    """

    table_id: str
    destination: str
    target: str
    state: str
    worker: str
    standing: Standing
    problem: str = ""
    why: str = ""
    remedy: str = ""
    command: str = ""


def wanted(
    snapshot: Snapshot, route: PodRoute[str], found: Route | None
) -> RouteFinding:
    """Judge what stands where a worker's route should.

    Args:
        snapshot: the VPC around it.
        route: what a worker needs, in any table; it may not be the stack's to serve.
        found: the static route to that very destination.
    """
    table_id, target = route.route_table_id, route.network_interface_id
    standing, problem, why, advice = Standing.IN_PLACE, "", "", mend.Advice()
    if found is None:
        standing, problem = Standing.MISSING, "has no route to the pod CIDR"
        advice = mend.refresh(snapshot)
        if table_id not in snapshot.route_table_ids:
            problem = f"is not among routeTables and {problem}"
            advice = mend.Advice(command=mend.serve(snapshot, table_id))
    elif not found.is_to_interface:
        standing = Standing.HELD
    elif found.state == "blackhole":
        standing, why = Standing.BLACKHOLE, snapshot.why_gone(found.target)
        problem = f"holds a blackhole{': ' * bool(why)}{why}"
        advice = mend.Advice(command=mend.revive(snapshot, target))
    elif found.target != target:
        standing = Standing.WRONG_TARGET
    if found and found.target != target:
        problem = problem or f"leads elsewhere, to {found.target or 'nothing'}"
        advice = mend.retarget(snapshot, table_id, found)
    return RouteFinding(
        table_id=table_id,
        destination=str(route.destination),
        target=found.target if found else "",
        state=found.state if found else "",
        worker=route.worker,
        standing=standing,
        problem=problem,
        why=why,
        remedy=advice.remedy,
        command=advice.command,
    )


def other(snapshot: Snapshot, table_id: str, found: Route) -> RouteFinding:
    """Judge a route that no worker of the plan wants."""
    standing, why, advice = Standing.OTHER, "", mend.Advice()
    gone = snapshot.why_gone(found.target) if found.is_to_interface else ""
    if snapshot.held and mend.is_managed(snapshot, table_id, found):
        standing, why = Standing.LEFT_OVER, gone
        advice = mend.Advice(command=mend.let_go(snapshot, table_id))
        if not snapshot.is_settled:
            standing, advice = Standing.UNDECIDED, mend.Advice()
            why = IN_MOTION if snapshot.pending else "its worker could not be judged"
        elif import_id(table_id, found.destination) in snapshot.kept:
            standing, advice = Standing.UNDECIDED, mend.Advice()
            why = "an update leaves it as it is"
    elif not isinstance(found.destination, str) and enclosing(
        snapshot.cluster_cidrs, found.destination
    ):
        standing, why = Standing.FOREIGN, gone
        is_blackhole = found.state == "blackhole" and not found.is_to_interface
        if is_blackhole or gone == INTERFACE_GONE:
            standing = Standing.STALE
            advice = mend.remove(snapshot, table_id, found)
    return RouteFinding(
        table_id=table_id,
        destination=str(found.destination),
        target=found.target,
        state=found.state,
        worker="",
        standing=standing,
        why=why,
        remedy=advice.remedy,
        command=advice.command,
    )


def entries(snapshot: Snapshot, table: RouteTable) -> Iterator[RouteFinding]:
    """Yield the pods' routes by destination, then the table's other entries."""
    static = table.static_routes()
    ours = {
        route.destination: route
        for route in snapshot.wanted
        if route.route_table_id == table.id
    }
    for destination in sorted(ours, key=in_address_order):
        yield wanted(snapshot, ours[destination], static.get(destination))
    for found in sorted(table.routes, key=_as_listed):
        if not (found.is_static and found.destination in ours):
            yield other(snapshot, table.id, found)


def _as_listed(route: Route) -> tuple[bool, tuple[int, int, int], tuple[str, ...]]:
    rest = (str(route.destination), route.target, route.state, route.origin)
    if isinstance(route.destination, str):
        return True, (0, 0, 0), rest
    return False, in_address_order(route.destination), rest
