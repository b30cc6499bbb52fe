"""EC2's rules for instances, their interfaces, and what filters find."""

from __future__ import annotations

import base64
from datetime import datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import lab as labs
from sandbox.lab import Lab, interface_of
from tests.sandbox.conftest import refused

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef


def describe(ec2: EC2Client, *filters: FilterTypeDef) -> list[InstanceTypeDef]:
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    return [i for page in pages for r in page["Reservations"] for i in r["Instances"]]


def names(ec2: EC2Client, *wanted: str) -> set[str]:
    found = describe(ec2, {"Name": "tag:Name", "Values": list(wanted)})
    return {tag["Value"] for one in found for tag in one["Tags"]}


def test_a_primary_interface_is_deleted_with_its_instance(
    ec2: EC2Client, lab: Lab
) -> None:
    worker = lab.workers["worker-0"]
    interface_id = interface_of(ec2, worker)
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])
    attachment = found["NetworkInterfaces"][0]["Attachment"]

    ec2.terminate_instances(InstanceIds=[worker])

    assert attachment["DeleteOnTermination"] is True
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])


def test_a_terminated_instance_stays_listed_without_an_interface(
    ec2: EC2Client, lab: Lab
) -> None:
    worker = lab.workers["worker-0"]
    ec2.terminate_instances(InstanceIds=[worker])

    found = describe(ec2, {"Name": "instance-id", "Values": [worker]})

    assert [one["State"]["Name"] for one in found] == ["terminated"]
    assert found[0]["NetworkInterfaces"] == []


def test_the_address_of_a_terminated_instance_is_free_again(
    ec2: EC2Client, lab: Lab
) -> None:
    ec2.terminate_instances(InstanceIds=[lab.workers["worker-0"]])

    labs.add_worker(ec2, lab, "worker-0", address="10.0.1.20")


@pytest.mark.parametrize("through", ["instance", "interface"])
@pytest.mark.parametrize("value", [True, False])
def test_source_dest_check_is_one_attribute(
    ec2: EC2Client,
    lab: Lab,
    through: str,
    value: bool,  # noqa: FBT001 - a table of both
) -> None:
    worker = labs.add_worker(
        ec2, lab, "one-more", address="10.0.1.90", source_dest_check=not value
    )
    interface_id = interface_of(ec2, worker)

    if through == "instance":
        ec2.modify_instance_attribute(
            InstanceId=worker, SourceDestCheck={"Value": value}
        )
    else:
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface_id, SourceDestCheck={"Value": value}
        )

    instance = describe(ec2, {"Name": "instance-id", "Values": [worker]})[0]
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])
    attribute = ec2.describe_instance_attribute(
        InstanceId=worker, Attribute="sourceDestCheck"
    )
    seen = [
        instance["SourceDestCheck"],
        instance["NetworkInterfaces"][0]["SourceDestCheck"],
        interface["NetworkInterfaces"][0]["SourceDestCheck"],
        attribute["SourceDestCheck"]["Value"],
    ]
    assert seen == [value] * 4


@pytest.mark.parametrize("through", ["instance", "interface"])
def test_new_security_groups_replace_the_current_set(
    ec2: EC2Client, lab: Lab, through: str
) -> None:
    worker = lab.workers["worker-1"]
    interface_id = interface_of(ec2, worker)
    group = ec2.create_security_group(
        GroupName="other", Description="-", VpcId=lab.vpc_id
    )["GroupId"]

    if through == "instance":
        ec2.modify_instance_attribute(InstanceId=worker, Groups=[group])
    else:
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface_id, Groups=[group]
        )

    (instance,) = describe(ec2, {"Name": "instance-id", "Values": [worker]})
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])
    for groups in (
        instance["SecurityGroups"],
        instance["NetworkInterfaces"][0]["Groups"],
        found["NetworkInterfaces"][0]["Groups"],
    ):
        assert [each["GroupId"] for each in groups] == [group]


def test_a_new_instance_checks_source_and_destination(ec2: EC2Client, lab: Lab) -> None:
    labs.add_worker(ec2, lab, "fresh", address="10.0.1.90", source_dest_check=True)

    fresh = describe(ec2, {"Name": "tag:Name", "Values": ["fresh"]})[0]

    assert fresh["NetworkInterfaces"][0]["SourceDestCheck"] is True


def test_user_data_is_read_as_it_was_written(ec2: EC2Client, lab: Lab) -> None:
    worker = lab.workers["worker-1"]
    none = labs.add_worker(ec2, lab, "none", address="10.0.1.90")

    value = ec2.describe_instance_attribute(InstanceId=worker, Attribute="userData")
    empty = ec2.describe_instance_attribute(InstanceId=none, Attribute="userData")

    written = b"name=worker-1|pod-cidr=10.200.1.0/24"
    assert base64.b64decode(value["UserData"]["Value"]) == written
    assert empty["UserData"] == {}


def test_user_data_that_is_changed_is_read_as_it_was_changed(
    ec2: EC2Client, lab: Lab
) -> None:
    worker = lab.workers["worker-1"]
    ec2.stop_instances(InstanceIds=[worker])
    ec2.modify_instance_attribute(InstanceId=worker, UserData={"Value": b"new"})

    value = ec2.describe_instance_attribute(InstanceId=worker, Attribute="userData")

    assert base64.b64decode(value["UserData"]["Value"]) == b"new"


def test_user_data_of_an_instance_that_runs_stays(ec2: EC2Client, lab: Lab) -> None:
    worker = lab.workers["worker-1"]

    with refused("IncorrectInstanceState"):
        ec2.modify_instance_attribute(InstanceId=worker, UserData={"Value": b"new"})
    ec2.stop_instances(InstanceIds=[worker])
    ec2.modify_instance_attribute(InstanceId=worker, UserData={"Value": b"new"})
    ec2.start_instances(InstanceIds=[worker])
    with refused("IncorrectInstanceState"):
        ec2.modify_instance_attribute(InstanceId=worker, UserData={"Value": b"newer"})


def test_each_start_is_a_launch_and_nothing_else_is(ec2: EC2Client, lab: Lab) -> None:
    worker = lab.workers["worker-1"]

    def launched() -> datetime:
        (found,) = describe(ec2, {"Name": "instance-id", "Values": [worker]})
        return found["LaunchTime"]

    first = launched()
    ec2.start_instances(InstanceIds=[worker])
    ec2.reboot_instances(InstanceIds=[worker])
    ec2.stop_instances(InstanceIds=[worker])
    assert launched() == first
    ec2.start_instances(InstanceIds=[worker])
    assert launched() > first


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("worker-?", {"worker-0", "worker-1"}, id="? is one character"),
        pytest.param("worker-0?", {"worker-0"}, id="or none"),
        pytest.param("worker?", set(), id="and not two"),
        pytest.param("w*", {"worker-0", "worker-1", "w*"}, id="* is any number"),
        pytest.param(r"w\*", {"w*"}, id="an escaped star is a star"),
        pytest.param(r"a\\b", {r"a\b"}, id="an escaped backslash is one"),
        pytest.param("node[1]", {"node[1]"}, id="brackets are brackets"),
        pytest.param("WORKER-0", set(), id="case matters"),
        pytest.param("worker", set(), id="the whole value counts"),
    ],
)
def test_filters_take_ec2s_wildcards(
    ec2: EC2Client, lab: Lab, pattern: str, found: set[str]
) -> None:
    for index, name in enumerate(["w*", r"a\b", "node[1]", "node1"]):
        labs.add_worker(ec2, lab, name, address=f"10.0.1.{90 + index}")

    assert names(ec2, pattern) == found


def test_wildcards_work_beyond_tags(ec2: EC2Client, lab: Lab) -> None:
    labs.add_worker(ec2, lab, "far", address="10.0.9.20")

    found = describe(ec2, {"Name": "private-ip-address", "Values": ["10.0.1.2?"]})

    assert {one["InstanceId"] for one in found} == set(lab.workers.values())


def test_values_of_one_filter_are_alternatives_and_filters_add_up(
    ec2: EC2Client, lab: Lab
) -> None:
    stopped = lab.workers["worker-0"]
    ec2.stop_instances(InstanceIds=[stopped])

    found = describe(
        ec2,
        {"Name": "tag:Name", "Values": ["worker-0", "worker-1"]},
        {"Name": "vpc-id", "Values": [lab.vpc_id]},
        {"Name": "instance-state-name", "Values": ["stopped", "stopping"]},
    )

    assert [one["InstanceId"] for one in found] == [stopped]


def test_more_than_50_filters_in_a_call_are_refused(ec2: EC2Client, lab: Lab) -> None:
    tags: list[FilterTypeDef] = [
        {"Name": f"tag:{number}", "Values": ["x"]} for number in range(51)
    ]

    with refused("FilterLimitExceeded"):
        describe(ec2, *tags)

    assert describe(ec2, *tags[:50]) == []
    assert len(describe(ec2)) == len(lab.workers)


def test_more_than_200_filter_values_in_a_call_are_refused(
    ec2: EC2Client, lab: Lab
) -> None:
    values = [f"worker-{number}" for number in range(200)]
    here: FilterTypeDef = {"Name": "vpc-id", "Values": [lab.vpc_id]}

    with refused("FilterLimitExceeded"):
        describe(ec2, {"Name": "tag:Name", "Values": values}, here)

    found = describe(ec2, {"Name": "tag:Name", "Values": values[:199]}, here)
    assert {one["InstanceId"] for one in found} == set(lab.workers.values())


@pytest.mark.parametrize(
    ("call", "key"),
    [
        ("describe_route_tables", "RouteTables"),
        ("describe_subnets", "Subnets"),
        ("describe_vpcs", "Vpcs"),
        ("describe_security_groups", "SecurityGroups"),
        ("describe_network_acls", "NetworkAcls"),
        ("describe_network_interfaces", "NetworkInterfaces"),
    ],
)
def test_what_belongs_to_a_vpc_is_found_by_it(
    ec2: EC2Client, lab: Lab, call: str, key: str
) -> None:
    ask: Any = getattr(ec2, call)

    found = ask(Filters=[{"Name": "vpc-id", "Values": [lab.vpc_id]}])[key]

    assert found
    assert {one["VpcId"] for one in found} == {lab.vpc_id}


def test_rules_of_a_security_group_are_found_by_it(ec2: EC2Client, lab: Lab) -> None:
    group = lab.security_group_id

    found = ec2.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group]}]
    )["SecurityGroupRules"]

    ingress = {rule["CidrIpv4"] for rule in found if not rule["IsEgress"]}
    assert ingress == {"10.0.0.0/16", "10.200.0.0/16"}


def test_a_prefix_list_is_found_by_its_id(ec2: EC2Client) -> None:
    list_id = ec2.create_managed_prefix_list(
        PrefixListName="offices", MaxEntries=5, AddressFamily="IPv4"
    )["PrefixList"]["PrefixListId"]

    found = ec2.describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-id", "Values": [list_id]}]
    )["PrefixLists"]

    assert [(one["PrefixListId"], one["MaxEntries"]) for one in found] == [(list_id, 5)]


def test_instances_come_in_pages(ec2: EC2Client) -> None:
    lab = labs.create_lab(ec2, workers=12)
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag:Name", "Values": ["worker-*"]}],
        PaginationConfig={"PageSize": 5},
    )

    found = [[i for r in p["Reservations"] for i in r["Instances"]] for p in pages]

    assert [len(page) for page in found] == [5, 5, 2]
    ids = {one["InstanceId"] for page in found for one in page}
    assert ids == set(lab.workers.values())


def test_a_vpc_and_a_subnet_list_their_ipv6_blocks(ec2: EC2Client) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.9.0.0/16", AmazonProvidedIpv6CidrBlock=True)[
        "Vpc"
    ]["VpcId"]
    vpc = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]
    block = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    part = block.replace("/56", "/64")
    subnet = ec2.create_subnet(
        VpcId=vpc_id, CidrBlock="10.9.0.0/24", Ipv6CidrBlock=part
    )["Subnet"]

    found = ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"][0]
    table_id = labs.create_table(ec2, vpc_id, "six")

    assert found["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"] == part
    assert labs.routes(ec2, table_id)[str(ip_network(block))]["GatewayId"] == "local"
    with refused("InvalidParameterValue", "equal to or more specific"):
        ec2.create_route(
            RouteTableId=table_id,
            DestinationIpv6CidrBlock=part,
            GatewayId="igw-0123456789abcdef0",
        )
