"""What a person gets: the lab's routes, declared, changed and removed."""

from __future__ import annotations

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.person import Person


def test_the_lab_goes_up_stays_unchanged_and_is_destroyed(person: Person) -> None:
    preview = person.does("pulumi preview")
    assert preview.changes() == {"create": 5}
    assert person.pod_routes() == {}

    up = person.does("pulumi up --yes")
    assert up.changes() == {"create": 5}
    assert person.pod_routes() == person.wanted()
    assert all(
        person.routes()[destination]["State"] == "active"
        for destination in person.wanted()
    )

    person.does("pulumi preview --expect-no-changes --refresh")
    person.does("pulumi destroy --yes")
    assert person.pod_routes() == {}


def test_the_outputs_say_who_gets_which_route_sorted(settled: Person) -> None:
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


def test_routes_are_children_of_a_component_and_named_as_aws_names_them(
    settled: Person,
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


def test_a_fourth_worker_adds_its_route_and_touches_no_other(settled: Person) -> None:
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


def test_a_worker_taken_out_loses_its_route_and_touches_no_other(
    settled: Person,
) -> None:
    settled.configure(workers="worker-2, worker-0")

    up = settled.does("pulumi up --yes --skip-preview")

    assert up.changes() == {"delete": 1, "unchange": 4}
    assert settled.pod_routes().keys() == {"10.200.0.0/24", "10.200.2.0/24"}


def test_an_ipv6_pod_cidr_gets_a_route_of_its_own(person: Person) -> None:
    labs.add_worker(
        person.ec2,
        person.lab,
        "dual",
        address="10.0.1.50",
        user_data="pod-cidr=10.200.50.0/24,fd00:200:50::/64",
    )
    person.configure(workers="dual", clusterCidr="10.200.0.0/16,fd00:200::/32")

    person.does("pulumi up --yes --skip-preview")

    assert person.pod_routes().keys() == {"10.200.50.0/24", "fd00:200:50::/64"}
    person.does("pulumi preview --expect-no-changes --refresh")


def test_pod_cidrs_can_come_from_a_tag(person: Person, box: Sandbox) -> None:
    for index, instance_id in enumerate(person.lab.workers.values()):
        person.ec2.create_tags(
            Resources=[instance_id],
            Tags=[{"Key": "pod-range", "Value": labs.pod_cidr(index)}],
        )
    person.configure(podCidrFrom="tag", podCidrKey="pod-range")
    box.clear_calls()

    person.does("pulumi up --yes --skip-preview")

    assert person.pod_routes() == person.wanted()
    assert box.count()["DescribeInstanceAttribute"] == 0
