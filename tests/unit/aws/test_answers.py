"""What EC2 may leave out of its answers, and what they become."""

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
"""Each conversion: EC2's shape, what alone must be there, and what becomes of it."""


def convert(name: str) -> Callable[[Answer], Any]:
    conversion: Callable[[Answer], Any] = getattr(answers, name)
    return conversion


def test_every_conversion_is_tried() -> None:
    public = {
        name
        for name, member in inspect.getmembers(answers, inspect.isfunction)
        if member.__module__ == answers.__name__ and not name.startswith("_")
    }

    assert public == MINIMAL.keys()


@pytest.mark.parametrize("name", MINIMAL)
def test_whatever_ec2_may_leave_out_may_be_left_out(name: str) -> None:
    _, needed, expected = MINIMAL[name]

    assert convert(name)(needed) == expected


@pytest.mark.parametrize(
    ("name", "member"),
    [(name, member) for name, (_, needed, _) in MINIMAL.items() for member in needed],
)
def test_an_answer_about_nothing_is_an_error_that_names_what_lacks(
    name: str, member: str
) -> None:
    _, needed, _ = MINIMAL[name]

    with pytest.raises(LookupFailedError) as caught:
        convert(name)({key: needed[key] for key in needed if key != member})

    assert f"an answer of EC2: expected a {member}, found none." in one_line(
        caught.value
    )


@pytest.fixture(scope="module")
def model() -> Any:  # noqa: ANN401 - botocore's
    """What EC2 says of its own answers."""
    client: Any = boto3.client(
        "ec2", "us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    return client.meta.service_model


def hollow(shape: StructureShape) -> Answer:
    """Return every structure and list of a shape, with nothing inside."""
    found: Answer = {}
    for name, member in shape.members.items():
        if isinstance(member, StructureShape):
            found[name] = {}
        elif isinstance(member, ListShape):
            of_structures = isinstance(member.member, StructureShape)
            found[name] = [{}] if of_structures else []
    return found


@pytest.mark.parametrize("name", sorted(MINIMAL.keys() - {"network_acl"}))
def test_what_is_nested_may_be_hollow(name: str, model: Any) -> None:  # noqa: ANN401
    """A rule of an ACL alone is nothing without its members."""
    shape, needed, _ = MINIMAL[name]

    convert(name)(hollow(model.shape_for(shape)) | needed)


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        pytest.param("com.amazonaws.global.cloudfront.origin-facing", 55, id="global"),
        pytest.param("com.amazonaws.eu-west-1.route53-healthchecks", 25, id="regional"),
        pytest.param("com.amazonaws.eu-west-1.ipv6.vpc-lattice", 10, id="of IPv6"),
        pytest.param("com.amazonaws.eu-west-1.s3", 1, id="one of a long list"),
        pytest.param("com.amazonaws.eu-west-1.new", 1, id="one that is not known"),
    ],
)
def test_a_list_of_aws_weighs_what_its_page_says(name: str, weight: int) -> None:
    found = answers.prefix_list({"PrefixListId": "pl-1", "PrefixListName": name})

    assert found == ("pl-1", ("IPv4", weight))


def test_a_list_of_ones_own_weighs_its_most_entries() -> None:
    found = answers.prefix_list(
        {"PrefixListId": "pl-1", "PrefixListName": "s3", "MaxEntries": 7}
    )

    assert found == ("pl-1", ("IPv4", 7))


def test_an_instance_sends_from_its_addresses_of_both_families() -> None:
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

    sends = convert("source")(answer)

    assert sends.pod_cidrs == networks("10.0.0.9/32", "fd00::9/128")
    assert not sends.interface.source_dest_check


def test_a_subnet_of_ipv6_alone_is_read() -> None:
    """EC2 API Reference, CreateSubnet: "For an IPv6 only subnet, specify an IPv6 CIDR
    block".
    """
    found = answers.subnet(
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

    assert found.cidrs == networks("2001:db8::/64")


@pytest.mark.parametrize(
    ("entry", "protocol", "ports"),
    [
        pytest.param({}, -1, None, id="all that there is"),
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

    (found,) = answers.network_acl({"NetworkAclId": "acl-1", "Entries": [rule]}).rules

    assert found == AclRule(
        number=1,
        egress=True,
        allow=False,
        network=ip_network("0.0.0.0/0"),
        protocol=protocol,
        ports=ports,
    )


def test_routes_of_every_shape_are_read() -> None:
    propagated = answers.route_table(
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
    six, vgw, listed, core, worker = propagated.routes

    assert propagated.main
    assert propagated.name == ""
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
def test_an_interface_that_is_being_attached_or_detached_says_so(
    status: str, attachment: str, state: str
) -> None:
    answer: Any = {
        "NetworkInterfaceId": "eni-1",
        "Status": status,
        "Attachment": {"Status": attachment},
    }

    assert answers.interface_state(answer) == ("eni-1", state)


def test_a_subnet_that_is_leaving_a_table_does_not_use_it() -> None:
    states: tuple[RouteTableAssociationStateCodeType, ...] = (
        "associating",
        "associated",
        "disassociating",
        "disassociated",
        "failed",
    )
    found = answers.route_table(
        {
            "RouteTableId": "rtb-1",
            "VpcId": "vpc-1",
            "Associations": [
                {"SubnetId": f"subnet-{state}", "AssociationState": {"State": state}}
                for state in states
            ],
        }
    )

    assert found.subnet_ids == ("subnet-associating", "subnet-associated")
