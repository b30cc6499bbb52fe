"""Parse EC2's answers: the only module that knows their shapes.

EC2's service model, which botocore reads, requires no member of any answer. So each may
be absent here; only those without which an answer is useless are required.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING, Any, Final

from routes.errors import Finding, LookupFailedError
from routes.model import (
    AclRule,
    Destination,
    Instance,
    Interface,
    NetworkAcl,
    Route,
    RouteTable,
    SecurityGroupRule,
    Subnet,
    Vpc,
    Worker,
)
from routes.networks import Network
from routes.text import visible

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        InstanceAttributeTypeDef,
        InstanceNetworkInterfaceTypeDef,
        InstanceTypeDef,
        ManagedPrefixListTypeDef,
        NatGatewayTypeDef,
        NetworkAclEntryTypeDef,
        NetworkAclTypeDef,
        NetworkInterfaceTypeDef,
        PrefixListEntryTypeDef,
        RouteTableTypeDef,
        RouteTypeDef,
        SecurityGroupRuleTypeDef,
        SubnetTypeDef,
        VpcTypeDef,
    )

_TARGETS: Final = (
    "NetworkInterfaceId",
    "InstanceId",
    "GatewayId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
    "OdbNetworkArn",
    "IpAddress",
)
"""The members with a route's target; a route to an instance has two of them."""
_WEIGHTS: Final = {
    "cloudfront.origin-facing": 55,
    "dynamodb": 1,
    "ec2-instance-connect": 2,
    "groundstation": 5,
    "route53-healthchecks": 25,
    "s3": 1,
    "s3express": 6,
    "vpc-lattice": 10,
}
"""The weights of AWS-managed prefix lists, by what follows the Region in their name,
for both IP families: "The weight of an AWS-managed prefix list refers to the number of
entries that it takes up in a resource" (VPC User Guide, "AWS-managed prefix lists")."""
_PROTOCOLS: Final = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}
"""The names of protocols in rules (EC2 API Reference, "IpPermission")."""


def tags(thing: InstanceTypeDef | RouteTableTypeDef | SubnetTypeDef) -> dict[str, str]:
    """Return the tags by their keys."""
    return {tag.get("Key", ""): tag.get("Value", "") for tag in thing.get("Tags") or ()}


def _name(thing: InstanceTypeDef | SubnetTypeDef) -> str:
    """Return the Name tag, safe to show, "" without one."""
    return visible(tags(thing).get("Name", ""))


def route_table(table: RouteTableTypeDef) -> RouteTable:
    """Return a table, its routes, and the subnets that use it or are about to."""
    associations = [
        association
        for association in table.get("Associations", [])
        if association.get("AssociationState", {}).get("State", "associated")
        in {"associating", "associated"}
    ]
    return RouteTable(
        id=_required(table, "RouteTableId"),
        name=tags(table).get("Name", ""),
        vpc_id=_required(table, "VpcId"),
        routes=tuple(map(_route, table.get("Routes", []))),
        main=any(association.get("Main", False) for association in associations),
        subnet_ids=tuple(
            association["SubnetId"]
            for association in associations
            if "SubnetId" in association
        ),
        gateway_ids=tuple(
            association["GatewayId"]
            for association in associations
            if "GatewayId" in association
        ),
        owner=table.get("OwnerId", ""),
    )


def _route(route: RouteTypeDef) -> Route:
    cidr = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
    return Route(
        destination=ip_network(cidr)
        if cidr
        else route.get("DestinationPrefixListId", ""),
        target=next((str(route[key]) for key in _TARGETS if route.get(key)), ""),
        instance_id=route.get("InstanceId"),
        state=route.get("State", "active"),
        origin=route.get("Origin", "CreateRoute"),
    )


def vpc(answer: VpcTypeDef) -> Vpc:
    """Return a VPC and its CIDR blocks, or those that are being associated."""
    blocks = {answer.get("CidrBlock", "")}
    for four in answer.get("CidrBlockAssociationSet", []):
        if four.get("CidrBlockState", {}).get("State") in {"associated", "associating"}:
            blocks.add(four.get("CidrBlock", ""))
    for six in answer.get("Ipv6CidrBlockAssociationSet", []):
        state = six.get("Ipv6CidrBlockState", {}).get("State")
        if state in {"associated", "associating"}:
            blocks.add(six.get("Ipv6CidrBlock", ""))
    return Vpc(id=_required(answer, "VpcId"), cidrs=_networks(sorted(blocks)))


def subnet(answer: SubnetTypeDef) -> Subnet:
    """Return a subnet; an IPv6-only one has no CidrBlock (API, CreateSubnet)."""
    six = [
        block.get("Ipv6CidrBlock", "")
        for block in answer.get("Ipv6CidrBlockAssociationSet", [])
        if block.get("Ipv6CidrBlockState", {}).get("State") == "associated"
    ]
    return Subnet(
        id=_required(answer, "SubnetId"),
        name=_name(answer),
        availability_zone=answer.get("AvailabilityZone", ""),
        cidrs=_networks([answer.get("CidrBlock", ""), *six]),
    )


def network_acl(acl: NetworkAclTypeDef) -> NetworkAcl:
    """Return a network ACL, its rules and its subnets."""
    return NetworkAcl(
        id=_required(acl, "NetworkAclId"),
        subnet_ids=tuple(
            association["SubnetId"]
            for association in acl.get("Associations", [])
            if "SubnetId" in association
        ),
        rules=tuple(map(_acl_rule, acl.get("Entries", []))),
    )


def _acl_rule(entry: NetworkAclEntryTypeDef) -> AclRule:
    ports = None
    if "PortRange" in entry:
        span = entry["PortRange"]
        ports = span.get("From", 0), span.get("To", 65535)
    elif "IcmpTypeCode" in entry:
        kind = entry["IcmpTypeCode"]
        ports = kind.get("Type", -1), kind.get("Code", -1)
    return AclRule(
        number=_required(entry, "RuleNumber"),
        egress=_required(entry, "Egress"),
        allow=_required(entry, "RuleAction") == "allow",
        network=ip_network(entry.get("CidrBlock") or _required(entry, "Ipv6CidrBlock")),
        protocol=int(entry.get("Protocol", "-1")),
        ports=ports,
    )


def security_group_rule(rule: SecurityGroupRuleTypeDef) -> SecurityGroupRule:
    """Return a rule; one without a peer allows nothing."""
    cidr = rule.get("CidrIpv4") or rule.get("CidrIpv6")
    other = rule.get("PrefixListId") or rule.get("ReferencedGroupInfo", {}).get(
        "GroupId", ""
    )
    peer: Destination = ip_network(cidr) if cidr else other
    protocol = _required(rule, "IpProtocol")
    first = rule.get("FromPort")
    last = rule.get("ToPort")
    return SecurityGroupRule(
        id=_required(rule, "SecurityGroupRuleId"),
        group_id=_required(rule, "GroupId"),
        egress=_required(rule, "IsEgress"),
        peer=peer,
        protocol=_PROTOCOLS[protocol] if protocol in _PROTOCOLS else int(protocol),
        ports=None if first is None or last is None else (first, last),
    )


def attachment(interface: NetworkInterfaceTypeDef) -> tuple[str, str | None]:
    """Return an interface's id and its instance, None if it has none."""
    instance_id = interface.get("Attachment", {}).get("InstanceId")
    return _required(interface, "NetworkInterfaceId"), instance_id


def nat_gateway(answer: NatGatewayTypeDef) -> tuple[str, str]:
    """Return a NAT gateway's id and its subnet, "" for a regional one."""
    return _required(answer, "NatGatewayId"), answer.get("SubnetId", "")


def subnet_state(answer: SubnetTypeDef) -> tuple[str, str]:
    """Return a subnet's id and state (EC2 API Reference, "Subnet")."""
    return _required(answer, "SubnetId"), answer.get("State", "available")


def interface_state(answer: NetworkInterfaceTypeDef) -> tuple[str, str]:
    """Return an interface's id and state, or that of its attachment in progress.

    See EC2 API Reference, "NetworkInterface" and "NetworkInterfaceAttachment".
    """
    attached = answer.get("Attachment", {}).get("Status", "attached")
    state: str = answer.get("Status", "in-use") if attached == "attached" else attached
    return _required(answer, "NetworkInterfaceId"), state


def instance(answer: InstanceTypeDef) -> Instance:
    """Return an instance of the VPC."""
    return Instance(
        id=_required(answer, "InstanceId"),
        name=_name(answer),
        state=_required(_required(answer, "State"), "Name"),
        subnet_id=answer.get("SubnetId", ""),
    )


def worker(answer: InstanceTypeDef) -> Worker:
    """Return an instance as a worker without pod CIDRs."""
    address = answer.get("PrivateIpAddress")
    return Worker(
        name=_name(answer) or _required(answer, "InstanceId"),
        instance_id=_required(answer, "InstanceId"),
        state=_required(_required(answer, "State"), "Name"),
        availability_zone=answer.get("Placement", {}).get("AvailabilityZone", ""),
        launch_time=_required(answer, "LaunchTime"),
        private_ip=IPv4Address(address) if address else None,
        interface=_primary_interface(answer.get("NetworkInterfaces", [])),
    )


def source(answer: InstanceTypeDef) -> Worker:
    """Return an instance as a source, with one address of each IP family.

    They are "the private IPv4 address assigned to the instance" and "the IPv6 address
    assigned to the instance" (EC2 API Reference, "Instance"); the source/destination
    check doesn't apply to them.
    """
    itself = worker(answer)
    own = itself.interface
    return replace(
        itself,
        pod_cidrs=_networks(
            (answer.get("PrivateIpAddress", ""), answer.get("Ipv6Address", ""))
        ),
        interface=own and replace(own, source_dest_check=False),
    )


def _primary_interface(
    interfaces: Iterable[InstanceNetworkInterfaceTypeDef],
) -> Interface | None:
    for interface in interfaces:
        attached = interface.get("Attachment", {})
        if (
            attached.get("DeviceIndex") == 0
            and attached.get("NetworkCardIndex", 0) == 0
            and attached.get("Status") in {"attaching", "attached"}
        ):
            return Interface(
                id=_required(interface, "NetworkInterfaceId"),
                subnet_id=interface.get("SubnetId", ""),
                source_dest_check=interface.get("SourceDestCheck", True),
                security_group_ids=tuple(
                    group["GroupId"]
                    for group in interface.get("Groups", [])
                    if "GroupId" in group
                ),
            )
    return None


def user_data(answer: InstanceAttributeTypeDef) -> str:
    """Return an instance's user data in base64, "" without any."""
    return answer.get("UserData", {}).get("Value", "")


def prefix_list(answer: ManagedPrefixListTypeDef) -> tuple[str, tuple[str, int]]:
    """Return a prefix list's id, its IP family, and its weight in a quota.

    That is its maximum of entries. AWS-managed lists have none; one that `_WEIGHTS`
    doesn't know counts as one.
    """
    service = re.sub(
        r"com\.amazonaws\.[^.]+\.(ipv6\.)?", "", answer.get("PrefixListName", "")
    )
    weight = answer.get("MaxEntries") or _WEIGHTS.get(service, 1)
    family = answer.get("AddressFamily", "IPv4")
    return _required(answer, "PrefixListId"), (family, weight)


def prefix_list_entry(entry: PrefixListEntryTypeDef) -> Network:
    """Return one network of a prefix list."""
    return ip_network(_required(entry, "Cidr"))


def _networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(cidr) for cidr in cidrs if cidr)


def _required(answer: Mapping[str, object], member: str) -> Any:  # noqa: ANN401 - EC2's
    """Return a required member of an answer.

    Raises:
        LookupFailedError: it is missing.
    """
    if member in answer:
        return answer[member]
    fault = Finding(
        resource="an answer from EC2",
        problem=f"expected a {member}, found none.",
        hint="Try again. If it happens again, the endpoint isn't EC2's, or EC2 and"
        " boto3 have changed: report it, with the output of `pip show boto3`.",
    )
    raise LookupFailedError(str(fault))
