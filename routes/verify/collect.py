"""Read the parts of the VPC that a verification needs besides the lookup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from routes.aws import answers
from routes.aws.clients import POOL_SIZE, Clients
from routes.aws.discovery import batched
from routes.errors import DeniedError, Finding, LookupFailedError
from routes.model import (
    Discovery,
    Interface,
    NetworkAcl,
    RouteTable,
    SecurityGroupRule,
    Subnet,
    Worker,
    unmatched,
)
from routes.networks import Network
from routes.planning.plan import Plan
from routes.settings import Settings
from routes.verify.snapshot import PREFIX_LIST_ENTRIES, Snapshot

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef

    from routes.engine.state import Stack


def snapshot(
    clients: Clients,
    stack: Stack,
    settings: Settings,
    discovery: Discovery,
    plan: Plan,
) -> Snapshot:
    """Read the VPC of a plan, and add the plan and the state.

    The calls: DescribeSubnets, DescribeNetworkAcls, DescribeSecurityGroupRules,
    DescribeNetworkInterfaces, one GetManagedPrefixListEntries per prefix list in a
    route or a rule, and DescribeNatGateways if a route leads to one. Tables and
    instances are those of the lookup, so that the plan is verified against what it was
    made from.

    Args:
        clients: the credentials and the region.
        stack: the state.
        settings: the configuration.
        discovery: a lookup of the whole VPC.
        plan: the one made from that lookup.

    Raises:
        LookupFailedError: a call failed after its retries, other than by a denial.
    """
    skips = settings.unready == "skip"
    taken_at = datetime.now(UTC).replace(microsecond=0)
    reader = _Reader(clients)
    parts = reader.parts(plan.vpc.id, discovery.all_tables, _groups(plan.workers))
    return Snapshot(
        **parts,
        denied=reader.denied,
        taken_at=taken_at,
        stack=stack.name,
        account=discovery.account,
        region=discovery.region,
        vpc=plan.vpc,
        cluster_cidrs=settings.cluster_cidr,
        route_table_ids=tuple(table.id for table in plan.tables),
        route_table_entries=tuple(entry.text for entry in settings.route_tables),
        desired=tuple(plan.desired.values()),
        workers=plan.workers,
        faults=() if skips else plan.faults,
        refusals=() if skips or plan.faults else plan.refusals,
        blocked=plan.problems if skips else (),
        kept=tuple(sorted(plan.kept)),
        checked=tuple(plan.checked),
        pending_workers=plan.pending,
        unmatched=unmatched(discovery.workers),
        managed=stack.targets,
        pending_operations=stack.pending,
        tables=discovery.all_tables,
        instances=discovery.instances,
    )


def with_sources(clients: Clients, snapshot: Snapshot, ids: Sequence[str]) -> Snapshot:
    """Add instances and subnets of the VPC as other senders of packets to pods.

    The calls: DescribeInstances and DescribeSecurityGroupRules for the instances, and
    GetManagedPrefixListEntries for lists that only their rules name.

    Raises:
        LookupFailedError: the VPC lacks an id, or a call failed after its retries.
    """
    reader = _Reader(clients)
    named: FilterTypeDef = {
        "Name": "instance-id",
        "Values": [each for each in ids if each.startswith("i-")],
    }
    in_vpc: FilterTypeDef = {"Name": "vpc-id", "Values": [snapshot.vpc.id]}
    instances = clients.instances(named, in_vpc) if named["Values"] else []
    sources = [
        *map(answers.source, instances),
        *(
            _subnet_as_source(subnet, snapshot.taken_at)
            for subnet in snapshot.subnets
            if subnet.id in ids
        ),
    ]
    missing = {*ids} - {source.instance_id for source in sources}
    if missing:
        fault = Finding(
            resource="--from",
            problem=f"expected ids of instances and subnets in {snapshot.vpc.id}, which"
            " doesn't have these:",
            details=tuple(sorted(missing)),
        )
        raise LookupFailedError(str(fault))
    groups = _groups(sources) - _groups(snapshot.workers)
    rules = reader.security_group_rules(sorted(groups))
    lists = {*_prefix_lists((), rules)} - {*snapshot.prefix_lists}
    entries = {each: reader.prefix_list(each) for each in sorted(lists)}
    return replace(
        snapshot,
        sources=tuple(sources),
        security_group_rules=(*snapshot.security_group_rules, *rules),
        prefix_lists={**snapshot.prefix_lists, **_allowed(entries)},
        denied={**snapshot.denied, **reader.denied},
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


class _Parts(TypedDict):
    """The parts of a snapshot that only a verification reads."""

    subnets: tuple[Subnet, ...]
    acls: tuple[NetworkAcl, ...]
    security_group_rules: tuple[SecurityGroupRule, ...]
    prefix_lists: dict[str, tuple[Network, ...]]
    attachments: dict[str, str | None]
    nat_gateways: dict[str, str]
    states: dict[str, str]


class _Reader:
    """Calls that AWS may deny.

    Attributes:
        denied: each denied action, and AWS's message.
    """

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.denied: dict[str, str] = {}

    def parts(
        self, vpc_id: str, tables: Sequence[RouteTable], groups: Iterable[str]
    ) -> _Parts:
        """Read a VPC, several calls at a time."""
        in_vpc: FilterTypeDef = {"Name": "vpc-id", "Values": [vpc_id]}
        with ThreadPoolExecutor(POOL_SIZE) as pool:
            rules = pool.submit(self.security_group_rules, sorted(groups))
            subnets = pool.submit(self.all, "DescribeSubnets", in_vpc)
            acls = pool.submit(self.all, "DescribeNetworkAcls", in_vpc)
            interfaces = pool.submit(self.all, "DescribeNetworkInterfaces", in_vpc)
            gateways = pool.submit(self.nat_gateways, tables, in_vpc)
            lists = sorted(_prefix_lists(tables, rules.result()))
            entries = dict(zip(lists, pool.map(self.prefix_list, lists), strict=True))
            return _Parts(
                subnets=tuple(map(answers.subnet, subnets.result())),
                acls=tuple(map(answers.network_acl, acls.result())),
                security_group_rules=rules.result(),
                prefix_lists=_allowed(entries),
                attachments=dict(map(answers.attachment, interfaces.result())),
                nat_gateways=gateways.result(),
                states={
                    **dict(map(answers.subnet_state, subnets.result())),
                    **dict(map(answers.interface_state, interfaces.result())),
                },
            )

    def all(self, action: str, *filters: FilterTypeDef, **request: object) -> list[Any]:
        try:
            return self.clients.all(action, *filters, **request)
        except DeniedError as error:
            self.denied[action] = str(error)
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
        gateways = self.all("DescribeNatGateways", Filter=[in_vpc])
        return dict(map(answers.nat_gateway, gateways))

    def prefix_list(self, list_id: str) -> tuple[Network, ...] | None:
        """Return the entries of a list, None if that was denied."""
        try:
            entries = self.clients.all(PREFIX_LIST_ENTRIES, PrefixListId=list_id)
        except DeniedError as error:
            self.denied[PREFIX_LIST_ENTRIES] = str(error)
            return None
        return tuple(map(answers.prefix_list_entry, entries))


def _allowed(
    lists: Mapping[str, tuple[Network, ...] | None],
) -> dict[str, tuple[Network, ...]]:
    """Return the lists that were not denied, even if they have no entries."""
    return {each: entries for each, entries in lists.items() if entries is not None}


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
