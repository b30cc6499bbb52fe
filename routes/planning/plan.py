"""Workers x route tables -> routes, or every reason why not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, PlanError
from routes.model import (
    Discovery,
    PodRoute,
    RouteTable,
    Vpc,
    Worker,
    by_destination,
    selected,
)
from routes.networks import Network
from routes.planning import adopt, faults, quota, removals, undecided, unready
from routes.planning.drift import drift
from routes.planning.warnings import warnings_of
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the configuration asks for, as far as EC2 lets it be known.

    Attributes:
        workers: those that are ready.
        routes: the desired ones, sorted by table, then destination.
        blocked: import ids of those that an update could not create.
        kept: import ids of managed routes that stay as the state has them.
        faults: what is wrong with the tables, the workers and their pod CIDRs.
        unmanaged: existing routes in the place of desired ones, and not in the state.
        refusals: what an update would delete, although it must not.
        warnings: what keeps pods from talking although every route can be declared.
        pending: why workers that entries select are not ready yet.
    """

    vpc: Vpc
    tables: tuple[RouteTable, ...]
    workers: tuple[Worker, ...]
    routes: tuple[PodRoute[str], ...]
    blocked: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    faults: tuple[Finding, ...]
    unmanaged: tuple[Finding, ...] = ()
    refusals: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...]
    pending: tuple[Finding, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Why routes are held back, or why the whole plan is refused."""
        return (*self.faults, *self.unmanaged, *self.refusals)

    @property
    def table_ids(self) -> list[str]:
        """The tables of the plan, and those in which it keeps routes, sorted."""
        kept = {key.partition("_")[0] for key in self.kept}
        return sorted({table.id for table in self.tables} | kept)

    def existing(self, table_id: str) -> frozenset[Network]:
        """Return the destinations of static routes in one table."""
        return frozenset(
            destination
            for table in self.tables
            if table.id == table_id
            for destination in table.static_routes()
        )

    @property
    def declared(self) -> tuple[PodRoute[str], ...]:
        """The desired routes that an update has, or creates."""
        return tuple(r for r in self.routes if r.import_id not in self.blocked)


def make(
    settings: Settings,
    discovery: Discovery,
    stack: Stack | None = None,
    allowance: removals.Allowance | None = None,
) -> Plan:
    """Return a plan that may be declared as it stands.

    With `unready: skip` its faults and refusals hold back only what they are about.

    Args:
        settings: what is asked for.
        discovery: what EC2 answered.
        stack: who would declare it; None for a plan that nobody declares.
        allowance: how many of its routes may be deleted; None for `maxRemovals`.

    Raises:
        PlanError: every fault of every table and worker, and every refusal.
    """
    plan = draft(settings, discovery, stack, allowance)
    if plan.problems and settings.unready != "skip":
        raise PlanError(
            "The routes cannot be declared; nothing was changed.", plan.problems
        )
    warnings = [*plan.warnings, *plan.pending]
    if stack:
        warnings += drift(plan.declared, plan.tables, stack)
    return replace(plan, warnings=tuple(sorted(warnings)))


def draft(
    settings: Settings,
    discovery: Discovery,
    stack: Stack | None = None,
    allowance: removals.Allowance | None = None,
) -> Plan:
    """Return the plan with its faults, for those who want to see the rest as well.

    Args:
        settings: what is asked for.
        discovery: what EC2 answered.
        stack: who would declare it; None for a plan that nobody declares.
        allowance: how many of its routes may be deleted; None for `maxRemovals`.

    Raises:
        PlanError: nothing can be planned: no table, tables of several VPCs, or a state
            that has one route more than once.
    """
    skips = settings.unready == "skip"
    found = [*faults.of_tables(settings, discovery)]
    doubles = _doubles(stack) if stack else ()
    tables = _distinct_tables(discovery, are_clear=skips)
    if len(discovery.vpcs) != 1 or (skips and not tables) or doubles:
        raise PlanError(
            "The routes cannot be declared; nothing was changed.", [*found, *doubles]
        )
    vpc = discovery.vpcs[0]
    workers = selected(discovery.workers)
    pending: list[Finding] = []
    of_workers = [*faults.of_single(settings, discovery, vpc, tables, workers)]
    if skips:
        workers, pending, of_workers = unready.defer(
            settings, discovery, stack, tables, of_workers
        )
    else:
        of_workers += faults.of_overlaps(workers)
    past, near = quota.compare(settings.route_quota, discovery, tables, workers)
    closed = [*faults.of_closed_tables(discovery, tables), *past]
    found += [*faults.of_lookup(settings, discovery, vpc), *of_workers, *closed]
    plan = Plan(
        vpc=vpc,
        tables=tables,
        workers=workers,
        routes=tuple(_routes(tables, workers)),
        faults=tuple(sorted(found)),
        warnings=tuple(
            sorted([*warnings_of(settings, discovery.region, tables, workers), *near])
        ),
        pending=tuple(sorted(pending)),
    )
    if not stack:
        return plan
    ids = {finding.where for finding in closed}
    return _held_back(settings, discovery, stack, plan, ids, allowance)


def _doubles(stack: Stack) -> list[Finding]:
    """Return a fault for each route that the state has under more than one URN."""
    return [
        Finding(
            where=key.replace("_", " "),
            problem=f"the state of stack {stack.name} has this route twice, as"
            f" {stack.managed[key].urn} and as {urn}: an update would delete it.",
            remedy="Remove the second from the state; AWS is not touched:",
            command=remedies.let_go(stack.name, urn),
        )
        for key, urns in stack.duplicates.items()
        for urn in urns
    ]


def _held_back(  # noqa: PLR0913, PLR0917 - a plan, and what it is compared with
    settings: Settings,
    discovery: Discovery,
    stack: Stack,
    plan: Plan,
    closed: Collection[str],
    allowance: removals.Allowance | None,
) -> Plan:
    """Compare a plan with the state: what cannot be created, and what must be kept.

    Args:
        settings: what is asked for.
        discovery: what EC2 answered.
        stack: what it manages.
        plan: what is desired.
        closed: the ids of tables that take no more routes.
        allowance: how many routes may be deleted.
    """
    adoption = adopt.adopt(plan.routes, plan.tables, stack)
    new = {route.import_id: route for route in plan.routes}
    blocked = {
        key
        for key, route in new.items()
        if key not in stack.managed and route.route_table_id in closed
    }
    blocked |= {route.import_id for route in adoption.routes}
    blocked |= {finding.where.replace(" ", "_") for finding in adoption.in_the_way}
    kept = undecided.undecided(discovery, stack, plan.tables, plan.workers, new)
    refusals = [*undecided.findings(discovery, stack, plan.tables)]
    removed = stack.managed.keys() - new.keys() - kept
    if settings.unready == "skip" or not plan.faults:  # or what is missing would count
        unsafe, reasons = removals.refused(
            settings, discovery, stack, plan.routes, removed, allowance
        )
        kept |= unsafe
        refusals += reasons
    return replace(
        plan,
        routes=tuple(route for key, route in new.items() if key not in kept),
        blocked=frozenset(blocked - kept),
        kept=frozenset(kept),
        unmanaged=adopt.refusals(adoption, stack),
        refusals=tuple(sorted(refusals)),
    )


def _routes(
    tables: Iterable[RouteTable], workers: Iterable[Worker]
) -> Iterator[PodRoute[str]]:
    targets = by_destination(workers)
    for table in tables:
        for destination, worker in targets.items():
            if worker.interface:
                yield PodRoute(
                    route_table_id=table.id,
                    destination=destination,
                    network_interface_id=worker.interface.id,
                    worker=worker.name,
                    instance_id=worker.instance_id,
                    private_ip=str(worker.private_ip) if worker.private_ip else None,
                )


def _distinct_tables(
    discovery: Discovery, *, are_clear: bool
) -> tuple[RouteTable, ...]:
    """Return the tables that entries select; if asked, of clear entries alone."""
    found = {
        table.id: table
        for tables in discovery.tables.values()
        for table in tables
        if len(tables) == 1 or not are_clear
    }
    return tuple(found[table_id] for table_id in sorted(found))
