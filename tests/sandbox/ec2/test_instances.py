"""EC2's rules for instances, their interfaces and filters."""

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


def names(ec2: EC2Client, *patterns: str) -> set[str]:
    instances = describe(ec2, {"Name": "tag:Name", "Values": list(patterns)})
    return {tag["Value"] for instance in instances for tag in instance["Tags"]}


def test_a_primary_interface_is_deleted_with_its_instance(
    ec2: EC2Client, lab: Lab
) -> None:
    worker = lab.workers["worker-0"]
    interface_id = interface_of(ec2, worker)
    answer = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])
    attachment = answer["NetworkInterfaces"][0]["Attachment"]

    ec2.terminate_instances(InstanceIds=[worker])

    assert attachment["DeleteOnTermination"] is True
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])


def test_a_terminated_instance_stays_listed_without_an_interface(
    ec2: EC2Client, lab: Lab
) -> None:
    worker = lab.workers["worker-0"]
    ec2.terminate_instances(InstanceIds=[worker])

    (instance,) = describe(ec2, {"Name": "instance-id", "Values": [worker]})

    assert instance["State"]["Name"] == "terminated"
    assert instance["NetworkInterfaces"] == []


def test_an_instance_may_be_terminated_twice(ec2: EC2Client, lab: Lab) -> None:
    """EC2 API Reference, "TerminateInstances": "This operation is idempotent; if you
    terminate an instance more than once, each call succeeds."
    """
    for _ in range(2):
        ec2.terminate_instances(InstanceIds=[lab.workers["worker-0"]])


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
    answer = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])
    for groups in (
        instance["SecurityGroups"],
        instance["NetworkInterfaces"][0]["Groups"],
        answer["NetworkInterfaces"][0]["Groups"],
    ):
        assert [each["GroupId"] for each in groups] == [group]


def test_a_new_instance_checks_source_and_destination(ec2: EC2Client, lab: Lab) -> None:
    labs.add_worker(ec2, lab, "fresh", address="10.0.1.90", source_dest_check=True)

    fresh = describe(ec2, {"Name": "tag:Name", "Values": ["fresh"]})[0]

    assert fresh["NetworkInterfaces"][0]["SourceDestCheck"] is True


def test_user_data_is_unchanged(ec2: EC2Client, lab: Lab) -> None:
    worker = lab.workers["worker-1"]
    none = labs.add_worker(ec2, lab, "none", address="10.0.1.90")

    value = ec2.describe_instance_attribute(InstanceId=worker, Attribute="userData")
    empty = ec2.describe_instance_attribute(InstanceId=none, Attribute="userData")

    expected = b"name=worker-1|pod-cidr=10.200.1.0/24"
    assert base64.b64decode(value["UserData"]["Value"]) == expected
    assert empty["UserData"] == {}


def test_changed_user_data_is_as_it_was_sent(ec2: EC2Client, lab: Lab) -> None:
    worker = lab.workers["worker-1"]
    ec2.stop_instances(InstanceIds=[worker])
    ec2.modify_instance_attribute(InstanceId=worker, UserData={"Value": b"new"})

    value = ec2.describe_instance_attribute(InstanceId=worker, Attribute="userData")

    assert base64.b64decode(value["UserData"]["Value"]) == b"new"


def test_user_data_of_a_running_instance_cannot_be_changed(
    ec2: EC2Client, lab: Lab
) -> None:
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
        (instance,) = describe(ec2, {"Name": "instance-id", "Values": [worker]})
        return instance["LaunchTime"]

    first = launched()
    ec2.start_instances(InstanceIds=[worker])
    ec2.reboot_instances(InstanceIds=[worker])
    ec2.stop_instances(InstanceIds=[worker])
    assert launched() == first
    ec2.start_instances(InstanceIds=[worker])
    assert launched() > first


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        pytest.param("worker-?", {"worker-0", "worker-1"}, id="? is one character"),
        pytest.param("worker-0?", {"worker-0"}, id="or none"),
        pytest.param("worker?", set(), id="and never two"),
        pytest.param("w*", {"worker-0", "worker-1", "w*"}, id="* is any number"),
        pytest.param(r"w\*", {"w*"}, id="an escaped star is a star"),
        pytest.param(r"a\\b", {r"a\b"}, id="an escaped backslash is one"),
        pytest.param("node[1]", {"node[1]"}, id="brackets are brackets"),
        pytest.param("WORKER-0", set(), id="case matters"),
        pytest.param("worker", set(), id="the whole value counts"),
    ],
)
def test_filters_take_ec2s_wildcards(
    ec2: EC2Client, lab: Lab, pattern: str, matches: set[str]
) -> None:
    for index, name in enumerate(["w*", r"a\b", "node[1]", "node1"]):
        labs.add_worker(ec2, lab, name, address=f"10.0.1.{90 + index}")

    assert names(ec2, pattern) == matches


def test_wildcards_work_in_other_filters_than_tags(ec2: EC2Client, lab: Lab) -> None:
    labs.add_worker(ec2, lab, "far", address="10.0.9.20")

    instances = describe(ec2, {"Name": "private-ip-address", "Values": ["10.0.1.2?"]})

    assert {each["InstanceId"] for each in instances} == set(lab.workers.values())


def test_values_of_a_filter_are_alternatives_and_all_filters_apply(
    ec2: EC2Client, lab: Lab
) -> None:
    stopped = lab.workers["worker-0"]
    ec2.stop_instances(InstanceIds=[stopped])

    instances = describe(
        ec2,
        {"Name": "tag:Name", "Values": ["worker-0", "worker-1"]},
        {"Name": "vpc-id", "Values": [lab.vpc_id]},
        {"Name": "instance-state-name", "Values": ["stopped", "stopping"]},
    )

    assert [each["InstanceId"] for each in instances] == [stopped]


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

    instances = describe(ec2, {"Name": "tag:Name", "Values": values[:199]}, here)
    assert {each["InstanceId"] for each in instances} == set(lab.workers.values())


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
def test_resources_of_a_vpc_are_filtered_by_its_id(
    ec2: EC2Client, lab: Lab, call: str, key: str
) -> None:
    describe_all: Any = getattr(ec2, call)

    resources = describe_all(Filters=[{"Name": "vpc-id", "Values": [lab.vpc_id]}])[key]

    assert resources
    assert {each["VpcId"] for each in resources} == {lab.vpc_id}


def test_rules_are_filtered_by_their_security_group(ec2: EC2Client, lab: Lab) -> None:
    group = lab.security_group_id

    rules = ec2.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group]}]
    )["SecurityGroupRules"]

    ingress = {rule["CidrIpv4"] for rule in rules if not rule["IsEgress"]}
    assert ingress == {"10.0.0.0/16", "10.200.0.0/16"}


def test_prefix_lists_are_filtered_by_id(ec2: EC2Client) -> None:
    list_id = ec2.create_managed_prefix_list(
        PrefixListName="offices", MaxEntries=5, AddressFamily="IPv4"
    )["PrefixList"]["PrefixListId"]

    (prefix_list,) = ec2.describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-id", "Values": [list_id]}]
    )["PrefixLists"]

    assert prefix_list["PrefixListId"] == list_id
    assert prefix_list["MaxEntries"] == 5


def test_instances_come_in_pages(ec2: EC2Client) -> None:
    lab = labs.create_lab(ec2, workers=12)
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag:Name", "Values": ["worker-*"]}],
        PaginationConfig={"PageSize": 5},
    )

    listed = [[i for r in p["Reservations"] for i in r["Instances"]] for p in pages]

    assert [len(page) for page in listed] == [5, 5, 2]
    ids = {instance["InstanceId"] for page in listed for instance in page}
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

    listed = ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"][0]
    table_id = labs.create_table(ec2, vpc_id, "six")

    assert listed["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"] == part
    assert labs.routes(ec2, table_id)[str(ip_network(block))]["GatewayId"] == "local"
    with refused("InvalidParameterValue", "equal to or more specific"):
        ec2.create_route(
            RouteTableId=table_id,
            DestinationIpv6CidrBlock=part,
            GatewayId="igw-0123456789abcdef0",
        )
