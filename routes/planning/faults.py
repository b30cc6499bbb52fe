"""Why the routes cannot be declared: the tables, the workers, their pod CIDRs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from routes import remedies
from routes.errors import Finding
from routes.model import (
    NAMESPACE,
    Discovery,
    RouteTable,
    Selector,
    Vpc,
    Worker,
)
from routes.networks import contains, enclosing, in_address_order
from routes.settings import Settings

_MOST_CANDIDATES = 5


def of_tables(settings: Settings, discovery: Discovery) -> Iterator[Finding]:
    """Yield each entry that is not one table, and tables that are not of one VPC."""
    where = f"{NAMESPACE}:routeTables"
    for entry, tables in discovery.tables.items():
        expected = f"expected one route table with {entry} in {discovery.region}"
        if not tables:
            yield Finding(
                where=where,
                problem=f"{expected}, found none. The nearest of those there are:",
                rows=_nearest(entry, discovery.all_tables) or ("none at all",),
                remedy="Check the name, the region and the account.",
            )
        elif len(tables) > 1:
            yield Finding(
                where=where,
                problem=f"{expected}, found {len(tables)}:",
                rows=_rows(tables),
                remedy="Name the one that is meant by its id:",
                command=remedies.replace_entry(
                    settings.stack,
                    "routeTables",
                    settings.route_tables,
                    entry,
                    "<one of these ids>",
                ),
            )
    if not discovery.vpcs and any(discovery.tables.values()):
        yield Finding(
            where=where,
            problem="EC2 lists these tables, and not their VPC:",
            rows=_rows(
                {table for tables in discovery.tables.values() for table in tables}
            ),
            remedy="One of the two answers is out of date: try again.",
        )
    if len(discovery.vpcs) > 1:
        yield Finding(
            where=where,
            problem="expected tables of one VPC, found"
            f" {len(discovery.vpcs)} VPCs; workers were not looked up:",
            rows=_rows(
                {table for tables in discovery.tables.values() for table in tables}
            ),
            remedy="Keep the tables of the workers' VPC; use one stack per VPC.",
        )


def of_closed_tables(
    discovery: Discovery, tables: Iterable[RouteTable]
) -> Iterator[Finding]:
    """Yield route tables that accept no routes to pods, by id."""
    for table in tables:
        if table.gateway_ids:
            yield Finding(
                where=table.id,
                problem=f"it is associated with {', '.join(table.gateway_ids)}. A"
                " gateway route table accepts routes inside the VPC only (VPC User"
                ' Guide, "Gateway route tables").',
                remedy=f"Replace it in {NAMESPACE}:routeTables with the route tables of"
                " the workers' subnets.",
            )
        if table.owner not in {"", discovery.account}:
            yield Finding(
                where=table.id,
                problem=f"it belongs to account {table.owner}; these credentials are"
                f" for {discovery.account}. Only the owner can change it.",
                remedy="Use credentials of the account that owns the VPC, such as a"
                " role in aws:assumeRoles.",
            )


def _nearest(entry: Selector, tables: Iterable[RouteTable]) -> tuple[str, ...]:
    def unlikeness(table: RouteTable) -> tuple[float, str]:
        text = table.id if entry.is_id else table.name
        return -SequenceMatcher(None, entry.text, text).ratio(), table.id

    return tuple(
        f"{table.id}  {table.name[:50]}" for table in sorted(tables, key=unlikeness)[:5]
    )


def _rows(tables: Iterable[RouteTable]) -> tuple[str, ...]:
    return tuple(sorted(f"{table.id}  {table.vpc_id}" for table in tables))


def of_lookup(settings: Settings, discovery: Discovery, vpc: Vpc) -> Iterator[Finding]:
    """Yield each entry that is not the workers that it should be, and too few."""
    for entry, workers in discovery.workers.items():
        if not workers:
            yield _missing(settings, entry, vpc, discovery.region)
        elif len(workers) > 1 and not entry.is_pattern:
            yield _ambiguous(settings, entry, workers, vpc)
    live = {
        worker.instance_id: worker
        for workers in discovery.workers.values()
        for worker in workers
    }
    if 0 < len(live) < settings.min_workers:  # of none, each entry says so itself
        yield Finding(
            where=f"{NAMESPACE}:minWorkers",
            problem=f"expected at least {settings.min_workers} distinct workers in"
            f" {vpc.id}, found {len(live)}.",
            rows=tuple(sorted(worker.label for worker in live.values())),
            remedy="Bring the missing workers back. If the cluster did shrink:",
            command=remedies.set_entries(settings.stack, "minWorkers", [len(live)]),
        )


def _missing(settings: Settings, entry: Selector, vpc: Vpc, region: str) -> Finding:
    tags = "".join(f", {key}={value}" for key, value in settings.worker_tags.items())
    return Finding(
        where=entry.text,
        problem=f"expected a live instance with {entry}{tags} in {vpc.id}, found none.",
        remedy="A terminated instance does not count. Check the name, the VPC and the"
        f" region ({region}), or take it out of {NAMESPACE}:workers.",
    )


def _ambiguous(
    settings: Settings, entry: Selector, workers: Iterable[Worker], vpc: Vpc
) -> Finding:
    by_age = sorted(
        workers, key=lambda worker: (worker.launch_time, worker.instance_id)
    )

    def instead(text: str) -> str:
        """Return the command that puts something else in the entry's place."""
        old = settings.workers
        return remedies.replace_entry(settings.stack, "workers", old, entry, text)

    rows = [
        (*_candidate(worker), "  to keep this one:", f"  {instead(worker.instance_id)}")
        for worker in by_age[:_MOST_CANDIDATES]
    ]
    todo = "Terminate one, change its Name, or pin the one to keep:"
    remedy, command = "", ""
    if len(by_age) > 2:  # noqa: PLR2004 - two may be an old one and its replacement
        todo = "Pin the one that is meant, or give the others another Name:"
        remedy = "If all are workers, such as the nodes of one group, select them all:"
        command = instead(f"{entry.text}?")
    return Finding(
        where=entry.text,
        problem=f"expected one live instance with {entry} in {vpc.id}, found"
        f" {len(by_age)}. {todo}",
        rows=tuple(row for each in rows for row in each),
        remedy=remedy,
        command=command,
    )


def _candidate(worker: Worker) -> tuple[str, str]:
    where = f"{worker.private_ip or 'no address'}  {worker.availability_zone}"
    interface = worker.interface.id if worker.interface else "no primary interface"
    return (
        f"{worker.instance_id}  {worker.state}  {where}",
        f"  {interface}  launched {worker.launch_time:%Y-%m-%d %H:%M} UTC",
    )


def of_single(
    settings: Settings,
    discovery: Discovery,
    vpc: Vpc,
    tables: Iterable[RouteTable],
    workers: Sequence[Worker],
) -> Iterator[Finding]:
    """Yield what is wrong with workers one by one, each under its label."""
    yield from _of_workers(settings, discovery, workers)
    yield from _of_pod_cidrs(settings, vpc, workers)
    yield from _of_destinations(tables, workers)


def _of_workers(
    settings: Settings, discovery: Discovery, workers: Iterable[Worker]
) -> Iterator[Finding]:
    """Yield the workers without a readable pod CIDR or without an interface."""
    for worker in workers:
        if worker.instance_id in discovery.unreadable:
            yield Finding(
                where=worker.label,
                problem=discovery.unreadable[worker.instance_id],
                remedy=_unreadable_remedy(settings),
            )
        elif not worker.pod_cidrs:
            yield Finding(
                where=worker.label,
                problem="EC2 lists it, and did not know it when asked for its user"
                " data.",
                remedy="It was just launched, or is just gone: try again.",
            )
        if not worker.interface:
            yield Finding(
                where=worker.label,
                problem="expected an attached primary network interface (device index"
                " 0), found none.",
                remedy="Wait until the instance is up, or take it out of"
                f" {NAMESPACE}:workers.",
            )


def _unreadable_remedy(settings: Settings) -> str:
    if settings.pod_cidr_from == "tag":
        return f"Give the instance a tag {settings.pod_cidr_key}=<its pod CIDR>."
    return (
        f"Expected {settings.pod_cidr_key}=<its pod CIDR> as one field, with | or"
        " newlines around it. User data can be changed while the instance is stopped."
        f" Or give every worker a tag instead: {NAMESPACE}:podCidrFrom tag switches all"
        " of them."
    )


def _of_pod_cidrs(
    settings: Settings, vpc: Vpc, workers: Iterable[Worker]
) -> Iterator[Finding]:
    """Yield pod CIDRs that are not the cluster's, or that are the VPC's."""
    cluster = " and ".join(map(str, settings.cluster_cidr))
    for worker in workers:
        for cidr in worker.pod_cidrs:
            if cidr.prefixlen == 0:
                yield Finding(
                    where=worker.label,
                    problem=f"its pod CIDR {cidr} would be a default route.",
                    remedy="Give the worker a range of its own inside"
                    f" {NAMESPACE}:clusterCidr ({cluster}).",
                )
                continue
            if not enclosing(settings.cluster_cidr, cidr):
                yield Finding(
                    where=worker.label,
                    problem=f"expected a pod CIDR inside {NAMESPACE}:clusterCidr"
                    f" ({cluster}), found {cidr}.",
                    remedy="Correct the worker's pod CIDR, or the cluster's range.",
                )
            for block in vpc.cidrs:
                if contains(block, cidr) or contains(cidr, block):
                    yield Finding(
                        where=worker.label,
                        problem=f"its pod CIDR {cidr} overlaps {block} of {vpc.id};"
                        " EC2 keeps that range for the VPC's own subnets.",
                        remedy="Give pods a range outside the VPC's.",
                    )


def of_overlaps(workers: Iterable[Worker]) -> Iterator[Finding]:
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
        yield Finding(
            where=worker.label,
            problem=f"its pod CIDR {cidr} {relation} {owner.label}.",
            remedy=remedy,
        )


def _of_destinations(
    tables: Iterable[RouteTable], workers: Iterable[Worker]
) -> Iterator[Finding]:
    """Yield pod CIDRs that lead to no interface already."""
    pod_cidrs = [(cidr, worker) for worker in workers for cidr in worker.pod_cidrs]
    for table in tables:
        existing = table.static_routes()
        for destination, worker in pod_cidrs:
            route = existing.get(destination)
            if route and not route.is_to_interface:
                yield Finding(
                    where=worker.label,
                    problem=f"its pod CIDR {destination} is already routed to"
                    f" {route.target or 'nothing'} in {table.id}; that is no worker's.",
                    remedy="Whoever owns that route must remove it, or the worker needs"
                    " another pod CIDR.",
                )
