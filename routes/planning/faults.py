"""Faults of the configuration and of what it selects: tables, workers, pod CIDRs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from routes import commands
from routes.errors import Finding
from routes.model import (
    NAMESPACE,
    Discovery,
    RouteKey,
    RouteTable,
    Selector,
    Vpc,
    Worker,
)
from routes.networks import contains, enclosing, in_address_order
from routes.settings import Settings

_MAX_CANDIDATES = 5


def of_tables(settings: Settings, discovery: Discovery) -> Iterator[Finding]:
    """Yield each entry that doesn't match one table, and tables of several VPCs."""
    where = f"{NAMESPACE}:routeTables"
    for entry, tables in discovery.tables.items():
        expected = f"expected one route table with {entry} in {discovery.region}"
        if not tables:
            yield Finding(
                resource=where,
                problem=f"{expected}, found none. The nearest names are:",
                details=_nearest(entry, discovery.all_tables) or ("no table at all",),
                hint="Check the name, the region and the account.",
            )
        elif len(tables) > 1:
            yield Finding(
                resource=where,
                problem=f"{expected}, found {len(tables)}:",
                details=_rows(tables),
                hint="Use the id of the right one:",
                command=commands.replace_entry(
                    settings.stack,
                    "routeTables",
                    settings.route_tables,
                    entry,
                    "<one of these ids>",
                ),
            )
    if not discovery.vpcs and any(discovery.tables.values()):
        yield Finding(
            resource=where,
            problem="EC2 lists these tables but not their VPC:",
            details=_rows(
                {table for tables in discovery.tables.values() for table in tables}
            ),
            hint="One of the two answers is out of date: try again.",
        )
    if len(discovery.vpcs) > 1:
        yield Finding(
            resource=where,
            problem="expected tables of one VPC, found"
            f" {len(discovery.vpcs)} VPCs; workers were not looked up:",
            details=_rows(
                {table for tables in discovery.tables.values() for table in tables}
            ),
            hint="Keep the tables of the workers' VPC; use one stack per VPC.",
        )


def of_closed_tables(
    discovery: Discovery, tables: Iterable[RouteTable]
) -> Iterator[Finding]:
    """Yield the tables in which this account can't create routes to pods."""
    for table in tables:
        if table.gateway_ids:
            yield Finding(
                resource=table.id,
                problem=f"it is associated with {', '.join(table.gateway_ids)}. A"
                " gateway route table accepts routes inside the VPC only (VPC User"
                ' Guide, "Gateway route tables").',
                hint=f"Replace it in {NAMESPACE}:routeTables with the route tables of"
                " the workers' subnets.",
            )
        if table.owner not in {"", discovery.account}:
            yield Finding(
                resource=table.id,
                problem=f"it belongs to account {table.owner}; these credentials are"
                f" for {discovery.account}. Only the owner can change it.",
                hint="Use credentials of the account that owns the VPC, such as a"
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


def of_selection(
    settings: Settings, discovery: Discovery, vpc: Vpc
) -> Iterator[Finding]:
    """Yield each entry of `workers` without a clear match, and too few workers."""
    for entry, workers in discovery.workers.items():
        if not workers:
            yield _missing(settings, entry, vpc, discovery.region)
        elif len(workers) > 1 and not entry.is_pattern:
            yield _ambiguous(settings, entry, workers, vpc)
    live = discovery.live
    if 0 < len(live) < settings.min_workers:  # if there are none, each entry is a fault
        yield Finding(
            resource=f"{NAMESPACE}:minWorkers",
            problem=f"expected at least {settings.min_workers} distinct workers in"
            f" {vpc.id}, found {len(live)}.",
            details=tuple(sorted(worker.label for worker in live.values())),
            hint="Bring the missing workers back, or, if the cluster has shrunk:",
            command=commands.set_entries(settings.stack, "minWorkers", [len(live)]),
        )


def _missing(settings: Settings, entry: Selector, vpc: Vpc, region: str) -> Finding:
    tags = "".join(f", {key}={value}" for key, value in settings.worker_tags.items())
    return Finding(
        resource=entry.text,
        problem=f"expected a live instance with {entry}{tags} in {vpc.id}, found none.",
        hint="Terminated instances don't count. Check the name, the VPC and the"
        f" region ({region}), or remove it from {NAMESPACE}:workers.",
    )


def _ambiguous(
    settings: Settings, entry: Selector, workers: Iterable[Worker], vpc: Vpc
) -> Finding:
    by_age = sorted(
        workers, key=lambda worker: (worker.launch_time, worker.instance_id)
    )

    def instead(text: str) -> str:
        """Return the command that replaces the entry."""
        old = settings.workers
        return commands.replace_entry(settings.stack, "workers", old, entry, text)

    rows = [
        (
            *_candidate(worker),
            "  to select this one:",
            f"  {instead(worker.instance_id)}",
        )
        for worker in by_age[:_MAX_CANDIDATES]
    ]
    todo = "Terminate one, change its Name, or pin the right one:"
    hint, command = "", ""
    if len(by_age) > 2:  # noqa: PLR2004 - two may be an old one and its replacement
        todo = "Pin the right one, or give the others another Name:"
        hint = "If all are workers, such as the nodes of one group, select them all:"
        command = instead(f"{entry.text}?")
    return Finding(
        resource=entry.text,
        problem=f"expected one live instance with {entry} in {vpc.id}, found"
        f" {len(by_age)}. {todo}",
        details=tuple(row for each in rows for row in each),
        hint=hint,
        command=command,
    )


def _candidate(worker: Worker) -> tuple[str, str]:
    where = f"{worker.private_ip or 'no address'}  {worker.availability_zone}"
    interface = worker.interface.id if worker.interface else "no primary interface"
    return (
        f"{worker.instance_id}  {worker.state}  {where}",
        f"  {interface}  launched {worker.launch_time:%Y-%m-%d %H:%M} UTC",
    )


def of_workers(
    settings: Settings,
    discovery: Discovery,
    vpc: Vpc,
    table_ids: Iterable[str],
    workers: Iterable[Worker],
) -> dict[str, list[Finding]]:
    """Return the faults of each worker by itself, by instance id."""
    tables = [*table_ids]
    return {
        worker.instance_id: [
            *_of_worker(settings, discovery, worker),
            *_of_pod_cidrs(settings, vpc, worker),
            *_of_destinations(discovery, tables, worker),
        ]
        for worker in workers
    }


def _of_worker(
    settings: Settings, discovery: Discovery, worker: Worker
) -> Iterator[Finding]:
    """Yield a fault for a missing pod CIDR, and for a missing interface."""
    if worker.instance_id in discovery.unreadable:
        reason = discovery.unreadable[worker.instance_id]
        yield _unreadable(settings, worker, reason)
    elif not worker.pod_cidrs:
        yield Finding(
            resource=worker.label,
            problem="EC2 lists this instance but returned NotFound for its user data.",
            hint="It was just launched or terminated: try again.",
        )
    if not worker.interface:
        yield Finding(
            resource=worker.label,
            problem="expected an attached primary network interface (device index 0),"
            " found none.",
            hint="Wait until the instance is up, or remove it from"
            f" {NAMESPACE}:workers.",
        )


def _unreadable(settings: Settings, worker: Worker, reason: str) -> Finding:
    """Return the fault of a worker whose pod CIDRs are not known."""
    hint = (
        f"Expected {settings.pod_cidr_key}=<its pod CIDR> as one field, with | or"
        " newlines around it. User data can be changed while the instance is stopped."
        f" Or give every worker a tag instead: {NAMESPACE}:podCidrFrom tag switches all"
        " of them."
    )
    command = ""
    if settings.pod_cidr_from == "tag":
        hint = f"Give the instance a tag {settings.pod_cidr_key}=<its pod CIDR>."
    if settings.pod_cidr_from == "node":
        hint = "Compare the Nodes with the instances:"
        command = commands.list_nodes(settings.kubeconfig, settings.kube_context)
    return Finding(resource=worker.label, problem=reason, hint=hint, command=command)


def _of_pod_cidrs(settings: Settings, vpc: Vpc, worker: Worker) -> Iterator[Finding]:
    """Yield pod CIDRs outside the cluster's range, or inside the VPC's."""
    cluster = " and ".join(map(str, settings.cluster_cidr))
    for cidr in worker.pod_cidrs:
        if cidr.prefixlen == 0:
            yield Finding(
                resource=worker.label,
                problem=f"its pod CIDR {cidr} would be a default route.",
                hint="Give the worker a range of its own inside"
                f" {NAMESPACE}:clusterCidr ({cluster}).",
            )
            continue
        if not enclosing(settings.cluster_cidr, cidr):
            yield Finding(
                resource=worker.label,
                problem=f"expected a pod CIDR inside {NAMESPACE}:clusterCidr"
                f" ({cluster}), found {cidr}.",
                hint="Correct the worker's pod CIDR, or the cluster's range.",
            )
        for block in vpc.cidrs:
            if contains(block, cidr) or contains(cidr, block):
                yield Finding(
                    resource=worker.label,
                    problem=f"its pod CIDR {cidr} overlaps {block} of {vpc.id};"
                    " EC2 reserves that range for the VPC's own subnets.",
                    hint="Give pods a range outside the VPC's.",
                )


def of_overlaps(workers: Iterable[Worker]) -> Iterator[Finding]:
    """Yield overlapping pod CIDRs; each is compared with one before it, not with all.

    Networks are nested or disjoint. So, in address order, a network that overlaps an
    earlier one lies inside the last one that isn't itself inside another.
    """
    pod_cidrs = sorted(
        ((cidr, worker) for worker in workers for cidr in worker.pod_cidrs),
        key=lambda item: (in_address_order(item[0]), item[1].instance_id),
    )
    if not pod_cidrs:
        return
    outer, owner = pod_cidrs[0]
    for cidr, worker in pod_cidrs[1:]:
        if not contains(outer, cidr):
            outer, owner = cidr, worker
            continue
        relation = f"lies inside {outer} of"
        hint = "Give each worker a range of its own."
        if cidr == outer:
            relation = "is also that of"
            hint = (
                "Terminate the one that was replaced, or give each worker a range of"
                " its own."
            )
        yield Finding(
            resource=worker.label,
            problem=f"its pod CIDR {cidr} {relation} {owner.label}.",
            hint=hint,
        )


def _of_destinations(
    discovery: Discovery, table_ids: Iterable[str], worker: Worker
) -> Iterator[Finding]:
    """Yield pod CIDRs that already have a route to a target of another kind."""
    for table_id in table_ids:
        for destination in worker.pod_cidrs:
            route = discovery.existing.get(RouteKey(table_id, destination))
            if route and not route.is_to_interface:
                yield Finding(
                    resource=worker.label,
                    problem=f"its pod CIDR {destination} is already routed in"
                    f" {table_id} to {route.target or 'nothing'}, which isn't a"
                    " worker.",
                    hint="The owner of that route must remove it, or the worker needs"
                    " another pod CIDR.",
                )
