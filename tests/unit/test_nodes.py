"""Which Node is which worker, and why a worker has no pod CIDR from its Node."""

from __future__ import annotations

from typing import Any

import pytest

from routes.model import Node
from routes.nodes import by_instance, pod_cidrs, unselected
from tests.builders import networks, node, worker

ID = "i-0123456789abcdef0"


@pytest.mark.parametrize(
    ("provider_id", "instance_id"),
    [
        ("aws:///us-east-1a/i-12345678", "i-12345678"),
        ("aws:////i-12345678", "i-12345678"),
        ("i-12345678", "i-12345678"),
        (f"aws:///us-east-1a/{ID}", ID),
        (f"aws:////{ID}", ID),
        (ID, ID),
        (f"aws://accountid/us-east-1a/{ID}", ID),
        (f"aws:///us-west-2c/1abc-2def/{ID}", ID),
        ("vol-123456789", ""),
        ("aws:///us-east-1a/vol-12345678abcdef01", ""),
        ("aws://accountid/us-east-1a/vol-12345678abcdef01", ""),
        ("aws:///us-east-1a/vol-12345678abcdef01/suffix", ""),
        ("", ""),
        ("aws:///us-west-2c/1abc-2def/fargate-ip-192-168-164-88.internal", ""),
        ("aws:///us-west-2c/1abc-2def/fargate-192.168.164.88", ""),
        (f"gce://project/us-central1-a/{ID}", ""),
        ("azure:///subscriptions/1/virtualMachines/worker-0", ""),
        ("kind://docker/kind/kind-worker", ""),
        (f"aws:///us-east-1a/{ID}\n", ""),
    ],
)
def test_a_provider_id_names_an_instance_as_for_cloud_provider_aws(
    provider_id: str, instance_id: str
) -> None:
    """Up to Fargate's, the cases of its TestMapToAWSInstanceIDs, and two more forms.

    "last token in the providerID is the aws resource ID for both EC2 and Fargate nodes"
    (k8s.io/cloud-provider-aws, pkg/providers/v1/instances.go, MapToAWSInstanceID). It
    would read other clouds' too, by their last part; a Node there is no EC2 instance.
    """
    assert node(provider_id=provider_id).instance_id == instance_id


def why(*nodes: Node, **changes: Any) -> str:  # noqa: ANN401
    """Return why the pod CIDRs of worker 0 are not known, beside worker 1."""
    known = pod_cidrs(nodes, [worker(0, **changes), worker(1)])
    reason = known["i-0"]
    assert isinstance(reason, str)
    return reason


def test_a_worker_has_the_pod_cidrs_of_the_node_with_its_instance_id() -> None:
    nodes = [
        node(0, provider_id="aws:///us-east-1a/i-1", addresses=("10.0.1.20",)),
        node(1, provider_id="i-0", addresses=("10.0.1.21",)),
    ]

    assert pod_cidrs(nodes, [worker(0), worker(1)]) == {
        "i-0": networks("10.200.1.0/24"),
        "i-1": networks("10.200.0.0/24"),
    }


def test_both_ip_families_are_read() -> None:
    both = ("10.200.0.0/24", "fd00:200::/64")

    assert pod_cidrs([node(pod_cidrs=both)], [worker(0)]) == {"i-0": networks(*both)}


@pytest.mark.parametrize(
    "addresses", [("10.0.1.20",), ("fd00::1", "10.0.1.20"), ("10.0.9.9", "10.0.1.20")]
)
def test_a_node_without_a_provider_id_is_the_worker_with_its_address(
    addresses: tuple[str, ...],
) -> None:
    nodes = [node(provider_id="", addresses=addresses), node(1)]

    assert pod_cidrs(nodes, [worker(0), worker(1)])["i-0"] == networks("10.200.0.0/24")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(node(provider_id="", addresses=()), id="no address"),
        pytest.param(node(provider_id="", addresses=("fd00::1",)), id="IPv6 only"),
        pytest.param(node(provider_id="", addresses=("10.0.9.9",)), id="elsewhere"),
        pytest.param(node(provider_id="aws:///us-east-1a/i-9"), id="another's id"),
        pytest.param(node(provider_id="gce://project/zone/worker-0"), id="no instance"),
    ],
)
def test_an_address_counts_only_without_a_provider_id(other: Node) -> None:
    """EC2 workers are known by their IPv4 address."""
    assert why(other, node(1)) == (
        "no Node is this instance: none has its id in spec.providerID, and none without"
        " a providerID has the InternalIP 10.0.1.20."
    )


def test_a_worker_without_an_address_is_found_by_its_id_only() -> None:
    assert why(node(provider_id="", addresses=("None",)), private_ip=None) == (
        "no Node is this instance: none has its id in spec.providerID."
    )


@pytest.mark.parametrize(
    "second",
    [
        node(name="renamed"),
        node(name="renamed", provider_id="i-0", pod_cidrs=()),
        node(name="renamed", provider_id="", addresses=("10.0.1.20",)),
    ],
)
def test_several_nodes_of_one_instance_are_named(second: Node) -> None:
    for nodes in ((node(), second), (second, node())):
        assert why(*nodes) == (
            "several Nodes are this instance: renamed, worker-0. An instance that"
            " registers again under another name leaves its old Node behind."
        )


def test_a_node_with_the_addresses_of_two_workers_is_neither() -> None:
    both = node(provider_id="", addresses=("10.0.1.20", "10.0.1.21"))

    assert pod_cidrs([both], [worker(0), worker(1)]) == dict.fromkeys(
        ("i-0", "i-1"),
        "its Node worker-0 has no providerID, and InternalIPs of other workers.",
    )


def test_a_node_without_pod_cidrs_is_explained_by_its_likely_causes() -> None:
    assert why(node(pod_cidrs=())) == (
        "its Node worker-0 has no spec.podCIDRs. kube-controller-manager sets them if"
        " it runs with --allocate-node-cidrs=true; Cilium's cluster-pool and Calico's"
        " own IPAM don't."
    )


def test_a_pod_cidr_that_is_not_a_network_is_reported() -> None:
    assert why(node(pod_cidrs=("10.200.0.1/24",))).startswith(
        "a pod CIDR of its Node worker-0 "
    )


def test_a_node_of_an_instance_that_is_not_a_worker_is_listed_by_its_id() -> None:
    nodes = [node(7), node(8, provider_id="", addresses=("10.0.1.28",))]

    assert by_instance(nodes, [worker(0)]) == {"i-7": [nodes[0]]}
    assert pod_cidrs(nodes, []) == {}


def test_unselected_nodes_are_those_with_pod_cidrs_that_no_worker_is() -> None:
    others = [
        node(7),
        node(8, provider_id=""),
        node(9, provider_id="gce://project/zone/worker-9"),
    ]
    nodes = [
        node(0),
        node(1, provider_id="", addresses=("10.0.1.21",)),
        *others,
        node(6, pod_cidrs=()),
    ]

    assert unselected(nodes, [worker(0), worker(1)]) == others
