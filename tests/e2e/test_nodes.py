"""Pod CIDRs from the Nodes of a real control plane, in updates and under `watch`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from lightkube.models.rbac_v1 import PolicyRule

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.kube.control_plane import ControlPlane
from tests.e2e.cli_user import CliUser
from tests.e2e.watching import WATCH, WATCHED, Watch, target, until

READ = PolicyRule(apiGroups=[""], resources=["nodes"], verbs=["list", "watch"])


@pytest.fixture
def node_user(user: CliUser, cluster: ControlPlane) -> CliUser:
    """A user whose stack takes pod CIDRs from the cluster's Nodes."""
    configure(user, cluster)
    return user


def configure(user: CliUser, cluster: ControlPlane, **changes: Any) -> None:  # noqa: ANN401
    kubeconfig = str(cluster.kubeconfig)
    user.configure(podCidrFrom="node", kubeconfig=kubeconfig, **changes)


def register_all(cluster: ControlPlane, user: CliUser) -> dict[str, str]:
    """Register the lab's workers, and return the routes that they need."""
    routes = {}
    for name, instance_id in user.lab.workers.items():
        cluster.join(user.ec2, name, instance_id)
        (cidr,) = cluster.wait_for_cidr(name)
        routes[cidr] = target(user, instance_id)
    return routes


def join(cluster: ControlPlane, user: CliUser, index: int) -> tuple[str, str]:
    """Start a worker, register it, and return its instance id and pod CIDR."""
    name = f"worker-{index}"
    instance_id = labs.add_worker(
        user.ec2, user.lab, name, address=f"10.0.2.{index + 10}"
    )
    cluster.join(user.ec2, name, instance_id)
    (cidr,) = cluster.wait_for_cidr(name)
    return instance_id, cidr


def test_routes_lead_to_the_pod_cidrs_that_the_control_plane_assigned(
    node_user: CliUser, cluster: ControlPlane, local_aws: Sandbox
) -> None:
    desired = register_all(cluster, node_user)
    local_aws.clear_calls()

    node_user.does("pulumi up --yes --skip-preview")

    assert node_user.pod_routes() == desired
    assert "DescribeInstanceAttribute" not in local_aws.count()
    node_user.does("pulumi preview --expect-no-changes --refresh")
    node_user.does("python -m routes verify --stack dev")


def test_a_worker_without_a_node_refuses_the_plan_or_waits(
    node_user: CliUser, cluster: ControlPlane
) -> None:
    desired = register_all(cluster, node_user)
    node_user.does("pulumi up --yes --skip-preview")
    new = labs.add_worker(node_user.ec2, node_user.lab, "worker-3", address="10.0.2.13")
    configure(node_user, cluster, workers="worker-*")

    text = node_user.is_refused("pulumi preview")

    assert f"worker-3 ({new}): no Node is this instance" in text
    assert "kubectl get nodes" in text
    configure(node_user, cluster, workers="worker-*", unready="skip")
    preview = node_user.does("pulumi preview")
    assert preview.changes() == {"unchange": 5}
    assert f"worker-3 ({new}): it gets no route yet" in " ".join(preview.text.split())
    assert node_user.pod_routes() == desired


def test_a_node_without_pod_cidrs_is_reported_with_its_likely_cause(
    node_user: CliUser, cluster: ControlPlane
) -> None:
    cluster.stop_controllers()
    for name, instance_id in node_user.lab.workers.items():
        cluster.join(node_user.ec2, name, instance_id)

    text = node_user.is_refused("pulumi preview")

    assert text.count("has no spec.podCIDRs.") == 3
    assert "--allocate-node-cidrs=true" in text


def test_a_node_that_no_entry_selects_is_a_warning(
    node_user: CliUser, cluster: ControlPlane
) -> None:
    register_all(cluster, node_user)
    other, cidr = join(cluster, node_user, 7)

    preview = node_user.does("pulumi preview")

    assert f"/{other}  {cidr}" in preview.text


def test_an_unreachable_api_server_declares_nothing(
    node_user: CliUser, cluster: ControlPlane
) -> None:
    register_all(cluster, node_user)
    node_user.does("pulumi up --yes --skip-preview")
    cluster.stop_api()

    text = node_user.is_refused("pulumi up --yes --skip-preview")

    assert "API server https://127.0.0.1:" in text
    assert "it can't be reached" in text


def test_missing_rights_are_named(node_user: CliUser, cluster: ControlPlane) -> None:
    register_all(cluster, node_user)
    denied = cluster.kubeconfig_of("router")
    node_user.configure(podCidrFrom="node", kubeconfig=str(denied))

    text = node_user.is_refused("pulumi preview")

    assert "The missing RBAC rule: list on nodes" in text
    allowed = cluster.kubeconfig_of("router", [READ])
    node_user.configure(podCidrFrom="node", kubeconfig=str(allowed))
    until(lambda: node_user.types("pulumi preview").code == 0)  # RBAC is cached


@pytest.fixture
def watched_nodes(node_user: CliUser, cluster: ControlPlane) -> CliUser:
    """A user whose watcher follows Nodes, with a route for each worker."""
    register_all(cluster, node_user)
    configure(node_user, cluster, **WATCHED)
    node_user.does(f"{WATCH} --once")
    return node_user


SELDOM = "--interval 120"


def in_sync(watching: Callable[..., Watch]) -> Watch:
    """Start a watcher that polls seldom, and wait until it is idle."""
    watch = watching(SELDOM)
    watch.logs("routes are in place")
    time.sleep(1)  # its thread lists the Nodes
    return watch


def test_routes_follow_nodes_between_two_polls(
    watched_nodes: CliUser, cluster: ControlPlane, watching: Callable[..., Watch]
) -> None:
    desired = watched_nodes.pod_routes()
    watch = in_sync(watching)

    def is_right() -> bool:
        return watched_nodes.pod_routes() == desired

    instance_id, cidr = join(cluster, watched_nodes, 3)
    desired[cidr] = target(watched_nodes, instance_id)
    until(is_right, watch)
    watch.logs("routes are in place", times=2)

    for index in range(4, 14):
        instance_id, cidr = join(cluster, watched_nodes, index)
        desired[cidr] = target(watched_nodes, instance_id)
    until(is_right, watch)
    watch.logs("routes are in place", times=3)
    assert watch.count("Updated in") <= 1 + 3

    old = watched_nodes.lab.workers["worker-1"]
    gone = target(watched_nodes, old)
    watched_nodes.ec2.terminate_instances(InstanceIds=[old])
    cluster.delete("worker-1")
    instance_id, cidr = join(cluster, watched_nodes, 14)
    desired = {c: t for c, t in desired.items() if t != gone}
    desired[cidr] = target(watched_nodes, instance_id)
    until(is_right, watch)
    watch.ends()


def test_a_pod_cidr_that_a_successor_takes_over_is_never_without_a_route(
    watched_nodes: CliUser,
    cluster: ControlPlane,
    local_aws: Sandbox,
    watching: Callable[..., Watch],
) -> None:
    """Each event wakes the watcher; the first one finds nothing but a deletion."""
    watch = in_sync(watching)
    old = watched_nodes.lab.workers["worker-1"]
    (cidr,) = cluster.wait_for_cidr("worker-1")
    local_aws.clear_calls()

    watched_nodes.ec2.terminate_instances(InstanceIds=[old])
    cluster.delete("worker-1")
    until(lambda: local_aws.count()["DescribeRouteTables"] > 0, watch)
    time.sleep(4)  # an update would have read the Nodes
    new = labs.add_worker(
        watched_nodes.ec2, watched_nodes.lab, "worker-9", address="10.0.2.19"
    )
    cluster.register("worker-9", new, "us-east-1a", [], pod_cidrs=[cidr])

    route = cidr, target(watched_nodes, new)
    until(lambda: route in watched_nodes.pod_routes().items(), watch)
    watch.ends()
    assert local_aws.count()["ReplaceRoute"] == 1
    assert not local_aws.count()["DeleteRoute"]


def test_a_worker_whose_node_is_deleted_keeps_its_route(
    watched_nodes: CliUser, cluster: ControlPlane, watching: Callable[..., Watch]
) -> None:
    before = watched_nodes.pod_routes()
    watch = in_sync(watching)

    cluster.delete("worker-1")

    watch.logs("no Node is this instance")
    assert watched_nodes.pod_routes() == before
    instance_id = watched_nodes.lab.workers["worker-1"]
    cluster.join(watched_nodes.ec2, "renamed", instance_id)
    (cidr,) = cluster.wait_for_cidr("renamed")
    mine = target(watched_nodes, instance_id)
    desired = {c: t for c, t in before.items() if t != mine} | {cidr: mine}
    until(lambda: watched_nodes.pod_routes() == desired, watch)
    watch.ends()


def test_the_api_server_may_restart_under_a_watcher(
    watched_nodes: CliUser, cluster: ControlPlane, watching: Callable[..., Watch]
) -> None:
    before = watched_nodes.pod_routes()
    watch = watching()
    watch.logs("routes are in place")

    cluster.stop_api()
    watch.logs("it can't be reached")
    assert watched_nodes.pod_routes() == before
    cluster.start_api()
    instance_id, cidr = join(cluster, watched_nodes, 3)

    route = cidr, target(watched_nodes, instance_id)
    until(lambda: route in watched_nodes.pod_routes().items(), watch)
    watch.ends()
    assert watched_nodes.pod_routes() == before | dict([route])


def test_verify_reports_user_data_that_differs_from_the_nodes(
    settled: CliUser, cluster: ControlPlane
) -> None:
    first, *others = settled.lab.workers.items()
    for index, (name, instance_id) in enumerate(others, start=1):
        cluster.register(
            name, instance_id, "us-east-1a", [], pod_cidrs=[labs.pod_cidr(index)]
        )
    verify = "python -m routes verify --stack dev"
    configured = {"KUBECONFIG": str(cluster.kubeconfig)}
    settled.does(verify, **configured)

    cluster.register("node-0", first[1], "us-east-1a", [], pod_cidrs=["10.200.99.0/24"])

    settled.does(verify)
    outcome = settled.types(verify, **configured)
    assert outcome.code == 1
    text = " ".join(outcome.text.split())
    assert "has the pod CIDR 10.200.0.0/24, its Node node-0 has 10.200.99.0/24." in text
    trace = f"{verify} --from node-0 --to worker-1"
    assert "worker-0" in settled.does(trace, **configured).text
