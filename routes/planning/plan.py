"""Plan routes from workers and route tables, or report every reason not to.

A plan compares three maps, each from route keys to routes: *desired*, from the workers;
*existing*, from the tables; *managed*, from the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from routes import commands
from routes.errors import Finding, PlanError
from routes.model import (
    Discovery,
    ManagedRoute,
    PodRoute,
    Route,
    RouteKey,
    RouteTable,
    Vpc,
    Worker,
    selected,
)
from routes.planning import (
    adoption,
    drift,
    faults,
    kept,
    quota,
    removals,
    unready,
    warnings,
)
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack

_REFUSED = "The routes cannot be declared; nothing was changed."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The routes that the configuration asks for, beside the tables and the state.

    Attributes:
        tables: the selected route tables.
        workers: the workers that are ready.
        desired, existing, managed: the three maps.
        blocked: the desired routes that an update couldn't create.
        kept: the managed routes that stay as the state has them.
        checked: the ready workers' interfaces whose source/destination check has to be
            turned off, and the worker's name.
        faults: problems of the tables, the workers and their pod CIDRs.
        unmanaged: desired routes that already exist outside the stack's state.
        refusals: routes that an update would delete, although it must not.
        warnings: why pods may not talk although every route can be declared.
        pending: why selected workers are not ready yet.
    """

    vpc: Vpc
    tables: tuple[RouteTable, ...]
    workers: tuple[Worker, ...]
    desired: Mapping[RouteKey, PodRoute]
    existing: Mapping[RouteKey, Route]
    managed: Mapping[RouteKey, ManagedRoute]
    blocked: frozenset[RouteKey] = frozenset()
    kept: frozenset[RouteKey] = frozenset()
    checked: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Finding, ...]
    unmanaged: tuple[Finding, ...] = ()
    refusals: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...]
    pending: tuple[Finding, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Why the plan is refused, or, with `unready: skip`, why routes are blocked."""
        return (*self.faults, *self.unmanaged, *self.refusals)

    @property
    def table_ids(self) -> list[str]:
        """The tables of the plan, and those in which it keeps routes, sorted."""
        kept_in = {key.route_table_id for key in self.kept}
        return sorted({table.id for table in self.tables} | kept_in)

    @cached_property
    def declared(self) -> Mapping[RouteKey, PodRoute]:
        """The desired routes that an update creates or has already."""
        return {k: r for k, r in self.desired.items() if k not in self.blocked}

    @cached_property
    def drift(self) -> Mapping[RouteKey, Route | None]:
        """The declared routes that somebody changed or deleted."""
        return drift.drifted(self.declared, self.existing, self.managed)


def validated(
    settings: Settings,
    discovery: Discovery,
    stack: Stack | None = None,
    allowance: removals.Allowance | None = None,
) -> Plan:
    """Return a plan that may be declared.

    With `unready: skip` its faults and refusals block only the routes they are about.

    Args:
        settings: the configuration.
        discovery: what was read from EC2.
        stack: the state; None for a plan that isn't declared.
        allowance: how many routes may be deleted; None for `maxRemovals`.

    Raises:
        PlanError: every fault of every table and worker, and every refusal.
    """
    plan = draft(settings, discovery, stack, allowance)
    if plan.problems and settings.unready != "skip":
        raise PlanError(_REFUSED, plan.problems)
    drifts = drift.warnings_of(plan.desired, plan.drift, stack) if stack else ()
    return replace(
        plan, warnings=tuple(sorted((*plan.warnings, *plan.pending, *drifts)))
    )


def draft(
    settings: Settings,
    discovery: Discovery,
    stack: Stack | None = None,
    allowance: removals.Allowance | None = None,
) -> Plan:
    """Return the plan together with its faults; the arguments are those of `validated`.

    Raises:
        PlanError: nothing can be planned: no table, tables of several VPCs, or a state
            that has a route more than once.
    """
    skips = settings.unready == "skip"
    of_tables = [*faults.of_tables(settings, discovery)]
    duplicates = _duplicates(stack) if stack else []
    tables = _distinct_tables(discovery, only_clear=skips)
    if len(discovery.vpcs) != 1 or (skips and not tables) or duplicates:
        raise PlanError(_REFUSED, [*of_tables, *duplicates])
    vpc = discovery.vpcs[0]
    ids = [table.id for table in tables]
    workers = selected(discovery.workers)
    by_worker = faults.of_workers(settings, discovery, vpc, ids, workers)
    pending: list[Finding] = []
    if skips:
        workers, pending, of_workers = unready.defer(
            settings, discovery, stack, ids, by_worker
        )
    else:
        of_workers = [fault for faults_ in by_worker.values() for fault in faults_]
        of_workers += faults.of_overlaps(workers)
    desired = _desired(ids, workers)
    existing = {k: r for k, r in discovery.existing.items() if k.route_table_id in ids}
    exceeded, close = quota.compare(
        settings.route_quota,
        discovery.prefix_lists,
        existing,
        ids,
        {cidr for worker in workers for cidr in worker.pod_cidrs},
    )
    closed = [*faults.of_closed_tables(discovery, tables), *exceeded]
    selection = faults.of_selection(settings, discovery, vpc)
    region = discovery.region
    plan = Plan(
        vpc=vpc,
        tables=tables,
        workers=workers,
        desired=desired,
        existing=existing,
        managed=stack.managed if stack else {},
        checked={
            worker.interface.id: worker.name
            for worker in workers
            if settings.source_dest_check == "disable"
            if worker.interface and worker.interface.source_dest_check
        },
        faults=tuple(sorted((*of_tables, *selection, *of_workers, *closed))),
        warnings=tuple(
            sorted(
                (
                    *warnings.of_workers(settings, region, workers),
                    *warnings.of_blackholes(
                        settings, region, desired, existing, workers
                    ),
                    *warnings.of_nodes(
                        settings, discovery.nodes or (), discovery.live.values()
                    ),
                    *close,
                )
            )
        ),
        pending=tuple(sorted(pending)),
    )
    if not stack:
        return plan
    closed_ids = {finding.resource for finding in closed}
    return _compared(settings, discovery, stack, plan, closed_ids, allowance)


def _compared(  # noqa: PLR0913, PLR0917 - a plan, and what it is compared with
    settings: Settings,
    discovery: Discovery,
    stack: Stack,
    plan: Plan,
    closed_ids: Iterable[str],
    allowance: removals.Allowance | None,
) -> Plan:
    """Compare a plan with the state: which routes are blocked, and which are kept."""
    desired = plan.desired
    adoptable, conflicting = adoption.unmanaged_routes(
        desired, plan.existing, plan.managed
    )
    blocked = {
        key
        for key in desired
        if key not in plan.managed and key.route_table_id in closed_ids
    }
    blocked.update(adoptable, conflicting)
    keep = kept.kept_routes(
        discovery, stack, [table.id for table in plan.tables], plan.workers, desired
    )
    refusals = [*kept.inconsistencies(discovery, stack)]
    if settings.unready == "skip" or not plan.faults:  # else desired ones are missing
        removed = plan.managed.keys() - desired.keys() - keep
        not_removed, reasons = removals.not_deletable(
            settings, discovery, stack, desired, removed, allowance
        )
        keep |= not_removed
        refusals += reasons
    return replace(
        plan,
        desired={k: route for k, route in desired.items() if k not in keep},
        blocked=frozenset(blocked),
        kept=frozenset(keep),
        unmanaged=(
            *adoption.conflicts(conflicting, desired, plan.existing),
            *adoption.not_adopted(adoptable, desired, stack.name),
        ),
        refusals=tuple(sorted(refusals)),
    )


def _duplicates(stack: Stack) -> list[Finding]:
    """Return a fault for each route that the state has under more than one URN."""
    return [
        Finding(
            resource=str(key),
            problem=f"the state of stack {stack.name} has this route twice, as"
            f" {stack.managed[key].urn} and as {urn}: an update would delete it.",
            hint="Remove the second from the state; AWS is not touched:",
            command=commands.state_delete(stack.name, urn),
        )
        for key, urns in stack.duplicates.items()
        for urn in urns
    ]


def _desired(
    table_ids: Iterable[str], workers: Iterable[Worker]
) -> dict[RouteKey, PodRoute]:
    """Return a route for each pod CIDR in each table, in order.

    Of two workers with the same pod CIDR, which is a fault, the last one gets it.
    """
    routes = {
        RouteKey(table_id, destination): PodRoute(
            route_table_id=table_id,
            destination=destination,
            network_interface_id=worker.interface.id,
            worker=worker.name,
            instance_id=worker.instance_id,
            private_ip=str(worker.private_ip) if worker.private_ip else None,
        )
        for table_id in table_ids
        for worker in workers
        for destination in worker.pod_cidrs
        if worker.interface
    }
    return {key: routes[key] for key in sorted(routes)}


def _distinct_tables(
    discovery: Discovery, *, only_clear: bool
) -> tuple[RouteTable, ...]:
    """Return the tables of all entries, or only of those that match a single table."""
    tables = {
        table.id: table
        for matches in discovery.tables.values()
        for table in matches
        if len(matches) == 1 or not only_clear
    }
    return tuple(tables[table_id] for table_id in sorted(tables))
