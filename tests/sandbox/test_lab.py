"""The lab: one VPC, one route table, up to 1,000 workers."""

from __future__ import annotations

import base64
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from sandbox import lab as labs
from sandbox.lab import Lab

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def test_the_lab_has_one_route_table_and_three_workers(ec2: EC2Client) -> None:
    lab = labs.create_lab(ec2)

    answer = ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": ["worker-*"]}]
    )
    instances = [i for r in answer["Reservations"] for i in r["Instances"]]
    rows = labs.routes(ec2, lab.table_id)
    table = ec2.describe_route_tables(
        Filters=[{"Name": "tag:Name", "Values": ["kubernetes"]}]
    )["RouteTables"][0]
    assert {i["PrivateIpAddress"] for i in instances} == {
        "10.0.1.20",
        "10.0.1.21",
        "10.0.1.22",
    }
    assert not any(i["SourceDestCheck"] for i in instances)
    assert {d: r["GatewayId"] for d, r in rows.items()} == {
        "0.0.0.0/0": lab.gateway_id,
        "10.0.0.0/16": "local",
    }
    assert table["RouteTableId"] == lab.table_id
    assert [a["SubnetId"] for a in table["Associations"]] == [lab.subnet_id]


def test_each_worker_has_its_own_user_data_and_tags(ec2: EC2Client) -> None:
    lab = labs.create_lab(
        ec2,
        workers=2,
        user_data=lambda index: f"pod-cidr=fd00:200:0:{index}::/64",
        tags={"cluster": "blue"},
    )

    for index, instance_id in enumerate(lab.workers.values()):
        value = ec2.describe_instance_attribute(
            InstanceId=instance_id, Attribute="userData"
        )["UserData"]["Value"]
        user_data = base64.b64decode(value).decode()
        assert user_data == f"pod-cidr=fd00:200:0:{index}::/64"
    answer = ec2.describe_instances(
        Filters=[{"Name": "tag:cluster", "Values": ["blue"]}]
    )
    assert len(answer["Reservations"]) == 2


def test_1000_workers_have_their_own_addresses_and_pod_cidrs() -> None:
    pods = [ip_network(labs.pod_cidr(index)) for index in range(1000)]
    last = ip_address("10.0.1.20") + 999

    assert len(set(pods)) == 1000
    assert all(not pod.overlaps(ip_network("10.0.0.0/16")) for pod in pods)
    assert last in ip_network("10.0.0.0/18")


def test_a_worker_may_join_later(ec2: EC2Client, lab: Lab) -> None:
    joined = labs.add_worker(
        ec2, lab, "worker-9", address="10.0.2.9", user_data=labs.user_data(9)
    )

    instance = ec2.describe_instances(InstanceIds=[joined])["Reservations"][0][
        "Instances"
    ][0]
    assert instance["VpcId"] == lab.vpc_id
    assert instance["PrivateIpAddress"] == "10.0.2.9"
    assert instance["NetworkInterfaces"][0]["SourceDestCheck"] is False
