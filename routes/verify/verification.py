"""A snapshot -> what stands, what is missing, and which pods reach which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from routes import remedies
from routes.errors import Finding, Severity, first
from routes.model import NAMESPACE, RouteTable, standing
from routes.verify import remedies as mend
from routes.verify.packets import Question
from routes.verify.reachability import Reachability, judge, judge_sources
from routes.verify.snapshot import Snapshot
from routes.verify.standing import IN_MOTION, RouteFinding, Standing, entries

CAVEAT = (
    "EC2 cannot tell what runs on the workers: the CNI plugin, host firewalls and"
    " net.ipv4.ip_forward were not looked at."
)


class Outcome(IntEnum):
    """How a verification went; the exit code of the command."""

    WELL = 0
    WRONG = 1
    UNDECIDED = 2


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Everything that was found.

    Attributes:
        routes: the entries of the tables that the stack serves, or still holds routes
            in, and those missing, in order.
        faults: what is wrong beside routes and pairs: the lookup, the stack's state,
            subnets whose table is not served.
        outside: how packets fare that other sources send; None where none was named.
        notes: what deserves a look and stops no worker's pods.
    """

    snapshot: Snapshot
    question: Question
    routes: tuple[RouteFinding, ...]
    reachability: Reachability
    outside: Reachability | None
    faults: tuple[Finding, ...]
    notes: tuple[Finding, ...]

    @property
    def judged(self) -> tuple[Reachability, ...]:
        """Whatever packets were followed: between workers, and from other sources."""
        return (self.reachability, *((self.outside,) if self.outside else ()))

    @property
    def outcome(self) -> Outcome:
        """How it went: what is wrong comes before what could not be judged."""
        outcomes = {
            verdict.outcome for found in self.judged for verdict in found.verdicts
        }
        standings = {each.standing for each in self.routes if not each.standing.is_well}
        if self.faults or standings - {Standing.UNDECIDED} or "stopped" in outcomes:
            return Outcome.WRONG
        if (
            standings
            or "unknown" in outcomes
            or self.reachability.undecided
            or self.snapshot.pending
            or self.snapshot.unread
        ):
            return Outcome.UNDECIDED
        return Outcome.WELL

    @property
    def is_well(self) -> bool:
        """Whether every route, every pair and everything else is as it should be."""
        return self.outcome is Outcome.WELL


def verify(snapshot: Snapshot, question: Question) -> Verification:
    """Judge a snapshot; nothing is read but the snapshot."""
    ours = {*snapshot.route_table_ids}
    ours |= {name.partition("_")[0] for name in snapshot.held or {}}
    tables = sorted(
        (table for table in snapshot.tables if table.id in ours),
        key=lambda table: table.id,
    )
    routes = tuple(finding for table in tables for finding in entries(snapshot, table))
    return Verification(
        snapshot=snapshot,
        question=question,
        routes=routes,
        reachability=judge(snapshot, question),
        outside=judge_sources(snapshot, question) if snapshot.sources else None,
        faults=tuple(
            sorted(
                {
                    *snapshot.faults,
                    *snapshot.held_back,
                    *_refusals(snapshot),
                    *_state_faults(snapshot),
                    *_unserved_workers(snapshot, are_short=True),
                }
            )
        ),
        notes=tuple(
            sorted(
                {
                    *_pending(snapshot),
                    *_unread(snapshot),
                    *snapshot.waiting,
                    *_asleep(routes),
                    *_unserved_workers(snapshot, are_short=False),
                    *_unserved_neighbours(snapshot),
                }
            )
        ),
    )


def _pending(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield what the stack is about, where that keeps it from being judged."""
    if snapshot.pending:
        yield Finding(
            where=f"stack {snapshot.stack}",
            problem=f"{IN_MOTION}:",
            rows=first(snapshot.pending, 10),
            remedy="Wait for it, then verify again. If none runs:",
            command=remedies.drop_pending(snapshot.stack),
            severity=Severity.WARNING,
        )


def _refusals(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield why an update would be refused; what allows it is not for haste."""
    for refusal in snapshot.refusals:
        yield replace(
            refusal,
            remedy="Check the configuration and the workers. Until then an update is"
            " refused; what to do is said by:",
            command=remedies.pulumi(snapshot.stack, "preview"),
        )


def _unread(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield what AWS said where it denied a call."""
    for action, words in snapshot.unread.items():
        yield Finding(
            where=f"ec2:{action}",
            problem="AWS denied it, so not everything could be judged:",
            rows=tuple(words.splitlines()),
            severity=Severity.WARNING,
        )


def _asleep(routes: Iterable[RouteFinding]) -> Iterator[Finding]:
    """Yield others' routes that lead nowhere for now; nothing is to be done here."""
    for route in routes:
        if route.standing is Standing.FOREIGN and route.why:
            yield Finding(
                where=f"{route.table_id} {route.destination}",
                problem=f"it is not this stack's, and leads nowhere: {route.why}.",
                severity=Severity.NOTE,
            )


def _state_faults(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield where the stack's state and the tables do not agree."""
    if snapshot.held is None or snapshot.pending:
        return
    there = standing(snapshot.tables)
    ready = [
        f"{route.route_table_id} {route.destination}"
        for route in snapshot.wanted
        if route.import_id not in snapshot.held
        and route.import_id in there
        and there[route.import_id].target == route.network_interface_id
    ]
    if ready and snapshot.is_settled:
        yield Finding(
            where=f"stack {snapshot.stack}",
            problem="routes stand that it wants and does not hold:",
            rows=first(ready, 10),
            remedy="Take them over; this writes the file to import:",
            command=remedies.take_over(snapshot.stack),
        )
    for held, target in snapshot.held.items():
        found = there.get(held)
        if not found or found.target != target:
            actual = found.target if found else "no such route"
            remedy = "Bring both to what the configuration asks for:"
            if snapshot.refusals or not snapshot.is_settled:
                remedy = "Once an update is allowed, it brings both together."
            elif found and not found.is_to_interface:
                remedy = "If nobody needs that route, remove it, and then:"
            elif snapshot.planned:
                remedy = "An update without --refresh leaves this route drifted. Run:"
            yield Finding(
                where=held.replace("_", " "),
                problem=f"stack {snapshot.stack} says {target or 'no interface'}, EC2"
                f" says {actual or 'nothing'}.",
                remedy=remedy,
                command=mend.update(snapshot),
            )


def _unserved_workers(snapshot: Snapshot, *, are_short: bool) -> Iterator[Finding]:
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
            yield Finding(
                where=table.id,
                problem=f"workers' subnets use it, but {NAMESPACE}:routeTables does not"
                " name it:",
                rows=first(names, 10),
                remedy="Have the stack serve it as well, then update:",
                command=mend.serve(snapshot, table.id),
                severity=Severity.FAULT if are_short else Severity.NOTE,
            )


def _unserved_neighbours(snapshot: Snapshot) -> Iterator[Finding]:
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
    named: list[str] = []
    for subnet_id in sorted(subnets - homes):
        table = snapshot.table_of(subnet_id)
        if table and table.id in short:
            named.append(table.id)
            yield Finding(
                where=subnet_id,
                problem=f"other instances run in it, and its table {table.id} lacks"
                " routes to pods. An API server there would reach no pod.",
                remedy="If they need pods, have the stack serve that table as well:",
                command=mend.serve(snapshot, *named),
                severity=Severity.NOTE,
            )


def _is_short(snapshot: Snapshot, table: RouteTable) -> bool:
    """Return whether a table lacks a route that the stack's own tables should have."""
    there = table.static_routes()
    return any(
        route.destination not in there
        or there[route.destination].target != route.network_interface_id
        for route in snapshot.wanted
    )
