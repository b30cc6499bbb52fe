"""Which workers reach which: groups, pairs, and causes in packet order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routes.errors import Finding
from routes.verify.snapshot import Snapshot
from routes.verify.verification import Outcome, verify
from tests import builders
from tests.snapshots import (
    ALL,
    Change,
    all_of,
    dual_stack,
    group_rule,
    lab,
    rule,
    with_group,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)


def denied(number: int, *, egress: bool) -> Change:
    """Put a rule that denies pods before an ACL's own."""

    def change(snapshot: Snapshot) -> Snapshot:
        acl = next(one for one in snapshot.acls if one.id == f"acl-{number}")
        rules = (rule(50, egress=egress, allow=False), *acl.rules)
        others = (one for one in snapshot.acls if one != acl)
        return replace(snapshot, acls=(*others, replace(acl, rules=rules)))

    return change


PATH: list[tuple[Change, str, bool]] = [
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
"""Blockers between two workers in packet order, and whether they block the reply."""


@pytest.mark.parametrize("first", range(len(PATH)))
def test_the_first_blocker_on_the_path_is_the_first_cause(first: int) -> None:
    broken = all_of(dual_stack, *(change for change, _, _ in PATH[first:]))(lab(2))

    result = verify(broken, ALL).reachability.between("i-0", "i-1")

    assert result.cause
    assert (result.cause.resource, result.on_reply) == PATH[first][1:]
    assert {cause.resource for cause in result.causes} == {
        resource for _, resource, _ in PATH[first:]
    }


def test_all_of_ipv4_comes_before_ipv6() -> None:
    change = all_of(
        dual_stack,
        denied(2, egress=True),
        without_routes("fd00:200:0:1::/64", "fd00:200::/64"),
    )

    result = verify(change(lab()), ALL).reachability.between("i-0", "i-1")

    assert result.cause
    assert (result.cause.resource, result.on_reply) == ("acl-2", True)


def test_the_healthy_lab_passes() -> None:
    verification = verify(lab(), ALL)

    reachability = verification.reachability
    assert verification.outcome is Outcome.PASS
    assert verification.notes == ()
    assert (reachability.reachable, sum(reachability.pairs)) == (6, 6)


def test_every_pair_inside_a_group_counts() -> None:
    reachability = verify(lab(12, subnets=1), ALL).reachability

    assert [len(group) for group in reachability.groups] == [4, 4, 4]
    assert reachability.pairs == (12 * 11,)


def test_pairs_that_fail_alike_are_counted_under_one_cause() -> None:
    reachability = verify(with_group(1)(lab(6)), ALL).reachability

    ((cause, count),) = reachability.counts.items()
    assert (cause.resource, cause.problem) == ("sg-1", "has no inbound rule")
    assert count == 2 * 5
    assert reachability.reachable == 6 * 5 - 2 * 5


def test_a_worker_without_a_pod_cidr_is_a_fault_and_the_rest_is_verified() -> None:
    unreadable = Finding(resource="worker-1 (i-1)", problem="it has no user data.")
    change = all_of(
        with_worker(1, pod_cidrs=()), lambda s: replace(s, faults=(unreadable,))
    )

    verification = verify(change(lab()), ALL)

    reachability = verification.reachability
    assert unreadable in verification.faults
    assert [worker.name for worker in reachability.workers] == ["worker-0", "worker-2"]
    assert reachability.reachable == 2
    assert verification.outcome is Outcome.FAIL


def test_a_pair_that_two_routes_of_one_table_block_counts_once() -> None:
    change = without_routes("10.200.0.0/24", "10.200.1.0/24")

    reachability = verify(change(lab()), ALL).reachability

    ((cause, count),) = reachability.counts.items()
    assert count == 3 * 2
    assert reachability.affected[cause] == (
        "10.200.0.0/24 of worker-0",
        "10.200.1.0/24 of worker-1",
    )


def test_a_stopped_worker_is_one_cause_whatever_its_routes_are() -> None:
    """They are blackholes until it runs again (VPC User Guide, "Routes")."""
    change = all_of(
        with_worker(1, state="stopped"),
        with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
    )

    reachability = verify(change(lab()), ALL).reachability

    assert [cause.resource for cause in reachability.counts] == ["i-1"]


def test_a_worker_alone_in_its_group_is_not_paired_with_itself() -> None:
    """Its security group would deny its own packets, which is no cause."""
    change = with_group(1, group_rule(1, "0", "10.200.0.0/24"))

    assert verify(change(lab(2)), ALL).outcome is Outcome.PASS


def test_workers_with_missing_routes_stay_in_one_group() -> None:
    change = without_routes(*(f"10.200.{number}.0/24" for number in (0, 3, 6, 9)))

    reachability = verify(change(lab(12, subnets=1)), ALL).reachability

    assert [len(group) for group in reachability.groups] == [4, 4, 4]


def test_further_causes_are_sorted_by_check() -> None:
    change = all_of(
        with_worker(0, state="stopped"),
        with_interface(0, source_dest_check=True),
        with_group(1),
        without_routes("10.200.1.0/24"),
        with_interface(1, source_dest_check=True),
        with_worker(1, state="stopped"),
    )

    result = verify(change(lab()), ALL).reachability.between("i-0", "i-1")

    resources = [cause.resource for cause in result.causes]
    assert resources == ["i-0", "i-1", "eni-0", "eni-1", "sg-1", "rtb-1"]


def test_pairs_with_the_same_first_cause_share_all_further_causes() -> None:
    change = all_of(with_group(1), with_interface(1, source_dest_check=True))

    reachability = verify(change(lab(6)), ALL).reachability

    for target in ("i-1", "i-4"):
        result = reachability.between("i-0", target)
        assert [cause.resource for cause in result.causes] == ["sg-1", "eni-1"]


def test_a_finding_about_all_packets_of_its_resource_lists_none() -> None:
    change = with_group(1, group_rule(1, "peer", "sg-0"), group_rule(1, "2", "sg-2"))

    reachability = verify(change(lab()), ALL).reachability

    affected = {each.resource: of for each, of in reachability.affected.items()}
    assert affected == {"sgr-1-peer": (), "sgr-1-2": ()}


def test_pod_cidrs_of_different_ip_families_are_one_cause() -> None:
    change = with_worker(1, pod_cidrs=builders.networks("fd00:200::/64"))

    result = verify(change(lab()), ALL).reachability.between("i-0", "i-1")

    assert [cause.resource for cause in result.causes] == ["i-0"]


def test_a_worker_without_an_interface_is_one_cause() -> None:
    """Without its subnet, neither filters nor routes can be checked."""
    reachability = verify(with_worker(1, interface=None)(lab()), ALL).reachability

    assert [cause.resource for cause in reachability.counts] == ["i-1"]
