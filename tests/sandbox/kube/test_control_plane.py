"""The control plane is real: Nodes get pod CIDRs, and tokens have rights."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import psutil
import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.models.rbac_v1 import PolicyRule
from lightkube.resources.core_v1 import Node
from lightkube.resources.rbac_authorization_v1 import ClusterRole

from sandbox import TOP
from sandbox.kube import binaries
from sandbox.kube.control_plane import ControlPlane
from sandbox.kube.process import ProcessError
from tests.sandbox.machines import Machine

HOLD = """
import sys
from sandbox.kube.control_plane import ControlPlane

with ControlPlane():
    print("ready", flush=True)
    sys.stdin.read()
"""


def register(cluster: ControlPlane, name: str) -> None:
    cluster.register(name, "i-0123456789abcdef0", "us-east-1a", ["10.0.1.20"])


def names(cluster: ControlPlane) -> list[str]:
    return [str(node.metadata and node.metadata.name) for node in nodes(cluster.client)]


def nodes(client: Client) -> list[Node]:
    return list(client.list(Node))


def client_of(kubeconfig: Path) -> Client:
    return Client(KubeConfig.from_file(kubeconfig), trust_env=False)


def test_a_registered_node_gets_a_pod_cidr_from_the_controller_manager(
    cluster: ControlPlane,
) -> None:
    register(cluster, "worker-0")

    (pod_cidr,) = cluster.wait_for_cidr("worker-0")

    assert re.fullmatch(r"10\.200\.\d+\.0/24", pod_cidr)
    (node,) = nodes(cluster.client)
    assert node.spec
    assert node.spec.podCIDR == pod_cidr
    assert node.spec.providerID == "aws:///us-east-1a/i-0123456789abcdef0"
    assert node.status
    assert node.status.addresses
    assert node.status.addresses[0].address == "10.0.1.20"


@pytest.mark.usefixtures("control_plane")  # so that a missing one is skipped
def test_a_dual_stack_cluster_assigns_a_pod_cidr_of_each_ip_family() -> None:
    with ControlPlane(dual_stack=True) as other:
        register(other, "worker-0")

        assert other.wait_for_cidr("worker-0") == ("10.200.0.0/24", "fd00:200::/64")


def test_a_node_can_have_another_provider_id_and_pod_cidrs_of_its_own(
    cluster: ControlPlane,
) -> None:
    cluster.register("a", "i-1", "us-east-1a", [], provider_id="i-2")
    cluster.register("b", "i-1", "us-east-1a", [], provider_id="")
    cluster.register("c", "i-1", "us-east-1a", [], pod_cidrs=["10.9.0.0/24"])

    provider_ids = [
        each.spec and each.spec.providerID for each in nodes(cluster.client)
    ]
    assert provider_ids == ["i-2", None, "aws:///us-east-1a/i-1"]
    assert cluster.wait_for_cidr("c") == ("10.9.0.0/24",)


def test_without_controllers_a_node_has_no_pod_cidr_until_they_start(
    cluster: ControlPlane,
) -> None:
    cluster.stop_controllers()
    register(cluster, "worker-0")
    (node,) = nodes(cluster.client)
    assert node.spec
    assert node.spec.podCIDRs is None

    cluster.start_controllers()

    assert cluster.wait_for_cidr("worker-0")


def test_a_killed_api_server_refuses_connections_and_keeps_nodes(
    cluster: ControlPlane,
) -> None:
    register(cluster, "worker-0")
    before = cluster.wait_for_cidr("worker-0")
    cluster.stop_api()
    with pytest.raises(httpx2.ConnectError, match="refused"):
        names(cluster)

    cluster.start_api()

    assert names(cluster) == ["worker-0"]
    assert cluster.wait_for_cidr("worker-0") == before


def test_a_token_has_just_the_rights_that_it_was_given(cluster: ControlPlane) -> None:
    register(cluster, "worker-0")
    rule = PolicyRule(verbs=["list"], apiGroups=[""], resources=["nodes"])

    with client_of(cluster.kubeconfig_of("nobody")) as client:
        with pytest.raises(ApiError, match=r"default:nobody.* cannot list") as error:
            nodes(client)
        assert error.value.status.code == 403
    with client_of(cluster.kubeconfig_of("reader", [rule])) as client:
        assert len(nodes(client)) == 1
        with pytest.raises(ApiError, match="cannot delete"):
            client.delete(Node, "worker-0")


def test_a_reset_deletes_nodes_and_rights_and_starts_what_was_stopped(
    cluster: ControlPlane,
) -> None:
    rule = PolicyRule(verbs=["list"], apiGroups=[""], resources=["nodes"])
    kubeconfig = cluster.kubeconfig_of("reader", [rule])
    register(cluster, "worker-0")
    cluster.stop_api()
    cluster.stop_controllers()

    cluster.reset()

    assert names(cluster) == []
    roles = [
        role.metadata and role.metadata.name
        for role in cluster.client.list(ClusterRole)
    ]
    assert "cluster-admin" in roles
    assert "reader" not in roles
    with client_of(kubeconfig) as client, pytest.raises(ApiError) as error:
        nodes(client)
    assert error.value.status.code == 401
    register(cluster, "worker-1")
    assert cluster.wait_for_cidr("worker-1")


@pytest.mark.usefixtures("control_plane")  # so that a missing one is skipped
def test_a_process_that_ends_is_reported_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Machine(tmp_path).install("kube-apiserver", "echo no such flag >&2; exit 1")
    programs = {**binaries.find(), fake.name: fake}
    monkeypatch.setattr(binaries, "find", lambda: programs)

    with pytest.raises(ProcessError) as error, ControlPlane():
        pass

    assert str(error.value) == (
        "kube-apiserver should be ready: ended. kube-apiserver.log ends with:"
        "\n  no such flag"
    )


@pytest.mark.usefixtures("control_plane")  # so that a missing one is skipped
def test_the_processes_end_with_a_parent_that_is_killed() -> None:
    with (
        TemporaryDirectory() as folder,  # the parent can't delete its own
        subprocess.Popen(
            [sys.executable, "-c", HOLD],
            cwd=TOP,
            env={**os.environ, "TMPDIR": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as parent,
    ):
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        programs = {Path(child.cmdline()[0]) for child in children}
        started = ("etcd", "kube-apiserver", "kube-controller-manager")
        assert programs > {binaries.find()[name] for name in started}

        parent.kill()

        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
