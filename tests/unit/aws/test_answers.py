"""What EC2 may leave out of its answers, and how they are parsed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.model import ListShape, StructureShape

from routes.aws import answers
from routes.errors import LookupFailedError
from routes.model import (
    AclRule,
    Instance,
    NetworkAcl,
    RouteTable,
    SecurityGroupRule,
    Subnet,
    Vpc,
    Worker,
)
from tests.builders import networks, one_line

if TYPE_CHECKING:
    from mypy_boto3_ec2.literals import RouteTableAssociationStateCodeType

Answer = dict[str, Any]

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ACL_RULE = {"RuleNumber": 1, "Egress": True, "RuleAction": "deny"}
GROUP_RULE = {"SecurityGroupRuleId": "sgr-1", "GroupId": "sg-1", "IsEgress": False}
INSTANCE = {"InstanceId": "i-1", "State": {"Name": "running"}}
WORKER = Worker(
    name="i-1",
    instance_id="i-1",
    state="running",
    availability_zone="",
    launch_time=NOW,
    private_ip=None,
    interface=None,
)

MINIMAL: Mapping[str, tuple[str, Answer, object]] = {
    "tags": ("Instance", {}, {}),
    "route_table": (
        "RouteTable",
        {"RouteTableId": "rtb-1", "VpcId": "vpc-1"},
        RouteTable(id="rtb-1", name="", vpc_id="vpc-1", routes=()),
    ),
    "vpc": ("Vpc", {"VpcId": "vpc-1"}, Vpc(id="vpc-1", cidrs=())),
    "subnet": (
        "Subnet",
        {"SubnetId": "subnet-1"},
        Subnet(id="subnet-1", name="", availability_zone="", cidrs=()),
    ),
    "network_acl": (
        "NetworkAcl",
        {"NetworkAclId": "acl-1"},
        NetworkAcl(id="acl-1", subnet_ids=(), rules=()),
    ),
    "security_group_rule": (
        "SecurityGroupRule",
        {**GROUP_RULE, "IpProtocol": "-1"},
        SecurityGroupRule(id="sgr-1", group_id="sg-1", egress=False, peer=""),
    ),
    "attachment": (
        "NetworkInterface",
        {"NetworkInterfaceId": "eni-1"},
        ("eni-1", None),
    ),
    "nat_gateway": (
        "NatGateway",
        {"NatGatewayId": "nat-1"},
        ("nat-1", ""),
    ),
    "subnet_state": (
        "Subnet",
        {"SubnetId": "subnet-1"},
        ("subnet-1", "available"),
    ),
    "interface_state": (
        "NetworkInterface",
        {"NetworkInterfaceId": "eni-1"},
        ("eni-1", "in-use"),
    ),
    "instance": (
        "Instance",
        INSTANCE,
        Instance(id="i-1", name="", state="running", subnet_id=""),
    ),
    "worker": (
        "Instance",
        {**INSTANCE, "LaunchTime": NOW},
        WORKER,
    ),
    "source": (
        "Instance",
        {**INSTANCE, "LaunchTime": NOW},
        WORKER,
    ),
    "user_data": ("InstanceAttribute", {}, ""),
    "prefix_list": (
        "ManagedPrefixList",
        {"PrefixListId": "pl-1"},
        ("pl-1", ("IPv4", 1)),
    ),
    "prefix_list_entry": (
        "PrefixListEntry",
        {"Cidr": "10.9.0.0/16"},
        ip_network("10.9.0.0/16"),
    ),
}
"""Each conversion: EC2's shape, the required members, and the result."""


def convert(name: str) -> Callable[[Answer], Any]:
    conversion: Callable[[Answer], Any] = getattr(answers, name)
    return conversion


def test_every_conversion_is_tested() -> None:
    public = {
        name
        for name, member in inspect.getmembers(answers, inspect.isfunction)
        if member.__module__ == answers.__name__ and not name.startswith("_")
    }

    assert public == MINIMAL.keys()


@pytest.mark.parametrize("name", MINIMAL)
def test_optional_members_of_an_answer_may_be_missing(name: str) -> None:
    _, required, expected = MINIMAL[name]

    assert convert(name)(required) == expected


@pytest.mark.parametrize(
    ("name", "member"),
    [
        (name, member)
        for name, (_, required, _) in MINIMAL.items()
        for member in required
    ],
)
def test_a_missing_required_member_is_an_error_that_names_it(
    name: str, member: str
) -> None:
    _, required, _ = MINIMAL[name]

    with pytest.raises(LookupFailedError) as caught:
        convert(name)({key: required[key] for key in required if key != member})

    assert f"an answer from EC2: expected a {member}, found none." in one_line(
        caught.value
    )


@pytest.fixture(scope="module")
def model() -> Any:  # noqa: ANN401 - botocore's
    """EC2's own description of its answers."""
    client: Any = boto3.client(
        "ec2", "us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    return client.meta.service_model


def hollow(shape: StructureShape) -> Answer:
    """Return every structure and list of a shape, empty."""
    answer: Answer = {}
    for name, member in shape.members.items():
        if isinstance(member, StructureShape):
            answer[name] = {}
        elif isinstance(member, ListShape):
            of_structures = isinstance(member.member, StructureShape)
            answer[name] = [{}] if of_structures else []
    return answer


@pytest.mark.parametrize("name", sorted(MINIMAL.keys() - {"network_acl"}))
def test_nested_structures_may_be_empty(name: str, model: Any) -> None:  # noqa: ANN401
    """Only an ACL's rule has required members."""
    shape, required, _ = MINIMAL[name]

    convert(name)(hollow(model.shape_for(shape)) | required)


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        pytest.param("com.amazonaws.global.cloudfront.origin-facing", 55, id="global"),
        pytest.param("com.amazonaws.eu-west-1.route53-healthchecks", 25, id="regional"),
        pytest.param("com.amazonaws.eu-west-1.ipv6.vpc-lattice", 10, id="of IPv6"),
        pytest.param("com.amazonaws.eu-west-1.s3", 1, id="one of a long list"),
        pytest.param("com.amazonaws.eu-west-1.new", 1, id="an unknown one"),
    ],
)
def test_an_aws_managed_list_has_its_documented_weight(name: str, weight: int) -> None:
    result = answers.prefix_list({"PrefixListId": "pl-1", "PrefixListName": name})

    assert result == ("pl-1", ("IPv4", weight))


def test_the_weight_of_a_customer_managed_list_is_its_max_entries() -> None:
    result = answers.prefix_list(
        {"PrefixListId": "pl-1", "PrefixListName": "s3", "MaxEntries": 7}
    )

    assert result == ("pl-1", ("IPv4", 7))


def test_a_source_sends_from_its_addresses_of_both_families() -> None:
    interface = {
        "NetworkInterfaceId": "eni-1",
        "SourceDestCheck": True,
        "Attachment": {"DeviceIndex": 0, "Status": "attached"},
    }
    answer = {
        **INSTANCE,
        "LaunchTime": NOW,
        "PrivateIpAddress": "10.0.0.9",
        "Ipv6Address": "fd00::9",
        "NetworkInterfaces": [interface],
    }

    source = convert("source")(answer)

    assert source.pod_cidrs == networks("10.0.0.9/32", "fd00::9/128")
    assert not source.interface.source_dest_check


def test_an_ipv6_only_subnet_is_read() -> None:
    """EC2 API Reference, CreateSubnet: "For an IPv6 only subnet, specify an IPv6 CIDR
    block".
    """
    subnet = answers.subnet(
        {
            "SubnetId": "subnet-1",
            "Ipv6Native": True,
            "Ipv6CidrBlockAssociationSet": [
                {
                    "Ipv6CidrBlock": "2001:db8::/64",
                    "Ipv6CidrBlockState": {"State": "associated"},
                },
                {
                    "Ipv6CidrBlock": "2001:db8:1::/64",
                    "Ipv6CidrBlockState": {"State": "disassociated"},
                },
            ],
        }
    )

    assert subnet.cidrs == networks("2001:db8::/64")


@pytest.mark.parametrize(
    ("entry", "protocol", "ports"),
    [
        pytest.param({}, -1, None, id="everything"),
        pytest.param({"Protocol": "6"}, 6, None, id="a protocol"),
        pytest.param(
            {"Protocol": "6", "PortRange": {"From": 1, "To": 9}}, 6, (1, 9), id="ports"
        ),
        pytest.param(
            {"Protocol": "1", "IcmpTypeCode": {"Type": 8}}, 1, (8, -1), id="a type"
        ),
    ],
)
def test_a_rule_of_an_acl_is_read(
    entry: Answer, protocol: int, ports: tuple[int, int] | None
) -> None:
    rule: Any = {**ACL_RULE, "CidrBlock": "0.0.0.0/0", **entry}

    (parsed,) = answers.network_acl({"NetworkAclId": "acl-1", "Entries": [rule]}).rules

    assert parsed == AclRule(
        number=1,
        egress=True,
        allow=False,
        network=ip_network("0.0.0.0/0"),
        protocol=protocol,
        ports=ports,
    )


def test_routes_of_every_shape_are_read() -> None:
    table = answers.route_table(
        {
            "RouteTableId": "rtb-1",
            "VpcId": "vpc-1",
            "Associations": [{"Main": True}],
            "Routes": [
                {
                    "DestinationIpv6CidrBlock": "fd00::/64",
                    "EgressOnlyInternetGatewayId": "eigw-1",
                },
                {
                    "DestinationCidrBlock": "10.9.0.0/16",
                    "GatewayId": "vgw-1",
                    "Origin": "EnableVgwRoutePropagation",
                    "State": "blackhole",
                },
                {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1"},
                {"DestinationCidrBlock": "10.8.0.0/16", "CoreNetworkArn": "arn:x"},
                {
                    "DestinationCidrBlock": "10.7.0.0/16",
                    "InstanceId": "i-1",
                    "NetworkInterfaceId": "eni-1",
                },
            ],
        }
    )
    six, vgw, listed, core, worker = table.routes

    assert table.main
    assert table.name == ""
    assert (six.destination, six.target) == (ip_network("fd00::/64"), "eigw-1")
    assert (vgw.state, vgw.is_static) == ("blackhole", False)
    assert (listed.destination, listed.target) == ("pl-1", "vpce-1")
    assert core.target == "arn:x"
    assert (worker.target, worker.instance_id) == ("eni-1", "i-1")


@pytest.mark.parametrize(
    ("status", "attachment", "state"),
    [
        ("in-use", "attached", "in-use"),
        ("in-use", "detaching", "detaching"),
        ("attaching", "attached", "attaching"),
    ],
)
def test_an_interface_in_attachment_or_detachment_has_that_state(
    status: str, attachment: str, state: str
) -> None:
    answer: Any = {
        "NetworkInterfaceId": "eni-1",
        "Status": status,
        "Attachment": {"Status": attachment},
    }

    assert answers.interface_state(answer) == ("eni-1", state)


def test_a_subnet_that_is_being_disassociated_does_not_use_the_table() -> None:
    states: tuple[RouteTableAssociationStateCodeType, ...] = (
        "associating",
        "associated",
        "disassociating",
        "disassociated",
        "failed",
    )
    table = answers.route_table(
        {
            "RouteTableId": "rtb-1",
            "VpcId": "vpc-1",
            "Associations": [
                {"SubnetId": f"subnet-{state}", "AssociationState": {"State": state}}
                for state in states
            ],
        }
    )

    assert table.subnet_ids == ("subnet-associating", "subnet-associated")
