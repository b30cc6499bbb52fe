"""EC2's answers -> values of the model: the one module that knows their shapes.

EC2's service model, which botocore reads, promises no member of any answer. So each may
be absent here; without the few that say what an answer is about, it is an error.
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
"""Where DescribeRouteTables names a route's target; an instance's has two of them."""
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
"""What AWS's own prefix lists count, by what follows the Region in their name, of IPv6
the same: "The weight of an AWS-managed prefix list refers to the number of entries that
it takes up in a resource" (VPC User Guide, "AWS-managed prefix lists")."""
_PROTOCOLS: Final = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}
"""The names that rules use for numbers (EC2 API Reference, "IpPermission")."""


def tags(thing: InstanceTypeDef | RouteTableTypeDef | SubnetTypeDef) -> dict[str, str]:
    """Return the tags by their keys."""
    return {tag.get("Key", ""): tag.get("Value", "") for tag in thing.get("Tags") or ()}


def _name(thing: InstanceTypeDef | SubnetTypeDef) -> str:
    """Return the Name tag as it may be shown, "" where there is none."""
    return visible(tags(thing).get("Name", ""))


def route_table(table: RouteTableTypeDef) -> RouteTable:
    """Return a table, its entries, and the subnets that use it or are about to."""
    associations = [
        association
        for association in table.get("Associations", [])
        if association.get("AssociationState", {}).get("State", "associated")
        in {"associating", "associated"}
    ]
    return RouteTable(
        id=_told(table, "RouteTableId"),
        name=tags(table).get("Name", ""),
        vpc_id=_told(table, "VpcId"),
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


def vpc(found: VpcTypeDef) -> Vpc:
    """Return a VPC and every block that is its own, or about to be."""
    blocks = {found.get("CidrBlock", "")}
    for four in found.get("CidrBlockAssociationSet", []):
        if four.get("CidrBlockState", {}).get("State") in {"associated", "associating"}:
            blocks.add(four.get("CidrBlock", ""))
    for six in found.get("Ipv6CidrBlockAssociationSet", []):
        state = six.get("Ipv6CidrBlockState", {}).get("State")
        if state in {"associated", "associating"}:
            blocks.add(six.get("Ipv6CidrBlock", ""))
    return Vpc(id=_told(found, "VpcId"), cidrs=_networks(sorted(blocks)))


def subnet(found: SubnetTypeDef) -> Subnet:
    """Return a subnet; one of IPv6 alone has no CidrBlock (API, CreateSubnet)."""
    six = [
        block.get("Ipv6CidrBlock", "")
        for block in found.get("Ipv6CidrBlockAssociationSet", [])
        if block.get("Ipv6CidrBlockState", {}).get("State") == "associated"
    ]
    return Subnet(
        id=_told(found, "SubnetId"),
        name=_name(found),
        availability_zone=found.get("AvailabilityZone", ""),
        cidrs=_networks([found.get("CidrBlock", ""), *six]),
    )


def network_acl(acl: NetworkAclTypeDef) -> NetworkAcl:
    """Return a network ACL, its rules and the subnets that it guards."""
    return NetworkAcl(
        id=_told(acl, "NetworkAclId"),
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
        number=_told(entry, "RuleNumber"),
        egress=_told(entry, "Egress"),
        allow=_told(entry, "RuleAction") == "allow",
        network=ip_network(entry.get("CidrBlock") or _told(entry, "Ipv6CidrBlock")),
        protocol=int(entry.get("Protocol", "-1")),
        ports=ports,
    )


def security_group_rule(rule: SecurityGroupRuleTypeDef) -> SecurityGroupRule:
    """Return a rule; one whose far end EC2 does not name lets nobody in."""
    cidr = rule.get("CidrIpv4") or rule.get("CidrIpv6")
    other = rule.get("PrefixListId") or rule.get("ReferencedGroupInfo", {}).get(
        "GroupId", ""
    )
    peer: Destination = ip_network(cidr) if cidr else other
    protocol = _told(rule, "IpProtocol")
    first = rule.get("FromPort")
    last = rule.get("ToPort")
    return SecurityGroupRule(
        id=_told(rule, "SecurityGroupRuleId"),
        group_id=_told(rule, "GroupId"),
        egress=_told(rule, "IsEgress"),
        peer=peer,
        protocol=_PROTOCOLS[protocol] if protocol in _PROTOCOLS else int(protocol),
        ports=None if first is None or last is None else (first, last),
    )


def attachment(interface: NetworkInterfaceTypeDef) -> tuple[str, str | None]:
    """Return an interface's id, and its instance, None if it has none."""
    instance_id = interface.get("Attachment", {}).get("InstanceId")
    return _told(interface, "NetworkInterfaceId"), instance_id


def nat_gateway(found: NatGatewayTypeDef) -> tuple[str, str]:
    """Return a NAT gateway's id and its subnet, "" of a regional one."""
    return _told(found, "NatGatewayId"), found.get("SubnetId", "")


def subnet_state(found: SubnetTypeDef) -> tuple[str, str]:
    """Return a subnet's id and state (EC2 API Reference, "Subnet")."""
    return _told(found, "SubnetId"), found.get("State", "available")


def interface_state(found: NetworkInterfaceTypeDef) -> tuple[str, str]:
    """Return an interface's id and state, while it is being attached or detached that.

    See EC2 API Reference, "NetworkInterface" and "NetworkInterfaceAttachment".
    """
    attached = found.get("Attachment", {}).get("Status", "attached")
    state: str = found.get("Status", "in-use") if attached == "attached" else attached
    return _told(found, "NetworkInterfaceId"), state


def instance(found: InstanceTypeDef) -> Instance:
    """Return what verification needs of any instance."""
    return Instance(
        id=_told(found, "InstanceId"),
        name=_name(found),
        state=_told(_told(found, "State"), "Name"),
        subnet_id=found.get("SubnetId", ""),
    )


def worker(found: InstanceTypeDef) -> Worker:
    """Return an instance as a worker whose pod CIDRs were not read."""
    address = found.get("PrivateIpAddress")
    return Worker(
        name=_name(found) or _told(found, "InstanceId"),
        instance_id=_told(found, "InstanceId"),
        state=_told(_told(found, "State"), "Name"),
        availability_zone=found.get("Placement", {}).get("AvailabilityZone", ""),
        launch_time=_told(found, "LaunchTime"),
        private_ip=IPv4Address(address) if address else None,
        interface=_primary_interface(found.get("NetworkInterfaces", [])),
    )


def source(found: InstanceTypeDef) -> Worker:
    """Return an instance that sends from its own addresses, one of each IP family.

    They are "the private IPv4 address assigned to the instance" and "the IPv6 address
    assigned to the instance" (EC2 API Reference, "Instance"); the check is not about
    them.
    """
    itself = worker(found)
    own = itself.interface
    return replace(
        itself,
        pod_cidrs=_networks(
            (found.get("PrivateIpAddress", ""), found.get("Ipv6Address", ""))
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
                id=_told(interface, "NetworkInterfaceId"),
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
    """Return an instance's user data in base64, "" where it has none."""
    return answer.get("UserData", {}).get("Value", "")


def prefix_list(found: ManagedPrefixListTypeDef) -> tuple[str, tuple[str, int]]:
    """Return a prefix list's id, its IP family, and what it counts in a quota.

    That is the most entries that it may have; AWS's own lists have none to tell, and a
    new one that `_WEIGHTS` does not know counts as one.
    """
    service = re.sub(
        r"com\.amazonaws\.[^.]+\.(ipv6\.)?", "", found.get("PrefixListName", "")
    )
    weight = found.get("MaxEntries") or _WEIGHTS.get(service, 1)
    family = found.get("AddressFamily", "IPv4")
    return _told(found, "PrefixListId"), (family, weight)


def prefix_list_entry(entry: PrefixListEntryTypeDef) -> Network:
    """Return one network of a prefix list."""
    return ip_network(_told(entry, "Cidr"))


def _networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(cidr) for cidr in cidrs if cidr)


def _told(answer: Mapping[str, object], member: str) -> Any:  # noqa: ANN401 - EC2's
    """Return a member without which an answer means nothing.

    Raises:
        LookupFailedError: it is absent.
    """
    if member in answer:
        return answer[member]
    fault = Finding(
        where="an answer of EC2",
        problem=f"expected a {member}, found none.",
        remedy="Try again. If it stays so, the endpoint that answers is not EC2's, or"
        " EC2 and boto3 have changed: report it, with what `pip show boto3` says.",
    )
    raise LookupFailedError(str(fault))
