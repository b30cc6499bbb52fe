"""Who reaches whom: groups, pairs, and causes in the order of the journey."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routes.errors import Finding
from routes.verify.snapshot import Snapshot
from routes.verify.verification import verify
from tests import builders
from tests.snapshots import (
    ALL,
    Change,
    all_of,
    group_rule,
    lab,
    rule,
    six,
    with_group,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)


def denied(number: int, *, egress: bool) -> Change:
    """Put a rule that denies pods in front of an ACL's own."""

    def change(snapshot: Snapshot) -> Snapshot:
        guard = next(one for one in snapshot.acls if one.id == f"acl-{number}")
        rules = (rule(50, egress=egress, allow=False), *guard.rules)
        others = (one for one in snapshot.acls if one != guard)
        return replace(snapshot, acls=(*others, replace(guard, rules=rules)))

    return change


JOURNEY: list[tuple[Change, str, bool]] = [
    (with_worker(0, state="stopped"), "i-0", False),
    (with_interface(0, source_dest_check=True), "eni-0", False),
    (with_group(0, egress=True), "sg-0", False),
    (denied(1, egress=True), "acl-1", False),
    (without_routes("10.200.1.0/24"), "rtb-1", False),
    (denied(2, egress=False), "acl-2", False),
    (with_group(1), "sg-1", False),
    (with_interface(1, source_dest_check=True), "eni-1", False),
    (with_worker(1, state="stopped"), "i-1", False),
    (denied(2, egress=True), "acl-2", True),
    (without_routes("10.200.0.0/24"), "rtb-1", True),
    (denied(1, egress=False), "acl-1", True),
    (without_routes("fd00:200:0:1::/64"), "rtb-1", False),
]
"""What stops a packet from the first worker to the second, where, and if on reply."""


@pytest.mark.parametrize("first", range(len(JOURNEY)))
def test_of_all_that_stops_a_pair_the_first_on_its_way_is_the_cause(
    first: int,
) -> None:
    broken = all_of(six, *(change for change, _, _ in JOURNEY[first:]))(lab(2))

    verdict = verify(broken, ALL).reachability.between("i-0", "i-1")

    assert verdict.cause
    assert (verdict.cause.resource, verdict.on_reply) == JOURNEY[first][1:]
    assert {cause.resource for cause in verdict.causes} == {
        resource for _, resource, _ in JOURNEY[first:]
    }


def test_ipv4_is_followed_to_its_end_before_ipv6() -> None:
    change = all_of(
        six,
        denied(2, egress=True),
        without_routes("fd00:200:0:1::/64", "fd00:200::/64"),
    )

    verdict = verify(change(lab()), ALL).reachability.between("i-0", "i-1")

    assert verdict.cause
    assert (verdict.cause.resource, verdict.on_reply) == ("acl-2", True)


def test_the_healthy_lab_is_well() -> None:
    found = verify(lab(), ALL)

    assert found.is_well
    assert found.notes == ()
    assert (found.reachability.reachable, sum(found.reachability.pairs)) == (6, 6)


def test_every_pair_of_workers_that_are_alike_counts() -> None:
    found = verify(lab(12, subnets=1), ALL).reachability

    assert [len(group) for group in found.groups] == [4, 4, 4]
    assert found.pairs == (12 * 11,)


def test_pairs_that_fail_alike_are_counted_under_one_cause() -> None:
    found = verify(with_group(1)(lab(6)), ALL).reachability

    ((cause, count),) = found.counts.items()
    assert (cause.resource, cause.problem) == (
        "sg-1",
        "has no inbound rule",
    )
    assert count == 2 * 5
    assert found.reachable == 6 * 5 - 2 * 5


def test_a_worker_without_a_pod_cidr_is_a_fault_and_the_rest_is_verified() -> None:
    unreadable = Finding(where="worker-1 (i-1)", problem="it has no user data.")
    change = all_of(
        with_worker(1, pod_cidrs=()), lambda s: replace(s, faults=(unreadable,))
    )

    found = verify(change(lab()), ALL)

    assert unreadable in found.faults
    assert [worker.name for worker in found.reachability.workers] == [
        "worker-0",
        "worker-2",
    ]
    assert found.reachability.reachable == 2
    assert not found.is_well


def test_a_pair_that_two_routes_of_one_table_stop_counts_once() -> None:
    change = without_routes("10.200.0.0/24", "10.200.1.0/24")

    found = verify(change(lab()), ALL).reachability

    ((cause, count),) = found.counts.items()
    assert count == 3 * 2
    assert found.subjects[cause] == (
        "10.200.0.0/24 of worker-0",
        "10.200.1.0/24 of worker-1",
    )


def test_a_stopped_worker_is_one_cause_however_its_routes_look() -> None:
    """They are blackholes until it runs again (VPC User Guide, "Routes")."""
    change = all_of(
        with_worker(1, state="stopped"),
        with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
    )

    found = verify(change(lab()), ALL).reachability

    assert [cause.resource for cause in found.counts] == ["i-1"]


def test_a_worker_talks_to_no_other_of_its_kind_where_it_is_alone() -> None:
    """What its group would make of its own packets is nobody's cause."""
    found = verify(with_group(1, group_rule(1, "0", "10.200.0.0/24"))(lab(2)), ALL)

    assert found.is_well
