"""EC2's rules for routes and route tables."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control
from sandbox.lab import Lab, interface_of, routes
from tests.sandbox.conftest import refused

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

POD = "10.200.0.0/24"


@pytest.fixture
def eni(ec2: EC2Client, lab: Lab) -> str:
    return interface_of(ec2, lab.workers["worker-0"])


@pytest.fixture
def other_eni(ec2: EC2Client, lab: Lab) -> str:
    return interface_of(ec2, lab.workers["worker-1"])


def second_interface(ec2: EC2Client, lab: Lab, worker: str) -> str:
    interface_id = ec2.create_network_interface(SubnetId=lab.subnet_id)[
        "NetworkInterface"
    ]["NetworkInterfaceId"]
    ec2.attach_network_interface(
        DeviceIndex=1, InstanceId=lab.workers[worker], NetworkInterfaceId=interface_id
    )
    return interface_id


def test_a_route_to_an_interface_has_all_of_ec2s_fields(
    ec2: EC2Client, lab: Lab, eni: str
) -> None:
    ec2.create_route(
        RouteTableId=lab.table_id, DestinationCidrBlock=POD, NetworkInterfaceId=eni
    )

    assert routes(ec2, lab.table_id)[POD] == {
        "DestinationCidrBlock": POD,
        "InstanceId": lab.workers["worker-0"],
        "InstanceOwnerId": "123456789012",
        "NetworkInterfaceId": eni,
        "Origin": "CreateRoute",
        "State": "active",
    }


def test_a_route_to_an_instance_is_the_same_route(
    ec2: EC2Client, lab: Lab, eni: str
) -> None:
    table = lab.table_id
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock=POD, NetworkInterfaceId=eni
    )
    by_interface = routes(ec2, table)[POD]
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=POD)

    ec2.create_route(
        RouteTableId=table,
        DestinationCidrBlock=POD,
        InstanceId=lab.workers["worker-0"],
    )

    assert routes(ec2, table)[POD] == by_interface


def test_a_route_needs_a_target(ec2: EC2Client, lab: Lab, eni: str) -> None:
    """EC2 API Reference, CreateRoute and ReplaceRoute: "You must also specify exactly
    one of the resources from the parameter list".
    """
    table = lab.table_id
    with refused("MissingParameter"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=POD)
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock=POD, NetworkInterfaceId=eni
    )

    with refused("MissingParameter"):
        ec2.replace_route(RouteTableId=table, DestinationCidrBlock=POD)

    assert routes(ec2, table)[POD]["NetworkInterfaceId"] == eni


@pytest.mark.parametrize("target", ["interface", "instance", "gateway"])
def test_an_existing_destination_is_refused(
    ec2: EC2Client, lab: Lab, eni: str, target: str
) -> None:
    targets: dict[str, dict[str, Any]] = {
        "interface": {"NetworkInterfaceId": eni},
        "instance": {"InstanceId": lab.workers["worker-0"]},
        "gateway": {"GatewayId": lab.gateway_id},
    }
    where: dict[str, Any] = {"RouteTableId": lab.table_id, "DestinationCidrBlock": POD}
    ec2.create_route(**where, NetworkInterfaceId=eni)

    with refused("RouteAlreadyExists", "10.200.0.0/24 already exists"):
        ec2.create_route(**where, **targets[target])


def test_a_destination_with_host_bits_is_the_same_destination(
    ec2: EC2Client, lab: Lab, eni: str
) -> None:
    table = lab.table_id
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock=POD, NetworkInterfaceId=eni
    )

    with refused("RouteAlreadyExists"):
        ec2.create_route(
            RouteTableId=table,
            DestinationCidrBlock="10.200.0.77/24",
            NetworkInterfaceId=eni,
        )


@pytest.mark.parametrize(
    ("parameter", "destination"),
    [
        ("DestinationCidrBlock", "10.200.9.77/24"),
        ("DestinationIpv6CidrBlock", "fd00:0200:0::1/64"),
    ],
)
def test_a_destination_is_stored_in_its_canonical_form(
    ec2: EC2Client, lab: Lab, eni: str, parameter: str, destination: str
) -> None:
    where: dict[str, Any] = {"RouteTableId": lab.table_id, parameter: destination}

    ec2.create_route(**where, NetworkInterfaceId=eni)

    created = routes(ec2, lab.table_id).keys() - {"0.0.0.0/0", "10.0.0.0/16"}
    assert created == {str(ip_network(destination, strict=False))}


@pytest.mark.parametrize("target", ["interface", "instance"])
def test_another_spelling_of_a_destination_is_replaced_and_deleted(
    ec2: EC2Client, lab: Lab, eni: str, other_eni: str, target: str
) -> None:
    new: dict[str, Any] = {
        "interface": {"NetworkInterfaceId": other_eni},
        "instance": {"InstanceId": lab.workers["worker-1"]},
    }[target]
    where: dict[str, Any] = {
        "RouteTableId": lab.table_id,
        "DestinationCidrBlock": "10.200.0.9/24",
    }
    ec2.create_route(**where, NetworkInterfaceId=eni)

    ec2.replace_route(**where, **new)
    replaced = routes(ec2, lab.table_id)[POD]
    ec2.delete_route(**where)

    assert replaced["NetworkInterfaceId"] == other_eni
    assert replaced["InstanceId"] == lab.workers["worker-1"]
    assert POD not in routes(ec2, lab.table_id)


@pytest.mark.parametrize(
    "destination",
    [
        pytest.param("not-a-cidr", id="no address"),
        pytest.param("10.200.0.0", id="no length"),
        pytest.param("10.200.0.0/33", id="too long"),
        pytest.param("10.200.0.0/255.255.255.0", id="a netmask"),
        pytest.param("fd00:200::/64", id="the other family"),
    ],
)
def test_an_invalid_cidr_is_refused_with_ec2s_message(
    ec2: EC2Client, lab: Lab, eni: str, destination: str
) -> None:
    with refused(
        "InvalidParameterValue",
        rf"Value \({destination}\) for parameter destinationCidrBlock is invalid. This"
        " is not a valid CIDR block.",
    ):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=destination,
            NetworkInterfaceId=eni,
        )


@pytest.mark.parametrize(
    ("destination", "code"),
    [
        pytest.param("10.0.0.0/16", "RouteAlreadyExists", id="the VPC's own range"),
        pytest.param("10.0.7.0/24", "InvalidParameterValue", id="no subnet's range"),
    ],
)
def test_a_part_of_the_vpc_is_refused(
    ec2: EC2Client, lab: Lab, eni: str, destination: str, code: str
) -> None:
    with refused(code):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=destination,
            NetworkInterfaceId=eni,
        )


def test_a_subnets_range_may_go_to_an_interface_but_not_to_a_gateway(
    ec2: EC2Client, lab: Lab, eni: str
) -> None:
    where: dict[str, Any] = {
        "RouteTableId": lab.table_id,
        "DestinationCidrBlock": "10.0.0.0/18",
    }

    with refused("InvalidParameterValue", "equal to or more specific than one of"):
        ec2.create_route(**where, GatewayId=lab.gateway_id)
    ec2.create_route(**where, NetworkInterfaceId=eni)

    assert routes(ec2, lab.table_id)["10.0.0.0/18"]["NetworkInterfaceId"] == eni


def test_the_quota_is_per_family_and_can_change_while_the_server_runs(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab, eni: str
) -> None:
    table = lab.table_id
    local_aws.control(Control(quota=2))  # the default route is the first
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock=POD, NetworkInterfaceId=eni
    )

    with refused("RouteLimitExceeded"):
        ec2.create_route(
            RouteTableId=table,
            DestinationCidrBlock="10.200.1.0/24",
            NetworkInterfaceId=eni,
        )
    ec2.create_route(
        RouteTableId=table,
        DestinationIpv6CidrBlock="fd00:200::/64",
        NetworkInterfaceId=eni,
    )
    local_aws.control(Control(quota=3))
    ec2.create_route(
        RouteTableId=table,
        DestinationCidrBlock="10.200.1.0/24",
        NetworkInterfaceId=eni,
    )


def test_500_routes_is_the_default_quota() -> None:
    assert Control().quota == 500


def test_a_prefix_list_counts_as_its_maximum_of_entries(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab, eni: str
) -> None:
    list_id = ec2.create_managed_prefix_list(
        PrefixListName="offices", MaxEntries=5, AddressFamily="IPv4"
    )["PrefixList"]["PrefixListId"]
    local_aws.control(Control(quota=5))

    with refused("RouteLimitExceeded"):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationPrefixListId=list_id,
            NetworkInterfaceId=eni,
        )


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("com.amazonaws.us-east-1.s3", 1),
        ("com.amazonaws.global.groundstation", 5),
        ("com.amazonaws.global.cloudfront.origin-facing", 55),
    ],
)
def test_an_aws_managed_prefix_list_counts_as_its_weight(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab, name: str, weight: int
) -> None:
    (prefix_list,) = ec2.describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": [name]}]
    )["PrefixLists"]

    def create() -> None:
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationPrefixListId=prefix_list["PrefixListId"],
            GatewayId=lab.gateway_id,
        )

    local_aws.control(Control(quota=weight))  # the default route is the first
    with refused("RouteLimitExceeded"):
        create()
    local_aws.control(Control(quota=weight + 1))
    create()


@pytest.mark.parametrize("target", ["interface", "gateway"])
def test_a_route_to_a_prefix_list_is_listed_replaced_and_deleted(
    ec2: EC2Client, lab: Lab, eni: str, target: str
) -> None:
    list_id = ec2.create_managed_prefix_list(
        PrefixListName="offices", MaxEntries=5, AddressFamily="IPv4"
    )["PrefixList"]["PrefixListId"]
    chosen: dict[str, Any] = {
        "interface": {"NetworkInterfaceId": eni},
        "gateway": {"GatewayId": lab.gateway_id},
    }[target]
    where: dict[str, Any] = {
        "RouteTableId": lab.table_id,
        "DestinationPrefixListId": list_id,
    }

    ec2.create_route(**where, **chosen)
    listed = routes(ec2, lab.table_id)[list_id]
    ec2.replace_route(**where, NetworkInterfaceId=eni)
    replaced = routes(ec2, lab.table_id)[list_id]
    ec2.delete_route(**where)

    assert listed.items() >= {"DestinationPrefixListId": list_id, **chosen}.items()
    assert "DestinationCidrBlock" not in listed
    assert replaced["NetworkInterfaceId"] == eni
    assert list_id not in routes(ec2, lab.table_id)


def test_a_missing_prefix_list_is_refused(ec2: EC2Client, lab: Lab, eni: str) -> None:
    with refused("InvalidPrefixListID.NotFound"):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationPrefixListId="pl-0123456789abcdef0",
            NetworkInterfaceId=eni,
        )


def test_a_gateway_endpoint_adds_its_route_to_the_table(
    ec2: EC2Client, lab: Lab
) -> None:
    endpoint = ec2.create_vpc_endpoint(
        VpcId=lab.vpc_id,
        ServiceName="com.amazonaws.us-east-1.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[lab.table_id],
    )["VpcEndpoint"]["VpcEndpointId"]

    rows = [r for r in routes(ec2, lab.table_id).values() if "GatewayId" in r]

    assert endpoint in {row["GatewayId"] for row in rows}


@pytest.mark.parametrize("call", ["replace_route", "delete_route"])
def test_an_absent_destination_is_neither_replaced_nor_deleted(
    ec2: EC2Client, lab: Lab, eni: str, call: str
) -> None:
    where: dict[str, Any] = {"RouteTableId": lab.table_id, "DestinationCidrBlock": POD}

    if call == "delete_route":
        with refused("InvalidRoute.NotFound"):
            ec2.delete_route(**where)
    else:
        with refused("InvalidParameterValue", "There is no route defined for"):
            ec2.replace_route(**where, NetworkInterfaceId=eni)


def test_the_local_route_cannot_be_deleted(ec2: EC2Client, lab: Lab) -> None:
    with refused("InvalidParameterValue", "cannot remove local route"):
        ec2.delete_route(RouteTableId=lab.table_id, DestinationCidrBlock="10.0.0.0/16")


def test_an_instance_with_two_interfaces_is_no_target(
    ec2: EC2Client, lab: Lab, other_eni: str
) -> None:
    second_interface(ec2, lab, "worker-0")
    where: dict[str, Any] = {"RouteTableId": lab.table_id, "DestinationCidrBlock": POD}
    target = lab.workers["worker-0"]

    with refused("InvalidInstanceID", "There are multiple interfaces attached"):
        ec2.create_route(**where, InstanceId=target)
    ec2.create_route(**where, NetworkInterfaceId=other_eni)
    with refused("InvalidInstanceID", "There are multiple interfaces attached"):
        ec2.replace_route(**where, InstanceId=target)

    assert routes(ec2, lab.table_id)[POD]["NetworkInterfaceId"] == other_eni


def test_an_interface_of_another_vpc_is_no_target(ec2: EC2Client, lab: Lab) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.9.0.0/24")["Subnet"]
    other = ec2.create_network_interface(SubnetId=subnet["SubnetId"])

    with refused("InvalidParameterValue", "belong to different networks"):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=POD,
            NetworkInterfaceId=other["NetworkInterface"]["NetworkInterfaceId"],
        )


def test_a_missing_interface_leaves_the_route_unchanged(
    ec2: EC2Client, lab: Lab, eni: str
) -> None:
    where: dict[str, Any] = {"RouteTableId": lab.table_id, "DestinationCidrBlock": POD}
    ec2.create_route(**where, NetworkInterfaceId=eni)

    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.replace_route(**where, NetworkInterfaceId="eni-0123456789abcdef0")

    assert routes(ec2, lab.table_id)[POD]["NetworkInterfaceId"] == eni


def test_a_missing_table_is_named(ec2: EC2Client, lab: Lab, eni: str) -> None:
    missing = "rtb-0123456789abcdef0"

    with refused("InvalidRouteTableID.NotFound", missing):
        ec2.describe_route_tables(RouteTableIds=[lab.table_id, missing])
    with refused("InvalidRouteTableID.NotFound", missing):
        ec2.create_route(
            RouteTableId=missing, DestinationCidrBlock=POD, NetworkInterfaceId=eni
        )


def test_a_route_to_a_stopped_worker_is_a_blackhole_until_it_is_started(
    ec2: EC2Client, lab: Lab, eni: str
) -> None:
    worker = lab.workers["worker-0"]
    ec2.create_route(
        RouteTableId=lab.table_id, DestinationCidrBlock=POD, NetworkInterfaceId=eni
    )

    ec2.stop_instances(InstanceIds=[worker])
    stopped = routes(ec2, lab.table_id)[POD]
    ec2.start_instances(InstanceIds=[worker])
    started = routes(ec2, lab.table_id)[POD]

    assert (stopped["State"], started["State"]) == ("blackhole", "active")
    assert stopped["NetworkInterfaceId"] == eni


def test_a_terminated_worker_leaves_a_blackhole(
    ec2: EC2Client, lab: Lab, eni: str
) -> None:
    ec2.create_route(
        RouteTableId=lab.table_id, DestinationCidrBlock=POD, NetworkInterfaceId=eni
    )

    ec2.terminate_instances(InstanceIds=[lab.workers["worker-0"]])

    route = routes(ec2, lab.table_id)[POD]
    assert (route["State"], route["NetworkInterfaceId"]) == ("blackhole", eni)
    assert "InstanceId" not in route


def test_a_route_to_a_detached_interface_is_a_blackhole_until_it_is_attached(
    ec2: EC2Client, lab: Lab
) -> None:
    worker = lab.workers["worker-0"]
    interface_id = second_interface(ec2, lab, "worker-0")
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock=POD,
        NetworkInterfaceId=interface_id,
    )

    attached = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])
    attachment = attached["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    ec2.detach_network_interface(AttachmentId=attachment)
    detached = routes(ec2, lab.table_id)[POD]
    ec2.attach_network_interface(
        DeviceIndex=1, InstanceId=worker, NetworkInterfaceId=interface_id
    )
    again = routes(ec2, lab.table_id)[POD]

    assert (detached["State"], again["State"]) == ("blackhole", "active")


def test_route_tables_come_in_pages(ec2: EC2Client, lab: Lab) -> None:
    created = {labs.create_table(ec2, lab.vpc_id, f"t-{n}") for n in range(12)}
    pages = ec2.get_paginator("describe_route_tables").paginate(
        Filters=[{"Name": "tag:Name", "Values": ["t-*"]}],
        PaginationConfig={"PageSize": 5},
    )

    ids = [[t["RouteTableId"] for t in page["RouteTables"]] for page in pages]

    assert [len(page) for page in ids] == [5, 5, 2]
    assert {table for page in ids for table in page} == created


def test_route_tables_are_filtered_by_names_with_brackets(
    ec2: EC2Client, lab: Lab
) -> None:
    created = labs.create_table(ec2, lab.vpc_id, "kube[1]")
    labs.create_table(ec2, lab.vpc_id, "kube1")

    tables = ec2.describe_route_tables(
        Filters=[{"Name": "tag:Name", "Values": ["kube[1]"]}]
    )["RouteTables"]

    assert [table["RouteTableId"] for table in tables] == [created]


def test_a_gateways_table_accepts_no_route_out_of_the_vpc(
    ec2: EC2Client, lab: Lab
) -> None:
    """ "When the target is [...] a network interface, the following destinations are
    allowed: The entire IPv4 or IPv6 CIDR block of your VPC [or] of a subnet in your
    VPC" (VPC User Guide, "Gateway route tables").
    """
    table_id = labs.create_table(ec2, lab.vpc_id, "edge")
    ec2.associate_route_table(RouteTableId=table_id, GatewayId=lab.gateway_id)
    target = interface_of(ec2, lab.workers["worker-0"])

    with refused("InvalidParameterValue", "associated with a gateway"):
        ec2.create_route(
            RouteTableId=table_id,
            DestinationCidrBlock="10.200.0.0/24",
            NetworkInterfaceId=target,
        )
    (subnet,) = ec2.describe_subnets(SubnetIds=[lab.subnet_id])["Subnets"]
    ec2.create_route(
        RouteTableId=table_id,
        DestinationCidrBlock=subnet["CidrBlock"],
        NetworkInterfaceId=target,
    )
