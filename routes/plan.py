"""Workers x route tables -> routes, or every reason why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from routes import health
from routes.errors import Fault, PlanError
from routes.model import (
    NAMESPACE,
    Discovery,
    Network,
    PodRoute,
    RouteTable,
    Selector,
    Vpc,
    Worker,
    by_destination,
    contains,
    in_address_order,
)
from routes.settings import Settings

_QUOTA_REMEDY: Final = (
    "Ask AWS for a higher quota of routes per route table, then set"
    f" {NAMESPACE}:routeQuota to it."
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the configuration asks for, as far as EC2 lets it be known.

    Attributes:
        routes: sorted by table, then destination.
        faults: why the routes may not be declared; none of them, if there is one.
        warnings: what keeps pods from talking although every route can be declared.
    """

    vpc: Vpc
    tables: tuple[RouteTable, ...]
    workers: tuple[Worker, ...]
    routes: tuple[PodRoute[str], ...]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def make(settings: Settings, discovery: Discovery) -> Plan:
    """Return a plan that may be declared as it stands.

    Raises:
        PlanError: every fault of every table and worker.
    """
    plan = draft(settings, discovery)
    if plan.faults:
        raise PlanError(
            "The routes cannot be declared; nothing was changed.", plan.faults
        )
    return plan


def draft(settings: Settings, discovery: Discovery) -> Plan:
    """Return the plan with its faults, for those who want to see the rest as well.

    Raises:
        PlanError: the tables are not of one VPC, so no worker was looked up.
    """
    faults = [*_table_faults(discovery)]
    if len(discovery.vpcs) != 1:
        raise PlanError("The route tables cannot be used; nothing was changed.", faults)
    vpc = discovery.vpcs[0]
    tables = _distinct_tables(discovery)
    workers = _distinct_workers(discovery)
    faults += _lookup_faults(settings, discovery, vpc)
    faults += _worker_faults(settings, discovery, workers)
    faults += _cidr_faults(settings, vpc, workers)
    faults += _overlap_faults(workers)
    warnings = [*health.warnings(settings, discovery.region, tables, workers)]
    for table in tables:
        faults += _destination_faults(table, workers)
        quota = settings.route_quota
        for family, count, grows in _static_counts(discovery, table, workers):
            if grows and 0 < quota < count:
                faults.append(_quota_fault(quota, table, family, count))
            elif 0 < 0.8 * quota < count:
                warnings.append(_quota_warning(quota, table, family, count))
    return Plan(
        vpc=vpc,
        tables=tables,
        workers=workers,
        routes=tuple(_routes(tables, workers)),
        faults=tuple(sorted(faults)),
        warnings=tuple(sorted(warnings)),
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


def _distinct_workers(discovery: Discovery) -> tuple[Worker, ...]:
    """Return the workers that entries select without ambiguity, sorted by name."""
    found = {
        worker.instance_id: worker
        for selector, workers in discovery.workers.items()
        if selector.is_pattern or len(workers) == 1
        for worker in workers
    }
    return tuple(sorted(found.values(), key=lambda w: (w.name, w.instance_id)))


def _table_faults(discovery: Discovery) -> Iterator[Fault]:
    for selector, found in discovery.tables.items():
        tables = sorted(found, key=lambda table: table.id)
        expected = f"expected one route table with {selector} in {discovery.region}"
        if not tables:
            yield Fault(
                where=f"{NAMESPACE}:routeTables",
                problem=f"{expected}, found none.",
                remedy="Check the name, the region and the account. Its tables are:",
                command=f"aws ec2 describe-route-tables --region {discovery.region}",
            )
        elif len(tables) > 1:
            yield Fault(
                where=f"{NAMESPACE}:routeTables",
                problem=f"{expected}, found {len(tables)}:",
                rows=tuple(f"{table.id}  {table.vpc_id}" for table in tables),
                remedy="Name the table by its id:",
                command=f"pulumi config set {NAMESPACE}:routeTables {tables[0].id}",
            )
    if len(discovery.vpcs) > 1:
        yield Fault(
            where=f"{NAMESPACE}:routeTables",
            problem="expected tables of one VPC, found"
            f" {len(discovery.vpcs)} VPCs; workers were not looked up:",
            rows=tuple(
                f"{table.id}  {table.vpc_id}" for table in _distinct_tables(discovery)
            ),
            remedy="Keep the tables of the workers' VPC; use one stack per VPC.",
        )


def _lookup_faults(
    settings: Settings, discovery: Discovery, vpc: Vpc
) -> Iterator[Fault]:
    for selector, found in discovery.workers.items():
        if not found:
            yield _missing(settings, selector, vpc, discovery.region)
        elif len(found) > 1 and not selector.is_pattern:
            yield _ambiguous(settings, selector, found, vpc)
    live = {
        worker.instance_id: worker
        for found in discovery.workers.values()
        for worker in found
    }
    if 0 < len(live) < settings.min_workers:  # of none, each entry says so itself
        yield Fault(
            where=f"{NAMESPACE}:minWorkers",
            problem=f"expected at least {settings.min_workers} distinct workers in"
            f" {vpc.id}, found {len(live)}.",
            rows=tuple(sorted(worker.label for worker in live.values())),
            remedy="Bring the missing workers back. If the cluster did shrink:",
            command=f"pulumi config set {NAMESPACE}:minWorkers {len(live)}",
        )


def _worker_faults(
    settings: Settings, discovery: Discovery, workers: Iterable[Worker]
) -> Iterator[Fault]:
    for worker in workers:
        if worker.instance_id in discovery.unreadable:
            yield Fault(
                where=worker.label,
                problem=discovery.unreadable[worker.instance_id],
                remedy=_unreadable_remedy(settings),
            )
        if not worker.interface:
            yield Fault(
                where=worker.label,
                problem="expected an attached primary network interface (device index"
                " 0), found none.",
                remedy="Wait until the instance is up, or take it out of"
                f" {NAMESPACE}:workers.",
            )


def _missing(settings: Settings, selector: Selector, vpc: Vpc, region: str) -> Fault:
    tags = "".join(f", {key}={value}" for key, value in settings.worker_tags.items())
    return Fault(
        where=selector.text,
        problem=f"expected a live instance with {selector}{tags} in {vpc.id}, found"
        " none.",
        remedy="A terminated instance does not count. Check the name, the VPC and the"
        f" region ({region}), or take it out of {NAMESPACE}:workers.",
    )


def _ambiguous(
    settings: Settings, selector: Selector, workers: tuple[Worker, ...], vpc: Vpc
) -> Fault:
    newest = max(workers, key=lambda worker: (worker.launch_time, worker.instance_id))
    pinned = ",".join(
        newest.instance_id if entry == selector else entry.text
        for entry in settings.workers
    )
    return Fault(
        where=selector.text,
        problem=f"expected one live instance with {selector} in {vpc.id}, found"
        f" {len(workers)}:",
        rows=tuple(
            row
            for worker in sorted(workers, key=lambda worker: worker.instance_id)
            for row in _candidate(worker)
        ),
        remedy="Terminate one, change its Name, or pin the worker:",
        command=f"pulumi config set {NAMESPACE}:workers {pinned}",
    )


def _candidate(worker: Worker) -> tuple[str, str]:
    where = f"{worker.private_ip or 'no address'}  {worker.availability_zone}"
    interface = worker.interface.id if worker.interface else "no primary interface"
    return (
        f"{worker.instance_id}  {worker.state}  {where}",
        f"  {interface}  launched {worker.launch_time:%Y-%m-%d %H:%M} UTC",
    )


def _unreadable_remedy(settings: Settings) -> str:
    if settings.pod_cidr_from == "tag":
        return f"Give the instance a tag {settings.pod_cidr_key}=<its pod CIDR>."
    return (
        f"Expected {settings.pod_cidr_key}=<its pod CIDR> as one field, with | or"
        " newlines around it. User data can be changed while the instance is stopped;"
        f" or read a tag instead: {NAMESPACE}:podCidrFrom tag."
    )


def _cidr_faults(
    settings: Settings, vpc: Vpc, workers: Iterable[Worker]
) -> Iterator[Fault]:
    cluster = " and ".join(map(str, settings.cluster_cidr))
    for worker in workers:
        for cidr in worker.pod_cidrs:
            if cidr.prefixlen == 0:
                yield Fault(
                    where=worker.label,
                    problem=f"its pod CIDR {cidr} would be a default route.",
                    remedy="Give the worker a range of its own inside"
                    f" {NAMESPACE}:clusterCidr ({cluster}).",
                )
                continue
            if not any(contains(network, cidr) for network in settings.cluster_cidr):
                yield Fault(
                    where=worker.label,
                    problem=f"expected a pod CIDR inside {NAMESPACE}:clusterCidr"
                    f" ({cluster}), found {cidr}.",
                    remedy="Correct the worker's pod CIDR, or the cluster's range.",
                )
            for block in vpc.cidrs:
                if contains(block, cidr) or contains(cidr, block):
                    yield Fault(
                        where=worker.label,
                        problem=f"its pod CIDR {cidr} overlaps {block} of {vpc.id};"
                        " EC2 keeps that range for the VPC's own subnets.",
                        remedy="Give pods a range outside the VPC's.",
                    )


def _overlap_faults(workers: Iterable[Worker]) -> Iterator[Fault]:
    """Compare each network with the widest before it: n log n, not every pair.

    Networks are nested or disjoint, so in this order whatever overlaps an earlier one
    lies inside the last that was not itself inside another.
    """
    held = sorted(
        ((cidr, worker) for worker in workers for cidr in worker.pod_cidrs),
        key=lambda item: (in_address_order(item[0]), item[1].instance_id),
    )
    if not held:
        return
    outer, owner = held[0]
    for cidr, worker in held[1:]:
        if not contains(outer, cidr):
            outer, owner = cidr, worker
            continue
        relation = f"lies inside {outer} of"
        remedy = "Give each worker a range of its own."
        if cidr == outer:
            relation = "is also that of"
            remedy = (
                "Terminate the one that the other replaces, or give each worker a range"
                " of its own."
            )
        yield Fault(
            where=worker.label,
            problem=f"its pod CIDR {cidr} {relation} {owner.label}.",
            remedy=remedy,
        )


def _destination_faults(
    table: RouteTable, workers: Iterable[Worker]
) -> Iterator[Fault]:
    standing = table.static_routes()
    for destination, worker in by_destination(workers).items():
        route = standing.get(destination)
        if route and not route.is_to_interface:
            yield Fault(
                where=worker.label,
                problem=f"its pod CIDR {destination} is already routed to"
                f" {route.target or 'nothing'} in {table.id}; that is no worker's.",
                remedy="Whoever owns that route must remove it, or the worker needs"
                " another pod CIDR.",
            )


def _quota_fault(quota: int, table: RouteTable, family: str, count: int) -> Fault:
    return Fault(
        where=table.id,
        problem=f"it would hold {count} static {family} routes, past the quota of"
        f" {quota}.",
        remedy=_QUOTA_REMEDY,
    )


def _quota_warning(quota: int, table: RouteTable, family: str, count: int) -> Fault:
    return Fault(
        where=table.id,
        problem=f"it will hold {count} static {family} routes, over 80% of the quota"
        f" of {quota}.",
        remedy=_QUOTA_REMEDY,
    )


def _static_counts(
    discovery: Discovery, table: RouteTable, workers: Iterable[Worker]
) -> Iterator[tuple[str, int, bool]]:
    """Yield each IP family of the workers, what its quota counts, and if that grows.

    Counted is what stands once the update has created its routes, and before it deletes
    any. Propagated and local routes do not count; a prefix list counts the most entries
    that it may have (VPC User Guide, "Amazon VPC quotas" and "Managed prefix lists").
    """
    standing = {route.destination for route in table.routes if route.is_static}
    wanted = by_destination(workers)
    counts: Counter[str] = Counter()
    for destination in standing | set(wanted):
        if isinstance(destination, str):
            family, size = discovery.prefix_lists.get(destination, ("IPv4", 1))
            counts[family] += size
        else:
            counts[_family(destination)] += 1
    growing = {_family(network) for network in wanted if network not in standing}
    for family in sorted({_family(network) for network in wanted}):
        yield family, counts[family], family in growing


def _family(network: Network) -> str:
    return f"IPv{network.version}"
