"""Workers x route tables -> routes, or every reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
from routes.planning import adopt, faults, quota, removals, unready
from routes.planning.drift import drift
from routes.planning.warnings import warnings_of
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the configuration asks for, as far as EC2 lets it be known.

    Attributes:
        routes: sorted by table, then destination.
        faults: why the routes may not be declared; none of them, if there is one.
        warnings: what keeps pods from talking although every route can be declared.
        waiting: why workers that entries select are not among those of the plan yet.
    """

    vpc: Vpc
    tables: tuple[RouteTable, ...]
    workers: tuple[Worker, ...]
    routes: tuple[PodRoute[str], ...]
    faults: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    waiting: tuple[Finding, ...] = ()


def make(settings: Settings, discovery: Discovery, stack: Stack | None = None) -> Plan:
    """Return a plan that may be declared as it stands.

    Args:
        settings: what is asked for.
        discovery: what EC2 answered.
        stack: who would declare it; None for a plan that nobody declares.

    Raises:
        PlanError: every fault of every table and worker.
    """
    plan = draft(settings, discovery, stack)
    found = [*plan.faults]
    warnings = [*plan.warnings, *plan.waiting]
    if stack:
        standing = adopt.adopt(plan.routes, plan.tables, stack, discovery.region)
        found += adopt.refusals(standing, stack)
        warnings += drift(plan.routes, plan.tables, stack)
    if stack and not plan.faults:  # or what is missing from the plan would count
        tables = (*plan.tables, *discovery.former_tables)
        found += removals.refused(settings, plan.routes, tables, stack)
    if found:
        raise PlanError("The routes cannot be declared; nothing was changed.", found)
    return replace(plan, warnings=tuple(sorted(warnings)))


def draft(settings: Settings, discovery: Discovery, stack: Stack | None = None) -> Plan:
    """Return the plan with its faults, for those who want to see the rest as well.

    Args:
        settings: what is asked for.
        discovery: what EC2 answered.
        stack: whose workers are served already; None for a plan that nobody declares.

    Raises:
        PlanError: the tables are not of one VPC, so no worker was looked up.
    """
    found = [*faults.of_tables(settings, discovery)]
    if len(discovery.vpcs) != 1:
        raise PlanError("The route tables cannot be used; nothing was changed.", found)
    vpc = discovery.vpcs[0]
    tables = _distinct_tables(discovery)
    workers = selected(discovery.workers)
    waiting: list[Finding] = []
    if settings.unready == "skip":
        single = faults.of_single(settings, discovery, vpc, tables, workers)
        workers, waiting = unready.sift(settings, discovery, stack, tables, single)
    found += faults.of_lookup(settings, discovery, vpc)
    found += faults.of_single(settings, discovery, vpc, tables, workers)
    found += faults.of_overlaps(workers)
    past, near = quota.compare(settings.route_quota, discovery, tables, workers)
    warnings = [*warnings_of(settings, discovery.region, tables, workers), *near]
    return Plan(
        vpc=vpc,
        tables=tables,
        workers=workers,
        routes=tuple(_routes(tables, workers)),
        faults=tuple(sorted([*found, *past])),
        warnings=tuple(sorted(warnings)),
        waiting=tuple(sorted(waiting)),
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


def _distinct_tables(discovery: Discovery) -> tuple[RouteTable, ...]:
    found = {
        table.id: table for tables in discovery.tables.values() for table in tables
    }
    return tuple(found[table_id] for table_id in sorted(found))
