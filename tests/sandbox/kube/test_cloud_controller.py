"""The real cloud controller creates routes on the sandbox's EC2."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lightkube.resources.core_v1 import Node

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.kube.cloud_controller import CloudController
from sandbox.kube.control_plane import ControlPlane

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

PERIOD = 0.5
SECONDS = 30


def targets(ec2: EC2Client, lab: labs.Lab) -> dict[str, str]:
    """Return the instance of each active pod route."""
    return {
        destination: route["InstanceId"]
        for destination, route in labs.routes(ec2, lab.table_id).items()
        if "InstanceId" in route and route["State"] == "active"
    }


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_node_gets_its_route_and_loses_it_when_it_is_deleted(
    cluster: ControlPlane, local_aws: Sandbox, ec2: EC2Client
) -> None:
    lab = labs.create_lab(ec2, workers=2)
    checked = labs.add_worker(
        ec2, lab, "worker-2", address="10.0.1.30", source_dest_check=True
    )
    workers = {**lab.workers, "worker-2": checked}

    with CloudController(cluster, local_aws, lab, period=PERIOD) as controller:
        for name, instance_id in workers.items():
            cluster.join(ec2, name, instance_id)
        expected = {
            pod_cidr: instance_id
            for name, instance_id in workers.items()
            for pod_cidr in cluster.wait_for_cidr(name)
        }
        until(lambda: targets(ec2, lab) == expected)
        (pod_cidr,) = cluster.wait_for_cidr("worker-0")
        ec2.terminate_instances(InstanceIds=[workers["worker-0"]])
        cluster.delete("worker-0")
        until(lambda: pod_cidr not in labs.routes(ec2, lab.table_id))
        log = controller.log.read_text()

    assert "Created route for node worker-0" in log
    answer = ec2.describe_instance_attribute(
        InstanceId=checked, Attribute="sourceDestCheck"
    )
    assert answer["SourceDestCheck"] == {"Value": False}
    status = cluster.client.get(Node, "worker-1").status
    assert status
    assert "RouteController created a route" in {
        each.message for each in status.conditions or ()
    }


def test_after_the_with_block_it_creates_no_routes(
    cluster: ControlPlane, local_aws: Sandbox, ec2: EC2Client
) -> None:
    lab = labs.create_lab(ec2, workers=1)
    with CloudController(cluster, local_aws, lab, period=PERIOD):
        pass

    cluster.join(ec2, "worker-0", lab.workers["worker-0"])
    cluster.wait_for_cidr("worker-0")

    time.sleep(2 * PERIOD)
    assert targets(ec2, lab) == {}
