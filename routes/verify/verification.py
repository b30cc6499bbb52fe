"""Verify a snapshot: the entries of its tables, and which pods reach which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from routes import commands
from routes.errors import Finding, Severity, truncated
from routes.model import NAMESPACE, RouteKey, RouteTable
from routes.nodes import by_instance
from routes.verify import fixes
from routes.verify.header_space import Traffic
from routes.verify.reachability import Reachability, evaluate, evaluate_sources
from routes.verify.route_status import (
    UPDATE_PENDING,
    RouteStatus,
    TableEntry,
    entries,
)
from routes.verify.snapshot import Snapshot

CAVEAT = (
    "EC2 doesn't know what runs on the workers: the CNI plugin, host firewalls and"
    " net.ipv4.ip_forward were not checked."
)


class Outcome(IntEnum):
    """The result of a verification; the exit code of the command."""

    PASS = 0
    FAIL = 1
    UNKNOWN = 2


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of a verification.

    Attributes:
        entries: the entries of tables that the stack selects or still has routes in,
            and the missing routes, sorted.
        sources: the reachability of pods from other sources; None if there are none.
        faults: problems besides entries and pairs: of the lookup, of the stack's state,
            and tables of workers' subnets that are not selected.
        notes: findings that block no worker's pods.
    """

    snapshot: Snapshot
    traffic: Traffic
    entries: tuple[TableEntry, ...]
    reachability: Reachability
    sources: Reachability | None
    faults: tuple[Finding, ...]
    notes: tuple[Finding, ...]

    @property
    def reachabilities(self) -> tuple[Reachability, ...]:
        """Between workers and, if there are any, from other sources."""
        return (self.reachability, *((self.sources,) if self.sources else ()))

    @property
    def outcome(self) -> Outcome:
        """FAIL if anything is wrong, else UNKNOWN if anything was not evaluated."""
        pairs = {r.outcome for each in self.reachabilities for r in each.results}
        statuses = {each.status for each in self.entries if not each.status.is_fine}
        if self.faults or statuses - {RouteStatus.UNKNOWN} or "blocked" in pairs:
            return Outcome.FAIL
        if (
            statuses
            or "unknown" in pairs
            or self.reachability.unevaluated
            or self.snapshot.pending_operations
            or self.snapshot.denied
        ):
            return Outcome.UNKNOWN
        return Outcome.PASS


def verify(snapshot: Snapshot, traffic: Traffic) -> Verification:
    """Verify a snapshot, without a call to AWS."""
    table_ids = {*snapshot.route_table_ids}
    table_ids |= {key.route_table_id for key in snapshot.managed or {}}
    tables = sorted(
        (table for table in snapshot.tables if table.id in table_ids),
        key=lambda table: table.id,
    )
    in_tables = tuple(entry for table in tables for entry in entries(snapshot, table))
    faults = {
        *snapshot.faults,
        *snapshot.blocked,
        *_refusals(snapshot),
        *_not_adopted(snapshot),
        *_out_of_date(snapshot),
        *_differing_nodes(snapshot),
        *_tables_not_selected(snapshot, lacking=True),
    }
    notes = {
        *_pending(snapshot),
        *_denied(snapshot),
        *snapshot.pending_workers,
        *_unmanaged_blackholes(in_tables),
        *_tables_not_selected(snapshot, lacking=False),
        *_other_subnets(snapshot),
    }
    return Verification(
        snapshot=snapshot,
        traffic=traffic,
        entries=in_tables,
        reachability=evaluate(snapshot, traffic),
        sources=evaluate_sources(snapshot, traffic) if snapshot.sources else None,
        faults=tuple(sorted(faults)),
        notes=tuple(sorted(notes)),
    )


def _pending(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield the pending operations, because of which the plan isn't certain."""
    if snapshot.pending_operations:
        yield Finding(
            resource=f"stack {snapshot.stack}",
            problem=f"{UPDATE_PENDING}:",
            details=truncated(snapshot.pending_operations, 10),
            hint="Wait for it, then verify again. If none is running:",
            command=commands.clear_pending(snapshot.stack),
            severity=Severity.WARNING,
        )


def _refusals(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield why an update would be refused, without the command that allows it."""
    for refusal in snapshot.refusals:
        yield replace(
            refusal,
            hint="Updates are refused. Check the configuration and the workers; a"
            " preview shows what to do:",
            command=commands.pulumi(snapshot.stack, "preview"),
        )


def _denied(snapshot: Snapshot) -> Iterator[Finding]:
    for action, message in snapshot.denied.items():
        yield Finding(
            resource=f"ec2:{action}",
            problem="AWS denied it, so not everything could be verified:",
            details=tuple(message.splitlines()),
            severity=Severity.WARNING,
        )


def _unmanaged_blackholes(in_tables: Iterable[TableEntry]) -> Iterator[Finding]:
    """Yield other owners' routes that are blackholes for now."""
    for entry in in_tables:
        if entry.status is RouteStatus.UNMANAGED and entry.reason:
            yield Finding(
                resource=str(entry.key),
                problem=f"it isn't managed by this stack, and is a blackhole:"
                f" {entry.reason}.",
                severity=Severity.INFO,
            )


def _not_adopted(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield the routes in place that aren't in the state."""
    if snapshot.managed is None or not snapshot.can_update:
        return
    adoptable = [
        str(route.key)
        for route in snapshot.desired
        if route.key not in snapshot.managed
        and route.key in snapshot.existing
        and snapshot.existing[route.key].target == route.network_interface_id
    ]
    if adoptable:
        yield Finding(
            resource=f"stack {snapshot.stack}",
            problem="desired routes exist and aren't in its state:",
            details=truncated(adoptable, 10),
            hint="Adopt them. This writes the import file:",
            command=commands.import_file(snapshot.stack),
        )


def _out_of_date(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield the routes whose target in the state isn't the one in the table."""
    if snapshot.managed is None or snapshot.pending_operations:
        return
    for key, target in snapshot.managed.items():
        route = snapshot.existing.get(key)
        if route and route.target == target:
            continue
        actual = (route.target or "nothing") if route else "no such route"
        hint = "To make both match the configuration:"
        if snapshot.refusals or not snapshot.can_update:
            hint = "The next update that isn't refused fixes it."
        elif route and not route.is_to_interface:
            hint = "If nobody needs that route, delete it, and then:"
        elif snapshot.planned:
            hint = "An update without --refresh leaves this route drifted. Run:"
        yield Finding(
            resource=str(key),
            problem=f"the state of stack {snapshot.stack} has"
            f" {target or 'no interface'}, EC2 has {actual}.",
            hint=hint,
            command=fixes.update(snapshot),
        )


def _differing_nodes(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield the workers whose Nodes have other pod CIDRs than the plan.

    "podCIDRs represents the IP ranges assigned to the node for usage by Pods on that
    node" (Kubernetes API, "NodeSpec"); the CNI plugin follows it.
    """
    owned = by_instance(snapshot.nodes, snapshot.workers)
    for worker in snapshot.workers:
        for node in owned.get(worker.instance_id, ()):
            planned = {str(cidr) for cidr in worker.pod_cidrs}
            if node.pod_cidrs and planned and planned != {*node.pod_cidrs}:
                yield Finding(
                    resource=worker.label,
                    problem="its user data or tag has the pod CIDR"
                    f" {', '.join(sorted(planned))}, its Node {node.name} has"
                    f" {', '.join(node.pod_cidrs)}. Pods get addresses of the Node's.",
                    hint="To take all pod CIDRs from Nodes:",
                    command=commands.config_set(
                        snapshot.stack, f"{NAMESPACE}:podCidrFrom", "node"
                    ),
                )


def _tables_not_selected(snapshot: Snapshot, *, lacking: bool) -> Iterator[Finding]:
    """Yield the tables of workers' subnets that `routeTables` doesn't select.

    Args:
        snapshot: the VPC.
        lacking: whether to yield those that lack routes, or the others.
    """
    subnets: dict[str, list[str]] = {}
    for worker in snapshot.workers:
        if worker.interface:
            subnets.setdefault(worker.interface.subnet_id, []).append(worker.name)
    table_of = {subnet: snapshot.table_of(subnet) for subnet in subnets}
    for table in snapshot.tables:
        if table.id in snapshot.route_table_ids:
            continue
        if _lacks_routes(snapshot, table) != lacking:
            continue
        names = sorted(
            f"{name}  {subnet}"
            for subnet, workers in subnets.items()
            for name in workers
            if table_of[subnet] == table
        )
        if names:
            yield Finding(
                resource=table.id,
                problem=f"workers' subnets use it, but {NAMESPACE}:routeTables doesn't"
                " select it:",
                details=truncated(names, 10),
                hint="Select it too, then update:",
                command=fixes.select_tables(snapshot, table.id),
                severity=Severity.ERROR if lacking else Severity.INFO,
            )


def _other_subnets(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield subnets of other running instances whose table lacks routes to pods."""
    workers = {worker.instance_id for worker in snapshot.workers}
    worker_subnets = {w.interface.subnet_id for w in snapshot.workers if w.interface}
    subnets = {
        instance.subnet_id
        for instance in snapshot.instances
        if instance.state == "running" and instance.id not in workers
    }
    short = {table.id for table in snapshot.tables if _lacks_routes(snapshot, table)}
    short -= {*snapshot.route_table_ids}
    selected: list[str] = []
    for subnet_id in sorted(subnets - worker_subnets):
        table = snapshot.table_of(subnet_id)
        if table and table.id in short:
            selected.append(table.id)
            yield Finding(
                resource=subnet_id,
                problem=f"other instances run in it, and its table {table.id} lacks"
                " routes to pods. An API server there would reach no pod.",
                hint="If they need pods, select that table too:",
                command=fixes.select_tables(snapshot, *selected),
                severity=Severity.INFO,
            )


def _lacks_routes(snapshot: Snapshot, table: RouteTable) -> bool:
    """Return whether a table lacks a route that the stack's own tables should have."""
    existing = snapshot.existing
    return any(
        key not in existing or existing[key].target != route.network_interface_id
        for route in snapshot.desired
        for key in [RouteKey(table.id, route.destination)]
    )
