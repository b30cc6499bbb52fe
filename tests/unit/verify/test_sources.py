"""Packets that something else than a pod sends to pods."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routes.model import Interface, Worker
from routes.report.document import document
from routes.verify.journey import Position
from routes.verify.reachability import Sent
from routes.verify.snapshot import Snapshot
from routes.verify.steps import Steps
from routes.verify.verification import Outcome, verify
from routes.verify.way import way
from tests import builders
from tests.snapshots import (
    ALL,
    Change,
    all_of,
    group_rule,
    lab,
    rule,
    with_acl,
    with_group,
    with_interface,
    with_routes,
)


def instance(subnet: str = "subnet-1", group: str = "sg-0") -> Worker:
    """Return an instance that sends from its own address."""
    return builders.worker(
        name="api",
        instance_id="i-9",
        interface=Interface(
            id="eni-9",
            subnet_id=subnet,
            source_dest_check=False,
            security_group_ids=(group,),
        ),
        pod_cidrs=builders.networks("10.0.0.9/32"),
    )


SUBNET = replace(
    instance(),
    name="subnet-1",
    instance_id="subnet-1",
    interface=Interface(id="", subnet_id="subnet-1", source_dest_check=False),
    pod_cidrs=builders.networks("10.0.0.0/24"),
)
(OWN,) = SUBNET.pod_cidrs


def outcomes(snapshot: Snapshot, source: Worker) -> list[str]:
    """Return how the source's packets to each worker's pods fare."""
    found = verify(replace(snapshot, sources=(source,)), ALL).outside
    assert found
    return [
        found.between(source.instance_id, worker.instance_id).outcome
        for worker in snapshot.workers
    ]


@pytest.mark.parametrize(
    ("source", "change", "expected"),
    [
        pytest.param(instance(), lambda s: s, "reachable", id="an instance"),
        pytest.param(SUBNET, lambda s: s, "reachable", id="a subnet"),
        pytest.param(
            instance("subnet-9"), lambda s: s, "stopped", id="its table lacks routes"
        ),
        pytest.param(
            replace(instance(), state="stopped"),
            lambda s: s,
            "stopped",
            id="it does not run",
        ),
        pytest.param(instance(), with_group(0, egress=True), "stopped", id="its group"),
        pytest.param(
            SUBNET, with_group(0, egress=True), "reachable", id="groups of no one known"
        ),
        pytest.param(
            instance(),
            with_interface(1, source_dest_check=True),
            "stopped",
            id="the check drops what is for pods",
        ),
        pytest.param(
            instance(),
            with_group(1, group_rule(1, "pods", "10.200.0.0/16")),
            "stopped",
            id="the worker's group lets in pods alone",
        ),
        pytest.param(
            instance(group="sg-9"),
            all_of(
                with_group(1, group_rule(1, "api", "sg-9")),
                with_group(
                    9, group_rule(9, "out", "0.0.0.0/0", egress=True), egress=True
                ),
            ),
            "reachable",
            id="the worker's group names the instance's",
        ),
        pytest.param(
            SUBNET,
            with_group(1, group_rule(1, "api", "sg-9")),
            "unknown",
            id="the worker's group names one that may be the sender's",
        ),
        pytest.param(
            instance(),
            with_acl(2, rule(50, egress=True, allow=False, network=OWN)),
            "stopped",
            id="the worker's ACL denies the reply",
        ),
        pytest.param(
            instance(),
            with_routes(builders.route("10.0.0.0/24", "vpce-1")),
            "unknown",
            id="the reply goes through a firewall",
        ),
    ],
)
def test_what_stops_other_packets_to_pods(
    source: Worker, change: Change, expected: str
) -> None:
    """worker-1 is in the other subnet."""
    assert outcomes(change(lab()), source)[1] == expected


def test_a_named_group_needs_no_note_where_addresses_are_private() -> None:
    snapshot = with_group(1, group_rule(1, "api", "sg-0"))(lab())

    found = verify(replace(snapshot, sources=(instance(),)), ALL).outside

    assert found
    assert found.between("i-9", "i-1") == ((), False, ())


def test_sources_are_asked_about_beside_the_workers() -> None:
    found = verify(replace(lab(), sources=(instance("subnet-9"), SUBNET)), ALL)

    assert found.outside
    assert sum(found.outside.pairs) == 2 * 3
    assert found.outside.reachable == 3
    assert found.outside.sent_by("subnet-1") == Sent(3, 0, 3, ())
    sent = found.outside.sent_by("i-9")
    assert sent[:3] == (0, 0, 3)
    assert [cause.resource for cause in sent.causes] == ["rtb-main"]
    assert (found.reachability.reachable, found.reachability.total) == (6, 6)
    assert found.outcome is Outcome.WRONG


def test_of_how_many_workers_nobody_can_tell_is_counted() -> None:
    snapshot = with_routes(builders.route("10.200.1.0/24", "tgw-1"))(lab())

    found = verify(replace(snapshot, sources=(SUBNET,)), ALL)

    assert found.outside
    assert found.outside.sent_by("subnet-1")[:3] == (2, 1, 3)
    (source,) = document(found).sources
    assert (source.reachable, source.unknown, source.workers) == (2, 1, 3)


def test_a_worker_may_be_a_source_with_its_own_address() -> None:
    own = replace(lab().workers[0], pod_cidrs=builders.networks("10.0.0.20/32"))

    assert outcomes(lab(), own) == ["reachable"] * 3


def test_of_a_subnet_no_step_is_shown_that_only_a_host_has() -> None:
    snapshot = replace(lab(), sources=(SUBNET,))

    hops = way(Steps(snapshot, ALL), SUBNET, snapshot.workers[0])

    assert [hop.position for hop in hops] == [
        Position.A_ROUTE,
        Position.B_GROUP,
        Position.B_CHECK,
        Position.B_INSTANCE,
        Position.B_REPLY_ROUTE,
    ]
