"""The Node of each worker, and the pod CIDRs that the control plane gave it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from routes.model import Node, Worker
from routes.networks import Network, parse_network


def pod_cidrs(
    nodes: Iterable[Node], workers: Collection[Worker]
) -> dict[str, tuple[Network, ...] | str]:
    """Return each worker's pod CIDRs by instance id, or why they are not known."""
    owned = by_instance(nodes, workers)
    claims = [node.name for each in owned.values() for node in each]
    return {
        worker.instance_id: _pod_cidrs(
            worker, owned.get(worker.instance_id, ()), claims
        )
        for worker in workers
    }


def by_instance(
    nodes: Iterable[Node], workers: Iterable[Worker]
) -> dict[str, list[Node]]:
    """Return the Nodes of each instance: those that have its id as `spec.providerID`.

    A Node without a providerID is of each worker that has one of its InternalIPs, by
    the IPv4 address of the worker's primary interface.
    """
    by_address = {str(w.private_ip): w.instance_id for w in workers if w.private_ip}
    owned: dict[str, list[Node]] = {}
    for node in nodes:
        if node.provider_id:
            ids = {node.instance_id} - {""}
        else:
            ids = {by_address[each] for each in node.addresses if each in by_address}
        for instance_id in ids:
            owned.setdefault(instance_id, []).append(node)
    return owned


def _pod_cidrs(
    worker: Worker, nodes: Collection[Node], claims: list[str]
) -> tuple[Network, ...] | str:
    """Return a worker's pod CIDRs; `claims` are the Nodes of all workers, by name."""
    if not nodes:
        reason = "no Node is this instance: none has its id in spec.providerID"
        if worker.private_ip:
            address = f"the InternalIP {worker.private_ip}"
            reason += f", and none without a providerID has {address}"
        return f"{reason}."
    names = ", ".join(sorted(node.name for node in nodes))
    if len(nodes) > 1:
        return (
            f"several Nodes are this instance: {names}. An instance that registers"
            " again under another name leaves its old Node behind."
        )
    (node,) = nodes
    if claims.count(node.name) > 1:
        return f"its Node {names} has no providerID, and InternalIPs of other workers."
    if not node.pod_cidrs:
        return (
            f"its Node {names} has no spec.podCIDRs. kube-controller-manager sets them"
            " if it runs with --allocate-node-cidrs=true; Cilium's cluster-pool and"
            " Calico's own IPAM don't."
        )
    try:
        return tuple(map(parse_network, node.pod_cidrs))
    except ValueError as error:
        return f"a pod CIDR of its Node {names} {error}."


def unselected(nodes: Collection[Node], workers: Iterable[Worker]) -> list[Node]:
    """Return the Nodes with pod CIDRs that are none of these workers."""
    workers = [*workers]
    ids = {worker.instance_id for worker in workers}
    selected = {
        node.name
        for instance_id, each in by_instance(nodes, workers).items()
        if instance_id in ids
        for node in each
    }
    return [node for node in nodes if node.pod_cidrs and node.name not in selected]
