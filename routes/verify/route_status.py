"""The status of each entry of a route table, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from routes.errors import Finding
from routes.model import PodRoute, Route, RouteKey, RouteTable
from routes.networks import enclosing, in_address_order
from routes.verify import fixes
from routes.verify.fixes import Fix
from routes.verify.snapshot import INTERFACE_DELETED, Snapshot


class RouteStatus(StrEnum):
    """How a route compares with the plan."""

    IN_PLACE = "in place"
    MISSING = "missing"
    WRONG_TARGET = "wrong target"
    BLACKHOLE = "blackhole"
    OCCUPIED = "occupied"
    """A worker's destination, with a target that isn't an interface."""
    OBSOLETE = "obsolete"
    """Managed, and no worker needs it."""
    UNKNOWN = "unknown"
    """Managed, and the plan doesn't decide whether a worker needs it."""
    STALE = "stale"
    """Unmanaged, in the cluster's range, and to a deleted interface, or a blackhole."""
    UNMANAGED = "unmanaged"
    """Somebody else's, in the cluster's range."""
    OTHER = "other"
    """Not a route to pods."""

    @property
    def is_fine(self) -> bool:
        """Whether nothing has to be done."""
        return self in {RouteStatus.IN_PLACE, RouteStatus.UNMANAGED, RouteStatus.OTHER}


UPDATE_PENDING: Final = "an update is running, or was interrupted"


@dataclass(frozen=True, kw_only=True)
class TableEntry:
    """One entry of a route table, or one that should exist.

    Attributes:
        target: "" if there is no such entry.
        state: active, blackhole, or "" if there is no such entry.
        worker: the worker whose pod CIDR the destination is, "" if there is none.
        reason: of a blackhole, or of a status that is unknown; "" if there is none.
        finding: what is wrong with the table, None if nothing has to be done.
    """

    key: RouteKey
    target: str
    state: str
    worker: str
    status: RouteStatus
    reason: str = ""
    finding: Finding | None = None


def expected_entry(
    snapshot: Snapshot, route: PodRoute, existing: Route | None
) -> TableEntry:
    """Return the entry of a route that a worker needs.

    Args:
        snapshot: the VPC.
        route: may be in any table, selected or not.
        existing: the static route to exactly that destination.
    """
    table_id, target = route.route_table_id, route.network_interface_id
    status, problem, reason, fix = RouteStatus.IN_PLACE, "", "", Fix()
    if existing is None:
        status, problem = RouteStatus.MISSING, "has no route to the pod CIDR"
        fix = fixes.update_drifted(snapshot)
        if table_id not in snapshot.route_table_ids:
            problem = f"isn't among routeTables and {problem}"
            fix = Fix(command=fixes.select_tables(snapshot, table_id))
    elif not existing.is_to_interface:
        status = RouteStatus.OCCUPIED
    elif existing.state == "blackhole":
        status = RouteStatus.BLACKHOLE
        reason = snapshot.why_blackhole(existing.target)
        problem = f"has a blackhole{': ' * bool(reason)}{reason}"
        fix = Fix(command=fixes.end_blackhole(snapshot, target))
    elif existing.target != target:
        status = RouteStatus.WRONG_TARGET
    if existing and existing.target != target:
        problem = problem or f"leads to {existing.target or 'nothing'} instead"
        fix = fixes.retarget(snapshot, table_id, existing)
    return TableEntry(
        key=route.key,
        target=existing.target if existing else "",
        state=existing.state if existing else "",
        worker=route.worker,
        status=status,
        reason=reason,
        finding=_finding(table_id, problem, fix) if problem else None,
    )


def other_entry(snapshot: Snapshot, table_id: str, route: Route) -> TableEntry:
    """Return the entry of a route that no worker of the plan needs."""
    key = RouteKey(table_id, route.destination)
    status, fix = RouteStatus.OTHER, Fix()
    reason = snapshot.why_blackhole(route.target) if route.is_to_interface else ""
    is_pods = not isinstance(route.destination, str) and bool(
        enclosing(snapshot.cluster_cidrs, route.destination)
    )
    if snapshot.managed and fixes.is_managed(snapshot, table_id, route):
        status = RouteStatus.UNKNOWN
        if snapshot.pending_operations:
            reason = UPDATE_PENDING
        elif not snapshot.can_update:
            reason = "the plan has faults"
        elif key in snapshot.kept:
            reason = "an update leaves it as it is"
        else:
            status = RouteStatus.OBSOLETE
            fix = Fix(command=fixes.delete_obsolete(snapshot, table_id))
    elif is_pods:
        status = RouteStatus.UNMANAGED
        is_blackhole = route.state == "blackhole" and not route.is_to_interface
        if is_blackhole or reason == INTERFACE_DELETED:
            status = RouteStatus.STALE
            fix = fixes.delete_unmanaged(snapshot, table_id, route)
    else:
        reason = ""
    return TableEntry(
        key=key,
        target=route.target,
        state=route.state,
        worker="",
        status=status,
        reason=reason,
        finding=_finding(table_id, f"has a route that is {status}", fix)
        if fix != Fix()
        else None,
    )


def _finding(table_id: str, problem: str, fix: Fix) -> Finding:
    return Finding(
        resource=table_id, problem=problem, hint=fix.hint, command=fix.command
    )


def entries(snapshot: Snapshot, table: RouteTable) -> Iterator[TableEntry]:
    """Yield the pods' routes by destination, then the table's other entries."""
    desired = {
        r.destination: r for r in snapshot.desired if r.route_table_id == table.id
    }
    for destination in sorted(desired, key=in_address_order):
        route = desired[destination]
        yield expected_entry(snapshot, route, snapshot.existing.get(route.key))
    for existing in sorted(table.routes, key=_by_destination):
        if not (existing.is_static and existing.destination in desired):
            yield other_entry(snapshot, table.id, existing)


def _by_destination(route: Route) -> tuple[bool, tuple[int, int, int], tuple[str, ...]]:
    rest = (str(route.destination), route.target, route.state, route.origin)
    if isinstance(route.destination, str):
        return True, (0, 0, 0), rest
    return False, in_address_order(route.destination), rest
