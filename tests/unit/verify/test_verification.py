"""What is wrong, or deserves a look, beside routes and pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from routes.errors import Finding
from routes.model import Instance
from routes.report.summary import Summary
from routes.verify.standing import Standing
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


@pytest.mark.parametrize(
    ("change", "where", "problem"),
    [
        pytest.param(
            lambda s: replace(s, held={**s.held, "rtb-1_10.200.1.0/24": "eni-7"}),
            "rtb-1 10.200.1.0/24",
            "stack dev says eni-7, EC2 says eni-1.",
            id="another target",
        ),
        pytest.param(
            without_routes("10.200.1.0/24"),
            "rtb-1 10.200.1.0/24",
            "stack dev says eni-1, EC2 says no such route.",
            id="deleted behind the stack's back",
        ),
        pytest.param(
            lambda s: replace(s, held={**s.held, "rtb-1_10.200.9.0/24": "eni-9"}),
            "rtb-1 10.200.9.0/24",
            "stack dev says eni-9, EC2 says no such route.",
            id="no longer wanted, and gone",
        ),
        pytest.param(
            lambda s: replace(s, held={**s.held, "rtb-1_10.200.1.0/24": ""}),
            "rtb-1 10.200.1.0/24",
            "stack dev says no interface, EC2 says eni-1.",
            id="made for something else than an interface",
        ),
    ],
)
def test_a_stack_that_disagrees_with_ec2_is_a_fault(
    change: Change, where: str, problem: str
) -> None:
    assert verify(change(lab()), ALL).faults == (
        Finding(
            where=where,
            problem=problem,
            remedy="Bring both to what the configuration asks for:",
            command=UPDATE,
        ),
    )


@pytest.mark.parametrize(
    ("target", "says"), [("igw-1", "igw-1"), ("", "nothing")], ids=["igw", "none"]
)
def test_a_held_route_turned_to_no_interface_has_to_go_first(
    target: str, says: str
) -> None:
    change = with_routes(builders.route("10.200.1.0/24", target))

    assert verify(change(lab()), ALL).faults == (
        Finding(
            where="rtb-1 10.200.1.0/24",
            problem=f"stack dev says eni-1, EC2 says {says}.",
            remedy="If nobody needs that route, remove it, and then:",
            command=UPDATE,
        ),
    )


def test_routes_that_the_stack_does_not_hold_can_be_taken_over() -> None:
    assert verify(replace(lab(11), held={}), ALL).faults == (
        Finding(
            where="stack dev",
            problem="routes stand that it wants and does not hold:",
            rows=(*(f"rtb-1 10.200.{n}.0/24" for n in range(10)), "and 1 more"),
            remedy="Take them over; this writes the file to import:",
            command="python -m routes import-file --stack dev",
        ),
    )


@pytest.mark.parametrize(
    ("target", "standing"),
    [("igw-1", Standing.HELD), ("eni-0", Standing.WRONG_TARGET)],
)
def test_a_route_to_something_else_is_not_offered_to_be_taken_over(
    target: str, standing: Standing
) -> None:
    change = all_of(
        with_routes(builders.route("10.200.1.0/24", target)),
        lambda s: replace(
            s, held={k: v for k, v in (s.held or {}).items() if v != "eni-1"}
        ),
    )

    found = verify(change(lab()), ALL)

    assert found.faults == ()
    (route,) = (one for one in found.routes if one.worker == "worker-1")
    assert route.standing is standing


def test_a_state_that_was_not_read_is_not_judged() -> None:
    assert verify(replace(lab(), held=None), ALL).is_well


def test_workers_whose_table_is_not_served_are_named() -> None:
    snapshot = in_main_table("subnet-2")(lab(22))
    kept, main = snapshot.tables
    right = replace(kept, id="rtb-0", subnet_ids=("subnet-9",))

    found = verify(replace(snapshot, tables=(right, kept, main)), ALL)

    assert found.faults == (
        Finding(
            where="rtb-main",
            problem="workers' subnets use it, but pod-routes:routeTables does not name"
            " it:",
            rows=(
                *(
                    f"worker-{n}  subnet-2"
                    for n in (1, 11, 13, 15, 17, 19, 21, 3, 5, 7)
                ),
                "and 1 more",
            ),
            remedy="Have the stack serve it as well, then update:",
            command="pulumi config set pod-routes:routeTables kubernetes,rtb-main"
            " --stack dev",
        ),
    )


def test_a_table_that_somebody_else_keeps_right_is_a_note() -> None:
    snapshot = in_main_table("subnet-2")(lab())
    kept, main = snapshot.tables
    snapshot = replace(snapshot, tables=(kept, replace(main, routes=kept.routes)))

    found = verify(snapshot, ALL)

    assert found.is_well
    assert [note.where for note in found.notes] == ["rtb-main"]


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
    other = Instance(id="i-9", name="api", state=state, subnet_id="subnet-9")
    snapshot = lab()

    found = verify(replace(snapshot, instances=(*snapshot.instances, other)), ALL)

    assert [note.where for note in found.notes] == noted
    assert found.is_well


def test_a_neighbours_own_table_is_the_one_that_counts() -> None:
    other = Instance(id="i-9", name="api", state="running", subnet_id="subnet-9")
    snapshot = lab()
    kept, main = snapshot.tables
    own = replace(kept, id="rtb-9", subnet_ids=("subnet-9",))

    found = verify(
        replace(
            snapshot,
            instances=(*snapshot.instances, other),
            tables=(kept, main, own),
        ),
        ALL,
    )

    assert found.notes == ()


def test_a_subnet_without_any_table_is_no_neighbour() -> None:
    other = Instance(id="i-9", name="api", state="running", subnet_id="subnet-9")
    snapshot = lab()

    found = verify(
        replace(
            snapshot,
            instances=(*snapshot.instances, other),
            tables=snapshot.tables[:1],
        ),
        ALL,
    )

    assert found.notes == ()


def test_a_neighbour_in_a_workers_subnet_is_not_named_beside_the_worker() -> None:
    snapshot = in_main_table("subnet-2")(lab())
    other = Instance(id="i-9", name="api", state="running", subnet_id="subnet-2")

    found = verify(replace(snapshot, instances=(*snapshot.instances, other)), ALL)

    assert [fault.where for fault in found.faults] == ["rtb-main"]
    assert found.notes == ()


FAULTY: dict[str, Any] = {
    "faults": (Finding(where="worker-9", problem="it is not there."),)
}
PENDING: dict[str, Any] = {"pending": ("creating rtb-1_10.200.1.0/24",)}


TOO_MANY: dict[str, Any] = {
    "refusals": (
        Finding(
            where="pod-routes:maxRemovals",
            problem="found 1:",
            rows=("rtb-1 10.200.9.0/24",),
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
            lambda s: replace(s, held={**s.held, "rtb-1_10.200.9.0/24": "eni-9"}),
            id="no longer wanted, and gone",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.9.0/24", "eni-1")),
                lambda s: replace(
                    s, held={**(s.held or {}), "rtb-1_10.200.9.0/24": "eni-1"}
                ),
            ),
            id="no longer wanted",
        ),
    ],
)
def test_no_update_is_proposed_while_it_would_be_refused(
    change: dict[str, Any], broken: Change
) -> None:
    found = verify(replace(broken(lab()), **change), ALL)

    commands = [
        *(route.command for route in found.routes),
        *(cause.command for cause in found.reachability.counts),
        *(each.command for each in (*found.faults, *found.notes)),
    ]
    assert not [each for each in commands if " up" in each]
    assert not found.is_well


@pytest.mark.parametrize("change", [FAULTY, PENDING], ids=["faults", "pending"])
def test_nothing_is_taken_over_while_an_update_would_be_refused(
    change: dict[str, Any],
) -> None:
    found = verify(replace(lab(), held={}, **change), ALL)

    assert not [each for each in found.faults if "import-file" in each.command]


def test_what_an_update_may_not_take_away_is_a_fault_that_a_preview_explains() -> None:
    found = verify(replace(lab(), **TOO_MANY), ALL)

    (fault,) = found.faults
    assert found.outcome is Outcome.WRONG
    assert (fault.where, fault.rows) == (
        "pod-routes:maxRemovals",
        TOO_MANY["refusals"][0].rows,
    )
    assert fault.command == "pulumi preview --stack dev"


def test_workers_without_a_route_yet_are_noted() -> None:
    waits = Finding(where="worker-7 (i-7)", problem="it gets no route yet: pending.")

    found = verify(lab(waiting=(waits,)), ALL)

    assert found.is_well
    assert found.notes == (waits,)
    assert Summary(found).headline == "WELL: 6 of 6 pairs, 1 worker without a route yet"


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
def test_a_table_is_judged_while_the_stack_holds_routes_in_it(
    subnet: str, command: str
) -> None:
    snapshot = in_main_table(subnet)(lab())
    kept, main = snapshot.tables
    main = replace(main, routes=(builders.route("10.200.1.0/24", "eni-1"),))
    held = {**(snapshot.held or {}), "rtb-main_10.200.1.0/24": "eni-1"}

    found = verify(replace(snapshot, tables=(kept, main), held=held), ALL)

    (left,) = (each for each in found.routes if each.table_id == "rtb-main")
    assert (left.standing, left.command) == (Standing.LEFT_OVER, command)


def test_a_table_is_added_to_the_entries_and_takes_none_away() -> None:
    snapshot = in_main_table("subnet-2")(lab(route_table_entries=("a,b", "gone")))

    (fault,) = verify(snapshot, ALL).faults

    assert fault.command == (
        'pulumi config set pod-routes:routeTables \'["a,b", "gone", "rtb-main"]\''
        " --stack dev"
    )


def test_a_stack_without_routes_is_brought_up_by_a_plain_update() -> None:
    found = verify(replace(without_routes("10.200.1.0/24")(lab()), held={}), ALL)

    (cause,) = found.reachability.counts
    assert cause.command == "pulumi up --stack dev"


def test_an_update_that_is_pending_leaves_the_state_undecided() -> None:
    found = verify(replace(lab(), **PENDING), ALL)

    assert found.outcome is Outcome.UNDECIDED
    assert found.faults == ()
    assert [(note.rows, note.command) for note in found.notes] == [
        (PENDING["pending"], "pulumi refresh --clear-pending-creates --stack dev")
    ]


def test_what_is_wrong_comes_before_what_could_not_be_judged() -> None:
    broken = with_interface(1, source_dest_check=True)(replace(lab(), **PENDING))

    assert verify(broken, ALL).outcome is Outcome.WRONG


def test_workers_that_could_not_be_judged_are_named_and_their_pairs_count() -> None:
    change = with_worker(1, pod_cidrs=())
    snapshot = replace(change(lab()), undecided=("worker-3",), **FAULTY)

    found = verify(snapshot, ALL).reachability

    assert found.undecided == ("worker-1", "worker-3")
    assert (found.reachable, found.total) == (2, 12)
