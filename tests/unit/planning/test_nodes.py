"""Plans whose pod CIDRs come from Nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from routes import nodes as source
from routes.engine.state import Stack
from routes.errors import PlanError, Severity
from routes.model import Discovery, Node, Selector, Worker
from routes.planning import plan
from routes.planning.plan import Plan
from tests import builders
from tests.builders import (
    discovery,
    key,
    networks,
    node,
    one_line,
    pod_route,
    settings,
    worker,
)

KEYS = {
    "podCidrFrom": "node",
    "workers": "worker-*",
    "kubeconfig": "/etc/lab.yaml",
    "kubeContext": "lab",
}
REFUSE = settings(**KEYS)
SKIP = settings(**KEYS, unready="skip")
FIRST = key("10.200.0.0/24")
LIST = (
    "kubectl get nodes --output custom-columns=NAME:.metadata.name,"
    "INSTANCE:.spec.providerID,CIDRS:.spec.podCIDRs"
    " --kubeconfig /etc/lab.yaml --context lab"
)


def read(workers: Iterable[Worker], nodes: Iterable[Node], **changes: Any) -> Discovery:  # noqa: ANN401
    """Return a discovery of these workers, with the pod CIDRs of these Nodes."""
    workers, nodes = [*workers], tuple(nodes)
    known = source.pod_cidrs(nodes, workers)
    unreadable = {each: why for each, why in known.items() if isinstance(why, str)}
    found = tuple(
        replace(one, pod_cidrs=() if isinstance(cidrs, str) else cidrs)
        for one in workers
        for cidrs in [known[one.instance_id]]
    )
    matches = {Selector("worker-*"): found}
    return discovery(matches, nodes=nodes, unreadable=unreadable, **changes)


def stack(*served: Worker) -> Stack:
    """Return a stack that an update left with the routes of these workers."""
    routes = [
        pod_route(str(one.pod_cidrs[0]), one.interface.id, instance_id=one.instance_id)
        for one in served
        if one.interface
    ]
    return builders.stack(
        {each.key: each.network_interface_id for each in routes},
        last_applied={each.key: each for each in routes},
    )


def targets(planned: Plan) -> dict[str, str]:
    """Return the interface of each declared destination."""
    return {
        str(route.destination): route.network_interface_id
        for route in planned.declared.values()
    }


UNREADY = [
    pytest.param([node(1)], "no Node is this instance", id="no Node"),
    pytest.param(
        [node(1), node(0, pod_cidrs=())], "has no spec.podCIDRs", id="no pod CIDR"
    ),
    pytest.param(
        [node(1), node(), node(name="renamed")],
        "several Nodes are this instance: renamed, worker-0.",
        id="two Nodes",
    ),
    pytest.param(
        [node(1), node(0, pod_cidrs=("10.9.0.0/24",))],
        "expected a pod CIDR inside pod-routes:clusterCidr (10.200.0.0/16), found"
        " 10.9.0.0/24.",
        id="outside the cluster's range",
    ),
]


@pytest.mark.parametrize(("nodes", "reason"), UNREADY)
def test_a_worker_that_is_not_ready_refuses_the_plan(
    nodes: list[Node], reason: str
) -> None:
    with pytest.raises(PlanError) as caught:
        plan.validated(REFUSE, read([worker(0), worker(1)], nodes), builders.stack())

    (fault,) = caught.value.faults
    assert fault.resource == "worker-0 (i-0)"
    assert reason in fault.problem
    if "clusterCidr" not in reason:
        assert fault.hint == "Compare the Nodes with the instances:"
        assert fault.command == LIST


@pytest.mark.parametrize(("nodes", "reason"), UNREADY)
def test_a_worker_that_is_not_ready_is_pending_with_skip(
    nodes: list[Node], reason: str
) -> None:
    lookup = read([worker(0), worker(1)], nodes)

    planned = plan.validated(SKIP, lookup, builders.stack())

    assert targets(planned) == {"10.200.1.0/24": "eni-1"}
    (pending,) = planned.pending
    assert pending.resource == "worker-0 (i-0)"
    assert one_line(pending.problem).startswith("it gets no route yet: ")
    assert reason in one_line(pending.problem)
    assert not planned.problems


@pytest.mark.parametrize(("nodes", "reason"), UNREADY)
def test_a_served_worker_that_is_not_ready_keeps_its_route(
    nodes: list[Node], reason: str
) -> None:
    """And no other worker needs its pod CIDR."""
    lookup = read([worker(0), worker(1)], nodes)

    planned = plan.validated(SKIP, lookup, stack(worker(0), worker(1)))

    assert planned.kept == {FIRST}
    assert targets(planned) == {"10.200.1.0/24": "eni-1"}
    (problem,) = planned.problems
    assert problem.resource == "worker-0 (i-0)"
    assert reason in problem.problem


@pytest.mark.parametrize(
    "nodes", [[], [node(0, pod_cidrs=())], [node(0, pod_cidrs=("10.200.7.0/24",))]]
)
def test_a_pod_cidr_follows_its_node_while_the_old_instance_still_runs(
    nodes: list[Node],
) -> None:
    """With user data, two instances may claim it; here only one Node has it."""
    successor = node(5, pod_cidrs=("10.200.0.0/24",))
    lookup = read([worker(0), worker(5)], [*nodes, successor])

    planned = plan.validated(SKIP, lookup, stack(worker(0)))

    assert FIRST not in planned.kept
    assert targets(planned)["10.200.0.0/24"] == "eni-5"

    without_nodes = replace(lookup, nodes=None)
    if not lookup.live["i-0"].pod_cidrs:
        assert plan.validated(SKIP, without_nodes, stack(worker(0))).kept == {FIRST}


def test_the_route_of_a_worker_that_ec2_does_not_know_follows_its_pod_cidr() -> None:
    successor = node(5, pod_cidrs=("10.200.0.0/24",))
    lookup = read([worker(5)], [successor], unconfirmed=frozenset({"i-0"}))

    planned = plan.validated(SKIP, lookup, stack(worker(0)))

    assert targets(planned) == {"10.200.0.0/24": "eni-5"}
    assert not planned.kept


def test_a_successor_without_its_node_does_not_cost_the_old_route() -> None:
    lookup = read([worker(0), worker(5)], [])

    planned = plan.validated(SKIP, lookup, stack(worker(0)))

    assert planned.kept == {FIRST}
    assert not planned.declared


def test_the_route_of_a_terminated_worker_is_deleted_with_its_node_or_not() -> None:
    """Its Node may stay for a while; there is no instance to lead the packets to."""
    for nodes in ([node(1)], [node(0), node(1)]):
        planned = plan.validated(
            SKIP, read([worker(1)], nodes), stack(worker(0), worker(1))
        )

        assert not planned.kept
        assert targets(planned) == {"10.200.1.0/24": "eni-1"}


def test_nodes_with_overlapping_pod_cidrs_are_a_fault() -> None:
    """Somebody set them by hand."""
    nodes = [node(0), node(1, pod_cidrs=("10.200.0.0/25",))]
    lookup = read([worker(0), worker(1)], nodes)

    with pytest.raises(PlanError, match=r"10\.200\.0\.0/25 lies inside"):
        plan.validated(REFUSE, lookup, builders.stack())
    planned = plan.validated(SKIP, lookup, stack(worker(0)))
    assert targets(planned) == {"10.200.0.0/24": "eni-0"}


def test_both_ip_families_of_a_node_are_routed() -> None:
    both = node(pod_cidrs=("10.200.0.0/24", "fd00:200::/64"))
    configured = settings(**KEYS, clusterCidr="10.200.0.0/16,fd00:200::/48")

    planned = plan.validated(configured, read([worker(0)], [both]), builders.stack())

    assert targets(planned) == {"10.200.0.0/24": "eni-0", "fd00:200::/64": "eni-0"}


def test_nodes_that_no_entry_selects_are_a_warning() -> None:
    others = [node(n) for n in range(3, 15)]
    lookup = read([worker(0)], [node(0), *others, node(1, pod_cidrs=())])

    planned = plan.validated(REFUSE, lookup, builders.stack())

    (warning,) = planned.warnings
    assert warning.severity is Severity.WARNING
    assert warning.resource == "pod-routes:workers"
    assert warning.details[0] == "worker-3  aws:///us-east-1a/i-3  10.200.3.0/24"
    assert warning.details[10:] == ("and 2 more",)
    assert "worker-1 " not in str(warning)
    assert warning.command == (
        "pulumi config set pod-routes:workers 'worker-*,<Name tag>' --stack dev"
    )


def test_a_selected_worker_that_is_not_ready_is_no_unselected_node() -> None:
    lookup = read([worker(0), worker(1, interface=None)], [node(0), node(1)])

    planned = plan.validated(SKIP, lookup, builders.stack())

    assert [one.resource for one in planned.warnings] == ["worker-1 (i-1)"]


def test_another_source_warns_of_no_node() -> None:
    lookup = replace(read([worker(0)], [node(0), node(1)]), nodes=None)

    planned = plan.validated(settings(workers="worker-*"), lookup, builders.stack())

    assert not planned.warnings
    assert targets(planned) == {
        str(network): "eni-0" for network in networks("10.200.0.0/24")
    }
