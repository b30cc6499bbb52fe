"""The program in the lab: routes are created, changed and deleted."""

from __future__ import annotations

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.cli_user import CliUser


def test_the_lab_is_deployed_stays_unchanged_and_is_destroyed(user: CliUser) -> None:
    preview = user.does("pulumi preview")
    assert preview.changes() == {"create": 5}
    assert user.pod_routes() == {}

    up = user.does("pulumi up --yes")
    assert up.changes() == {"create": 5}
    assert user.pod_routes() == user.desired()
    assert all(
        user.routes()[destination]["State"] == "active"
        for destination in user.desired()
    )

    user.does("pulumi preview --expect-no-changes --refresh")
    user.does("pulumi destroy --yes")
    assert user.pod_routes() == {}


def test_the_outputs_list_each_route_with_its_worker_in_order(settled: CliUser) -> None:
    outputs = settled.outputs()
    assert outputs["account"] == "123456789012"
    assert outputs["region"] == "us-east-1"
    assert outputs["vpcId"] == settled.lab.vpc_id
    assert outputs["routes"] == [
        {
            "routeTableId": settled.lab.table_id,
            "destinationCidr": labs.pod_cidr(index),
            "worker": name,
            "instanceId": settled.lab.workers[name],
            "privateIp": f"10.0.1.{20 + index}",
            "networkInterfaceId": settled.interface(name),
        }
        for index, name in enumerate(("worker-0", "worker-1", "worker-2"))
    ]


def test_routes_are_children_of_a_component_and_named_by_their_import_ids(
    settled: CliUser,
) -> None:
    resources = {resource["urn"]: resource for resource in settled.state()}
    routes = [r for r in resources.values() if r["type"] == "aws:ec2/route:Route"]
    assert {route["urn"].rpartition("::")[2] for route in routes} == {
        f"{settled.lab.table_id}_{labs.pod_cidr(index)}" for index in range(3)
    }
    for route in routes:
        parent = resources[route["parent"]]
        assert parent["type"] == "pod-routes:index:PodNetworkRoutes"
        assert parent["urn"].rpartition("::")[2] == settled.lab.table_id


def test_a_fourth_worker_adds_its_route_and_changes_no_other(settled: CliUser) -> None:
    labs.add_worker(
        settled.ec2,
        settled.lab,
        "worker-3",
        address="10.0.1.23",
        user_data=labs.user_data(3),
    )
    settled.configure(workers="worker-0,worker-1,worker-2,worker-3")

    up = settled.does("pulumi up --yes --skip-preview")

    assert up.changes() == {"create": 1, "unchange": 5}
    assert settled.pod_routes().keys() == {labs.pod_cidr(index) for index in range(4)}


def test_a_deselected_worker_loses_its_route_and_changes_no_other(
    settled: CliUser,
) -> None:
    settled.configure(workers="worker-2, worker-0")

    up = settled.does("pulumi up --yes --skip-preview")

    assert up.changes() == {"delete": 1, "unchange": 4}
    assert settled.pod_routes().keys() == {"10.200.0.0/24", "10.200.2.0/24"}


def test_an_ipv6_pod_cidr_gets_a_route_of_its_own(user: CliUser) -> None:
    labs.add_worker(
        user.ec2,
        user.lab,
        "dual",
        address="10.0.1.50",
        user_data="pod-cidr=10.200.50.0/24,fd00:200:50::/64",
    )
    user.configure(workers="dual", clusterCidr="10.200.0.0/16,fd00:200::/32")

    user.does("pulumi up --yes --skip-preview")

    assert user.pod_routes().keys() == {"10.200.50.0/24", "fd00:200:50::/64"}
    user.does("pulumi preview --expect-no-changes --refresh")


def test_pod_cidrs_can_come_from_a_tag(user: CliUser, local_aws: Sandbox) -> None:
    for index, instance_id in enumerate(user.lab.workers.values()):
        user.ec2.create_tags(
            Resources=[instance_id],
            Tags=[{"Key": "pod-range", "Value": labs.pod_cidr(index)}],
        )
    user.configure(podCidrFrom="tag", podCidrKey="pod-range")
    local_aws.clear_calls()

    user.does("pulumi up --yes --skip-preview")

    assert user.pod_routes() == user.desired()
    assert local_aws.count()["DescribeInstanceAttribute"] == 0
