"""The VPC around the routes: what verification reads of EC2 beyond the lookup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

from botocore import xform_name

from routes import ec2
from routes.model import Destination, Discovery, Network, RouteTable
from routes.plan import Plan
from routes.session import POOL_SIZE, Clients, explained
from routes.settings import Settings
from routes.snapshot import (
    AclRule,
    Instance,
    NetworkAcl,
    SecurityGroupRule,
    Snapshot,
    Subnet,
)
from routes.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        NetworkAclEntryTypeDef,
        NetworkAclTypeDef,
        SecurityGroupRuleTypeDef,
    )

_PROTOCOLS: Final = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}
"""The names that rules use for numbers (EC2 API Reference, "IpPermission")."""


def snapshot(
    clients: Clients,
    stack: Stack,
    settings: Settings,
    discovery: Discovery,
    plan: Plan,
) -> Snapshot:
    """Read the VPC of a plan, and put it beside what the plan and the stack say.

    The calls: DescribeRouteTables, DescribeSubnets, DescribeNetworkAcls,
    DescribeSecurityGroupRules, DescribeNetworkInterfaces, DescribeInstances, and one
    GetManagedPrefixListEntries per prefix list that a route or a rule names.

    Raises:
        LookupFailedError: a call failed for good.
    """
    reader = _Reader(clients, plan.vpc.id)
    groups = sorted(
        {
            group
            for worker in plan.workers
            if worker.interface
            for group in worker.interface.security_group_ids
        }
    )
    with ThreadPoolExecutor(POOL_SIZE) as pool:
        tables = pool.submit(reader.tables)
        rules = pool.submit(reader.security_group_rules, groups)
        subnets = pool.submit(reader.subnets)
        acls = pool.submit(reader.acls)
        attachments = pool.submit(reader.attachments)
        instances = pool.submit(reader.instances)
        lists = sorted(_prefix_lists(tables.result(), rules.result()))
        entries = pool.map(reader.prefix_list, lists)
        return Snapshot(
            stack=stack.name,
            account=discovery.account,
            region=discovery.region,
            vpc=plan.vpc,
            cluster_cidrs=settings.cluster_cidr,
            route_table_ids=tuple(table.id for table in plan.tables),
            wanted=plan.routes,
            workers=plan.workers,
            faults=plan.faults,
            held=stack.targets,
            tables=tables.result(),
            subnets=subnets.result(),
            acls=acls.result(),
            security_group_rules=rules.result(),
            prefix_lists=dict(zip(lists, entries, strict=True)),
            attachments=attachments.result(),
            instances=instances.result(),
        )


class _Reader:
    """The calls about one VPC; each may take several pages."""

    def __init__(self, clients: Clients, vpc_id: str) -> None:
        self._clients = clients
        self._in_vpc = {"Name": "vpc-id", "Values": [vpc_id]}

    def tables(self) -> tuple[RouteTable, ...]:
        found = self._all("DescribeRouteTables", "RouteTables", self._in_vpc)
        return tuple(map(ec2.route_table, found))

    def subnets(self) -> tuple[Subnet, ...]:
        return tuple(
            Subnet(
                id=subnet["SubnetId"],
                name=ec2.name(subnet),
                availability_zone=subnet["AvailabilityZone"],
                cidrs=(
                    ip_network(subnet["CidrBlock"]),
                    *(
                        ip_network(six["Ipv6CidrBlock"])
                        for six in subnet.get("Ipv6CidrBlockAssociationSet", [])
                        if six["Ipv6CidrBlockState"]["State"] == "associated"
                    ),
                ),
            )
            for subnet in self._all("DescribeSubnets", "Subnets", self._in_vpc)
        )

    def acls(self) -> tuple[NetworkAcl, ...]:
        found = self._all("DescribeNetworkAcls", "NetworkAcls", self._in_vpc)
        return tuple(map(_acl, found))

    def security_group_rules(
        self, groups: Sequence[str]
    ) -> tuple[SecurityGroupRule, ...]:
        return tuple(
            _group_rule(rule)
            for start in range(0, len(groups), ec2.FILTER_VALUES)
            for rule in self._all(
                "DescribeSecurityGroupRules",
                "SecurityGroupRules",
                {
                    "Name": "group-id",
                    "Values": groups[start : start + ec2.FILTER_VALUES],
                },
            )
        )

    def attachments(self) -> dict[str, str | None]:
        return {
            interface["NetworkInterfaceId"]: interface.get("Attachment", {}).get(
                "InstanceId"
            )
            for interface in self._all(
                "DescribeNetworkInterfaces", "NetworkInterfaces", self._in_vpc
            )
        }

    def instances(self) -> tuple[Instance, ...]:
        live = {"Name": "instance-state-name", "Values": ec2.LIVE}
        return tuple(
            Instance(
                id=instance["InstanceId"],
                name=ec2.name(instance),
                state=instance["State"]["Name"],
                subnet_id=instance.get("SubnetId", ""),
            )
            for reservation in self._all(
                "DescribeInstances", "Reservations", self._in_vpc, live
            )
            for instance in reservation["Instances"]
        )

    def prefix_list(self, list_id: str) -> tuple[Network, ...]:
        found = self._all(
            "GetManagedPrefixListEntries", "Entries", PrefixListId=list_id
        )
        return tuple(ip_network(entry["Cidr"]) for entry in found)

    def _all(
        self,
        action: str,
        key: str,
        *filters: Mapping[str, Any],
        **request: Any,  # noqa: ANN401
    ) -> list[Any]:
        client: Any = self._clients.ec2
        paginator = client.get_paginator(xform_name(action))
        if filters:
            request["Filters"] = filters
        with explained(action, self._clients.region):
            return [
                item for page in paginator.paginate(**request) for item in page[key]
            ]


def _prefix_lists(
    tables: Iterable[RouteTable], rules: Iterable[SecurityGroupRule]
) -> Iterator[str]:
    named = {route.destination for table in tables for route in table.routes}
    named |= {rule.peer for rule in rules}
    return (each for each in named if isinstance(each, str) and each.startswith("pl-"))


def _acl(acl: NetworkAclTypeDef) -> NetworkAcl:
    return NetworkAcl(
        id=acl["NetworkAclId"],
        subnet_ids=tuple(
            association["SubnetId"] for association in acl.get("Associations", [])
        ),
        rules=tuple(_acl_rule(entry) for entry in acl.get("Entries", [])),
    )


def _acl_rule(entry: NetworkAclEntryTypeDef) -> AclRule:
    ports = None
    if "PortRange" in entry:
        ports = entry["PortRange"]["From"], entry["PortRange"]["To"]
    elif "IcmpTypeCode" in entry:
        ports = entry["IcmpTypeCode"]["Type"], entry["IcmpTypeCode"]["Code"]
    return AclRule(
        number=entry["RuleNumber"],
        egress=entry["Egress"],
        allow=entry["RuleAction"] == "allow",
        network=ip_network(entry.get("CidrBlock") or entry["Ipv6CidrBlock"]),
        protocol=int(entry["Protocol"]),
        ports=ports,
    )


def _group_rule(rule: SecurityGroupRuleTypeDef) -> SecurityGroupRule:
    cidr = rule.get("CidrIpv4") or rule.get("CidrIpv6")
    other = rule.get("PrefixListId") or rule.get("ReferencedGroupInfo", {}).get(
        "GroupId", ""
    )
    peer: Destination = ip_network(cidr) if cidr else other
    protocol = rule["IpProtocol"]
    first = rule.get("FromPort")
    last = rule.get("ToPort")
    return SecurityGroupRule(
        id=rule["SecurityGroupRuleId"],
        group_id=rule["GroupId"],
        egress=rule["IsEgress"],
        peer=peer,
        protocol=_PROTOCOLS[protocol] if protocol in _PROTOCOLS else int(protocol),
        ports=None if first is None or last is None else (first, last),
    )
