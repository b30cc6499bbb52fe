"""docs/migrating.md: the cloud controller's routes are adopted without a write."""

from __future__ import annotations

from sandbox import TOP
from sandbox.ec2.client import Sandbox
from sandbox.kube.cloud_controller import CloudController
from sandbox.kube.control_plane import ControlPlane
from tests.e2e.moments import Moments, with_a_stack
from tests.e2e.watching import until
from tests.pages import BLOCK

PAGE = (TOP / "docs/migrating.md").read_text()
WRITES = {"CreateRoute", "ReplaceRoute", "DeleteRoute"}


def test_the_controllers_routes_are_adopted_and_kept(
    moments: Moments, cluster: ControlPlane, local_aws: Sandbox
) -> None:
    """The table has no other instance's route, with which the controller stops."""
    user = moments.after(with_a_stack)
    with CloudController(cluster, local_aws, user.lab, period=0.5):
        for name, instance_id in user.lab.workers.items():
            cluster.join(user.ec2, name, instance_id)
        until(lambda: len(user.pod_routes()) == 3)
    before = user.pod_routes()
    local_aws.clear_calls()
    blocks = [each["block"] for each in BLOCK.finditer(PAGE) if each["kind"] == "sh"]
    kubeconfig = str(cluster.kubeconfig)

    for block in blocks:
        user.pastes(f"set -e\n{block}", KUBECONFIG=kubeconfig)

    assert len(blocks) == 3
    assert not local_aws.count().keys() & WRITES
    assert user.pod_routes() == before
    (cidr,) = cluster.wait_for_cidr("worker-1")
    user.ec2.terminate_instances(InstanceIds=[user.lab.workers["worker-1"]])
    cluster.delete("worker-1")
    user.pastes("python -m routes watch --once", KUBECONFIG=kubeconfig)
    assert user.pod_routes() == {c: t for c, t in before.items() if c != cidr}
