"""The VPC around the routes: what verification reads of EC2 beyond the lookup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from routes.aws import answers
from routes.aws.clients import POOL_SIZE, Clients
from routes.aws.discovery import batched
from routes.engine.state import Stack
from routes.errors import DeniedError, Finding, LookupFailedError
from routes.model import (
    Discovery,
    Interface,
    RouteTable,
    SecurityGroupRule,
    Subnet,
    Worker,
    unselected,
)
from routes.networks import Network
from routes.planning.plan import Plan
from routes.settings import Settings
from routes.verify.snapshot import PREFIX_LIST_ENTRIES, Snapshot

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


def snapshot(
    clients: Clients,
    stack: Stack,
    settings: Settings,
    discovery: Discovery,
    plan: Plan,
) -> Snapshot:
    """Read the VPC of a plan, and put it beside what the plan and the stack say.

    The calls: DescribeSubnets, DescribeNetworkAcls, DescribeSecurityGroupRules,
    DescribeNetworkInterfaces, one GetManagedPrefixListEntries per prefix list that a
    route or a rule names, and DescribeNatGateways if a route leads to one. Tables and
    instances are those of the lookup, so that what is judged is what was planned with.

    Args:
        clients: as whom and where to read.
        stack: what the stack holds.
        settings: what it wants.
        discovery: a lookup over the whole VPC.
        plan: what comes of it.

    Raises:
        LookupFailedError: a call failed for good, other than by a denial.
    """
    skips = settings.unready == "skip"
    taken_at = datetime.now(UTC).replace(microsecond=0)
    in_vpc: FilterTypeDef = {"Name": "vpc-id", "Values": [plan.vpc.id]}
    reader = _Reader(clients)
    with ThreadPoolExecutor(POOL_SIZE) as pool:
        rules = pool.submit(reader.security_group_rules, sorted(_groups(plan.workers)))
        subnets = pool.submit(reader.all, "DescribeSubnets", in_vpc)
        acls = pool.submit(reader.all, "DescribeNetworkAcls", in_vpc)
        interfaces = pool.submit(reader.all, "DescribeNetworkInterfaces", in_vpc)
        gateways = pool.submit(reader.nat_gateways, discovery.all_tables, in_vpc)
        lists = sorted(_prefix_lists(discovery.all_tables, rules.result()))
        entries = dict(zip(lists, pool.map(reader.prefix_list, lists), strict=True))
        return Snapshot(
            taken_at=taken_at,
            stack=stack.name,
            account=discovery.account,
            region=discovery.region,
            vpc=plan.vpc,
            cluster_cidrs=settings.cluster_cidr,
            route_table_ids=tuple(table.id for table in plan.tables),
            wanted=plan.routes,
            workers=plan.workers,
            route_table_entries=tuple(entry.text for entry in settings.route_tables),
            faults=() if skips else plan.faults,
            refusals=() if skips or plan.faults else plan.refusals,
            held_back=plan.problems if skips else (),
            kept=tuple(sorted(plan.kept)),
            waiting=plan.pending,
            undecided=unselected(discovery.workers),
            held=stack.targets,
            pending=stack.pending,
            tables=discovery.all_tables,
            subnets=tuple(map(answers.subnet, subnets.result())),
            acls=tuple(map(answers.network_acl, acls.result())),
            security_group_rules=rules.result(),
            prefix_lists=_read(entries),
            attachments=dict(map(answers.attachment, interfaces.result())),
            nat_gateways=gateways.result(),
            states=dict(
                (
                    *map(answers.subnet_state, subnets.result()),
                    *map(answers.interface_state, interfaces.result()),
                )
            ),
            instances=discovery.instances,
            unread=reader.unread,
        )


def with_sources(clients: Clients, snapshot: Snapshot, ids: Sequence[str]) -> Snapshot:
    """Add instances and subnets of the VPC that send packets to pods as well.

    The calls: DescribeInstances and DescribeSecurityGroupRules for the instances, and
    GetManagedPrefixListEntries for lists that only their rules name.

    Raises:
        LookupFailedError: there is none with such an id, or a call failed for good.
    """
    reader = _Reader(clients)
    named: FilterTypeDef = {
        "Name": "instance-id",
        "Values": [each for each in ids if each.startswith("i-")],
    }
    in_vpc: FilterTypeDef = {"Name": "vpc-id", "Values": [snapshot.vpc.id]}
    found = clients.all("DescribeInstances", named, in_vpc) if named["Values"] else []
    sources = [
        *(
            answers.source(instance)
            for reservation in found
            for instance in reservation.get("Instances", [])
        ),
        *(
            _subnet_as_source(subnet, snapshot.taken_at)
            for subnet in snapshot.subnets
            if subnet.id in ids
        ),
    ]
    missing = {*ids} - {source.instance_id for source in sources}
    if missing:
        fault = Finding(
            where="--from",
            problem=f"expected ids of instances and subnets in {snapshot.vpc.id}, and"
            " there is none with:",
            rows=tuple(sorted(missing)),
        )
        raise LookupFailedError(str(fault))
    groups = _groups(sources) - _groups(snapshot.workers)
    rules = reader.security_group_rules(sorted(groups))
    lists = {*_prefix_lists((), rules)} - {*snapshot.prefix_lists}
    entries = {each: reader.prefix_list(each) for each in sorted(lists)}
    more = _read(entries)
    return replace(
        snapshot,
        sources=tuple(sources),
        security_group_rules=(*snapshot.security_group_rules, *rules),
        prefix_lists={**snapshot.prefix_lists, **more},
        unread={**snapshot.unread, **reader.unread},
    )


def _subnet_as_source(subnet: Subnet, taken_at: datetime) -> Worker:
    return Worker(
        name=subnet.name or subnet.id,
        instance_id=subnet.id,
        state="running",
        availability_zone=subnet.availability_zone,
        launch_time=taken_at,
        private_ip=None,
        interface=Interface(id="", subnet_id=subnet.id, source_dest_check=False),
        pod_cidrs=subnet.cidrs,
    )


class _Reader:
    """Calls that may be denied, one by one: what they would have told is unknown.

    Attributes:
        unread: the actions that were denied, and what AWS said.
    """

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.unread: dict[str, str] = {}

    def all(self, action: str, *filters: FilterTypeDef, **request: object) -> list[Any]:
        try:
            return self.clients.all(action, *filters, **request)
        except DeniedError as error:
            self.unread[action] = str(error)
            return []

    def security_group_rules(
        self, groups: Sequence[str]
    ) -> tuple[SecurityGroupRule, ...]:
        return tuple(
            answers.security_group_rule(rule)
            for some in batched(groups)
            for rule in self.all(
                "DescribeSecurityGroupRules", {"Name": "group-id", "Values": some}
            )
        )

    def nat_gateways(
        self, tables: Iterable[RouteTable], in_vpc: FilterTypeDef
    ) -> dict[str, str]:
        targets = {route.target for table in tables for route in table.routes}
        if not any(target.startswith("nat-") for target in targets):
            return {}
        found = self.all("DescribeNatGateways", Filter=[in_vpc])
        return dict(map(answers.nat_gateway, found))

    def prefix_list(self, list_id: str) -> tuple[Network, ...] | None:
        """Return the entries of a list, None if that was denied."""
        try:
            entries = self.clients.all(PREFIX_LIST_ENTRIES, PrefixListId=list_id)
        except DeniedError as error:
            self.unread[PREFIX_LIST_ENTRIES] = str(error)
            return None
        return tuple(map(answers.prefix_list_entry, entries))


def _read(
    lists: Mapping[str, tuple[Network, ...] | None],
) -> dict[str, tuple[Network, ...]]:
    """Return the lists that were read, those without entries among them."""
    return {each: read for each, read in lists.items() if read is not None}


def _groups(workers: Iterable[Worker]) -> set[str]:
    return {
        group
        for worker in workers
        if worker.interface
        for group in worker.interface.security_group_ids
    }


def _prefix_lists(
    tables: Iterable[RouteTable], rules: Iterable[SecurityGroupRule]
) -> Iterator[str]:
    named = {route.destination for table in tables for route in table.routes}
    named |= {rule.peer for rule in rules}
    return (each for each in named if isinstance(each, str) and each.startswith("pl-"))
