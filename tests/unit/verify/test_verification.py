"""Faults and notes besides entries and pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from routes.errors import Finding
from routes.model import Instance, RouteKey
from routes.report.summary import Summary
from routes.verify.route_status import RouteStatus
from routes.verify.verification import Outcome, verify
from tests import builders
from tests.snapshots import (
    ALL,
    UPDATE,
    Change,
    all_of,
    in_main_table,
    lab,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)

OTHER = Instance(id="i-9", name="api", state="running", subnet_id="subnet-9")


def managing(import_id: str, target: str) -> Change:
    """Give a route this target in the state."""
    key = RouteKey.parse(import_id)
    return lambda s: replace(s, managed={**(s.managed or {}), key: target})


def with_instance(other: Instance) -> Change:
    return lambda s: replace(s, instances=(*s.instances, other))


@pytest.mark.parametrize(
    ("change", "resource", "problem"),
    [
        pytest.param(
            managing("rtb-1_10.200.1.0/24", "eni-7"),
            "rtb-1 10.200.1.0/24",
            "the state of stack dev has eni-7, EC2 has eni-1.",
            id="another target",
        ),
        pytest.param(
            without_routes("10.200.1.0/24"),
            "rtb-1 10.200.1.0/24",
            "the state of stack dev has eni-1, EC2 has no such route.",
            id="deleted outside Pulumi",
        ),
        pytest.param(
            managing("rtb-1_10.200.9.0/24", "eni-9"),
            "rtb-1 10.200.9.0/24",
            "the state of stack dev has eni-9, EC2 has no such route.",
            id="obsolete, and deleted",
        ),
        pytest.param(
            managing("rtb-1_10.200.1.0/24", ""),
            "rtb-1 10.200.1.0/24",
            "the state of stack dev has no interface, EC2 has eni-1.",
            id="created for another kind of target",
        ),
    ],
)
def test_a_state_that_differs_from_ec2_is_a_fault(
    change: Change, resource: str, problem: str
) -> None:
    assert verify(change(lab()), ALL).faults == (
        Finding(
            resource=resource,
            problem=problem,
            hint="To make both match the configuration:",
            command=UPDATE,
        ),
    )


@pytest.mark.parametrize(
    ("target", "actual"), [("igw-1", "igw-1"), ("", "nothing")], ids=["igw", "none"]
)
def test_a_managed_route_retargeted_to_no_interface_has_to_be_deleted_first(
    target: str, actual: str
) -> None:
    change = with_routes(builders.route("10.200.1.0/24", target))

    assert verify(change(lab()), ALL).faults == (
        Finding(
            resource="rtb-1 10.200.1.0/24",
            problem=f"the state of stack dev has eni-1, EC2 has {actual}.",
            hint="If nobody needs that route, delete it, and then:",
            command=UPDATE,
        ),
    )


def test_desired_routes_that_are_not_in_the_state_can_be_adopted() -> None:
    assert verify(replace(lab(11), managed={}), ALL).faults == (
        Finding(
            resource="stack dev",
            problem="desired routes exist and aren't in its state:",
            details=(*(f"rtb-1 10.200.{n}.0/24" for n in range(10)), "and 1 more"),
            hint="Adopt them. This writes the import file:",
            command="python -m routes import-file --stack dev",
        ),
    )


@pytest.mark.parametrize(
    ("target", "status"),
    [("igw-1", RouteStatus.OCCUPIED), ("eni-0", RouteStatus.WRONG_TARGET)],
)
def test_a_route_with_another_target_is_not_adoptable(
    target: str, status: RouteStatus
) -> None:
    change = all_of(
        with_routes(builders.route("10.200.1.0/24", target)),
        lambda s: replace(
            s, managed={k: v for k, v in (s.managed or {}).items() if v != "eni-1"}
        ),
    )

    verification = verify(change(lab()), ALL)

    assert verification.faults == ()
    (entry,) = (each for each in verification.entries if each.worker == "worker-1")
    assert entry.status is status


def test_a_state_that_was_not_read_is_not_compared() -> None:
    assert verify(replace(lab(), managed=None), ALL).outcome is Outcome.PASS


def test_workers_whose_table_is_not_selected_are_listed() -> None:
    snapshot = in_main_table("subnet-2")(lab(22))
    selected, main = snapshot.tables
    complete = replace(selected, id="rtb-0", subnet_ids=("subnet-9",))

    verification = verify(replace(snapshot, tables=(complete, selected, main)), ALL)

    assert verification.faults == (
        Finding(
            resource="rtb-main",
            problem="workers' subnets use it, but pod-routes:routeTables doesn't"
            " select it:",
            details=(
                *(
                    f"worker-{n}  subnet-2"
                    for n in (1, 11, 13, 15, 17, 19, 21, 3, 5, 7)
                ),
                "and 1 more",
            ),
            hint="Select it too, then update:",
            command="pulumi config set pod-routes:routeTables kubernetes,rtb-main"
            " --stack dev",
        ),
    )


def test_an_unselected_table_with_all_routes_is_a_note() -> None:
    snapshot = in_main_table("subnet-2")(lab())
    selected, main = snapshot.tables
    complete = replace(main, routes=selected.routes)

    verification = verify(replace(snapshot, tables=(selected, complete)), ALL)

    assert verification.outcome is Outcome.PASS
    assert [note.resource for note in verification.notes] == ["rtb-main"]


@pytest.mark.parametrize(
    ("state", "noted"),
    [
        pytest.param("running", ["subnet-9"], id="running"),
        pytest.param("stopped", [], id="stopped"),
    ],
)
def test_subnets_of_other_instances_without_the_routes_are_a_note(
    state: str, noted: list[str]
) -> None:
    other = replace(OTHER, state=state)

    verification = verify(with_instance(other)(lab()), ALL)

    assert [note.resource for note in verification.notes] == noted
    assert verification.outcome is Outcome.PASS


def test_the_table_that_another_instances_subnet_uses_counts() -> None:
    snapshot = with_instance(OTHER)(lab())
    selected, main = snapshot.tables
    own = replace(selected, id="rtb-9", subnet_ids=("subnet-9",))

    verification = verify(replace(snapshot, tables=(selected, main, own)), ALL)

    assert verification.notes == ()


def test_a_subnet_without_a_table_is_not_noted() -> None:
    snapshot = with_instance(OTHER)(lab())

    verification = verify(replace(snapshot, tables=snapshot.tables[:1]), ALL)

    assert verification.notes == ()


def test_another_instance_in_a_workers_subnet_is_not_noted() -> None:
    other = replace(OTHER, subnet_id="subnet-2")
    change = all_of(in_main_table("subnet-2"), with_instance(other))

    verification = verify(change(lab()), ALL)

    assert [fault.resource for fault in verification.faults] == ["rtb-main"]
    assert verification.notes == ()


FAULTY: dict[str, Any] = {
    "faults": (Finding(resource="worker-9", problem="it is not there."),)
}
PENDING: dict[str, Any] = {"pending_operations": ("creating rtb-1_10.200.1.0/24",)}


TOO_MANY: dict[str, Any] = {
    "refusals": (
        Finding(
            resource="pod-routes:maxRemovals",
            problem="This update would delete 1 route:",
            details=("rtb-1 10.200.9.0/24",),
            command="POD_ROUTES_MAX_REMOVALS=1 pulumi up",
        ),
    )
}


@pytest.mark.parametrize(
    "change", [FAULTY, PENDING, TOO_MANY], ids=["faults", "pending", "removals"]
)
@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(without_routes("10.200.1.0/24"), id="missing"),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-2")), id="wrong target"
        ),
        pytest.param(
            managing("rtb-1_10.200.9.0/24", "eni-9"),
            id="obsolete, and deleted",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.9.0/24", "eni-1")),
                managing("rtb-1_10.200.9.0/24", "eni-1"),
            ),
            id="obsolete",
        ),
    ],
)
def test_no_update_is_suggested_while_it_would_be_refused(
    change: dict[str, Any], broken: Change
) -> None:
    verification = verify(replace(broken(lab()), **change), ALL)

    findings = [
        *(entry.finding for entry in verification.entries if entry.finding),
        *verification.reachability.counts,
        *verification.faults,
        *verification.notes,
    ]
    assert not [each for each in findings if " up" in each.command]
    assert verification.outcome is not Outcome.PASS


@pytest.mark.parametrize("change", [FAULTY, PENDING], ids=["faults", "pending"])
def test_no_adoption_is_suggested_while_an_update_would_be_refused(
    change: dict[str, Any],
) -> None:
    verification = verify(replace(lab(), managed={}, **change), ALL)

    assert not [each for each in verification.faults if "import-file" in each.command]


def test_a_refusal_is_a_fault_that_a_preview_explains() -> None:
    verification = verify(replace(lab(), **TOO_MANY), ALL)

    (fault,) = verification.faults
    assert verification.outcome is Outcome.FAIL
    assert (fault.resource, fault.details) == (
        "pod-routes:maxRemovals",
        TOO_MANY["refusals"][0].details,
    )
    assert fault.command == "pulumi preview --stack dev"


def test_pending_workers_are_noted() -> None:
    pending = Finding(resource="worker-7 (i-7)", problem="it has no route yet.")

    verification = verify(lab(pending_workers=(pending,)), ALL)

    assert verification.outcome is Outcome.PASS
    assert verification.notes == (pending,)
    assert Summary(verification).headline == "PASS: 6 of 6 pairs, 1 worker pending"


@pytest.mark.parametrize(
    ("subnet", "command"),
    [
        pytest.param("subnet-9", UPDATE, id="no worker needs it"),
        pytest.param(
            "subnet-2",
            "pulumi config set pod-routes:routeTables kubernetes,rtb-main --stack dev",
            id="workers need it",
        ),
    ],
)
def test_a_deselected_table_is_verified_while_the_stack_has_routes_in_it(
    subnet: str, command: str
) -> None:
    snapshot = in_main_table(subnet)(lab())
    selected, main = snapshot.tables
    main = replace(main, routes=(builders.route("10.200.1.0/24", "eni-1"),))
    snapshot = replace(snapshot, tables=(selected, main))

    verification = verify(managing("rtb-main_10.200.1.0/24", "eni-1")(snapshot), ALL)

    (entry,) = (
        each for each in verification.entries if each.key.route_table_id == "rtb-main"
    )
    assert entry.status is RouteStatus.OBSOLETE
    assert entry.finding
    assert entry.finding.command == command


def test_a_table_is_added_to_the_entries_and_none_is_removed() -> None:
    snapshot = in_main_table("subnet-2")(lab(route_table_entries=("a,b", "old")))

    (fault,) = verify(snapshot, ALL).faults

    assert fault.command == (
        'pulumi config set pod-routes:routeTables \'["a,b", "old", "rtb-main"]\''
        " --stack dev"
    )


def test_a_stack_without_routes_needs_no_refresh() -> None:
    snapshot = replace(without_routes("10.200.1.0/24")(lab()), managed={})

    (cause,) = verify(snapshot, ALL).reachability.counts

    assert cause.command == "pulumi up --stack dev"


def test_a_pending_update_makes_the_outcome_unknown() -> None:
    verification = verify(replace(lab(), **PENDING), ALL)

    (note,) = verification.notes
    assert verification.outcome is Outcome.UNKNOWN
    assert verification.faults == ()
    assert note.details == PENDING["pending_operations"]
    assert note.command == "pulumi refresh --clear-pending-creates --stack dev"


def test_a_denied_call_makes_the_outcome_unknown_if_every_pair_is_reachable() -> None:
    snapshot = lab(denied={"DescribeNatGateways": "AccessDenied"})

    verification = verify(snapshot, ALL)

    assert verification.outcome is Outcome.UNKNOWN
    assert verification.reachability.reachable == 6


def test_a_failure_comes_before_an_unknown_result() -> None:
    broken = with_interface(1, source_dest_check=True)(replace(lab(), **PENDING))

    assert verify(broken, ALL).outcome is Outcome.FAIL


def test_unevaluated_workers_are_listed_and_their_pairs_count() -> None:
    change = with_worker(1, pod_cidrs=())
    snapshot = replace(change(lab()), unmatched=("worker-3",), **FAULTY)

    reachability = verify(snapshot, ALL).reachability

    assert reachability.unevaluated == ("worker-1", "worker-3")
    assert (reachability.reachable, reachability.total) == (2, 12)
