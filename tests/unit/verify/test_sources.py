"""Packets to pods from other sources: an instance, or a whole subnet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routes.model import Interface, Worker
from routes.report.document import document
from routes.verify.checks import Checks
from routes.verify.reachability import SourceSummary
from routes.verify.snapshot import Snapshot
from routes.verify.stages import Stage
from routes.verify.trace import trace
from routes.verify.verification import Outcome, verify
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
    """Return the outcome of the source's packets to each worker's pods."""
    sources = verify(replace(snapshot, sources=(source,)), ALL).sources
    assert sources
    return [
        sources.between(source.instance_id, worker.instance_id).outcome
        for worker in snapshot.workers
    ]


@pytest.mark.parametrize(
    ("source", "change", "expected"),
    [
        pytest.param(instance(), lambda s: s, "reachable", id="an instance"),
        pytest.param(SUBNET, lambda s: s, "reachable", id="a subnet"),
        pytest.param(
            instance("subnet-9"), lambda s: s, "blocked", id="its table lacks routes"
        ),
        pytest.param(
            replace(instance(), state="stopped"),
            lambda s: s,
            "blocked",
            id="it isn't running",
        ),
        pytest.param(instance(), with_group(0, egress=True), "blocked", id="its group"),
        pytest.param(
            SUBNET, with_group(0, egress=True), "reachable", id="its groups are unknown"
        ),
        pytest.param(
            instance(),
            with_interface(1, source_dest_check=True),
            "blocked",
            id="the worker's check drops packets for pods",
        ),
        pytest.param(
            instance(),
            with_group(1, group_rule(1, "pods", "10.200.0.0/16")),
            "blocked",
            id="the worker's group allows only pods",
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
            id="the worker's group names one that the sender may have",
        ),
        pytest.param(
            instance(),
            with_acl(2, rule(50, egress=True, allow=False, network=OWN)),
            "blocked",
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
def test_packets_from_other_sources_meet_the_same_checks(
    source: Worker, change: Change, expected: str
) -> None:
    """worker-1 is in the other subnet."""
    assert outcomes(change(lab()), source)[1] == expected


def test_a_named_group_needs_no_note_for_private_addresses() -> None:
    snapshot = with_group(1, group_rule(1, "api", "sg-0"))(lab())

    sources = verify(replace(snapshot, sources=(instance(),)), ALL).sources

    assert sources
    assert sources.between("i-9", "i-1") == ((), False, ())


def test_sources_are_evaluated_besides_the_workers() -> None:
    snapshot = replace(lab(), sources=(instance("subnet-9"), SUBNET))

    verification = verify(snapshot, ALL)

    sources, reachability = verification.sources, verification.reachability
    assert sources
    assert sum(sources.pairs) == 2 * 3
    assert sources.reachable == 3
    assert sources.from_source("subnet-1") == SourceSummary(3, 0, 3, ())
    summary = sources.from_source("i-9")
    assert summary[:3] == (0, 0, 3)
    assert [cause.resource for cause in summary.causes] == ["rtb-main"]
    assert (reachability.reachable, reachability.total) == (6, 6)
    assert verification.outcome is Outcome.FAIL


def test_the_workers_with_an_unknown_result_are_counted() -> None:
    snapshot = with_routes(builders.route("10.200.1.0/24", "tgw-1"))(lab())

    verification = verify(replace(snapshot, sources=(SUBNET,)), ALL)

    assert verification.sources
    assert verification.sources.from_source("subnet-1")[:3] == (2, 1, 3)
    (source,) = document(verification).sources
    assert (source.reachable, source.unknown, source.workers) == (2, 1, 3)


def test_a_worker_may_be_a_source_with_its_own_address() -> None:
    own = replace(lab().workers[0], pod_cidrs=builders.networks("10.0.0.20/32"))

    assert outcomes(lab(), own) == ["reachable"] * 3


def test_the_trace_of_a_subnet_has_no_checks_of_a_single_host() -> None:
    snapshot = replace(lab(), sources=(SUBNET,))

    hops = trace(Checks(snapshot, ALL), SUBNET, snapshot.workers[0])

    assert [hop.stage for hop in hops] == [
        Stage.A_ROUTE,
        Stage.B_GROUP,
        Stage.B_SOURCE_DEST_CHECK,
        Stage.B_INSTANCE,
        Stage.B_REPLY_ROUTE,
    ]
