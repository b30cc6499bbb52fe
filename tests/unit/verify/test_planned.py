"""Verify what an update would leave, before it runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routes.errors import Finding
from routes.model import RouteKey
from routes.report.summary import Summary
from routes.verify.planned import after_update
from routes.verify.snapshot import Snapshot
from routes.verify.verification import Outcome, verify
from tests import builders
from tests.snapshots import (
    ALL,
    UPDATE,
    Change,
    all_of,
    lab,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)


def managed(**changes: str | None) -> Change:
    """Change targets in the state, by the third octet of the destination."""

    def change(snapshot: Snapshot) -> Snapshot:
        routes = {**(snapshot.managed or {})}
        for number, target in changes.items():
            key = RouteKey.parse(f"rtb-1_10.200.{number.removeprefix('_')}.0/24")
            if target is None:
                routes.pop(key, None)
            else:
                routes[key] = target
        return replace(snapshot, managed=routes)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s, id="nothing to do"),
        pytest.param(
            all_of(
                without_routes(*(f"10.200.{n}.0/24" for n in range(3))),
                lambda s: replace(s, managed={}),
            ),
            id="the first update",
        ),
        pytest.param(
            all_of(without_routes("10.200.1.0/24"), managed(_1=None)), id="a new worker"
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-2")),
                managed(_1="eni-2"),
            ),
            id="a replaced worker",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-2")),
                managed(_1="eni-7"),
            ),
            id="a replaced worker, and its route was retargeted",
        ),
        pytest.param(
            managed(_1="eni-7"), id="the route has the desired target already"
        ),
        pytest.param(managed(_9="eni-2"), id="a route that is deleted already"),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.9.0/24", "eni-2")),
                managed(_9="eni-2"),
            ),
            id="an obsolete route",
        ),
    ],
)
def test_a_fault_that_an_update_fixes_passes_if_planned(change: Change) -> None:
    verification = verify(after_update(change(lab())), ALL)

    assert verification.outcome is Outcome.PASS
    assert verification.snapshot.planned


DRIFTED = "An update without --refresh leaves this route drifted. Run:"


@pytest.mark.parametrize(
    ("change", "target"),
    [
        pytest.param(without_routes("10.200.1.0/24"), "", id="deleted"),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-2")),
            "eni-2",
            id="retargeted",
        ),
        pytest.param(
            all_of(without_routes("10.200.1.0/24"), managed(_1="eni-7")),
            "",
            id="deleted, and its worker was replaced: ReplaceRoute finds no route",
        ),
    ],
)
def test_a_route_that_drifted_stays_drifted(change: Change, target: str) -> None:
    """The engine compares the program with its state, not with EC2."""
    verification = verify(after_update(change(lab())), ALL)

    assert verification.snapshot.planned
    assert verification.outcome is Outcome.FAIL
    (entry,) = (each for each in verification.entries if each.worker == "worker-1")
    assert entry.target == target
    assert entry.finding
    assert (entry.finding.hint, entry.finding.command) == (DRIFTED, UPDATE)
    (fault,) = verification.faults
    assert (fault.resource, fault.hint) == ("rtb-1 10.200.1.0/24", DRIFTED)
    assert fault.command == UPDATE


def test_a_drifted_route_is_reported_with_the_update_that_fixes_it() -> None:
    verification = verify(after_update(without_routes("10.200.1.0/24")(lab())), ALL)

    (cause,) = Summary(verification).sections["Causes"]

    assert (cause.hint, cause.command) == (DRIFTED, UPDATE)


def test_a_deleted_route_keeps_its_old_target_in_the_state() -> None:
    """ReplaceRoute fails, so the engine records no change."""
    change = all_of(without_routes("10.200.1.0/24"), managed(_1="eni-7"))

    after = after_update(change(lab()))

    assert (after.managed or {})[RouteKey.parse("rtb-1_10.200.1.0/24")] == "eni-7"


def test_an_update_leaves_other_routes_as_they_are() -> None:
    unmanaged = builders.route("10.200.9.0/24", "eni-9", state="blackhole")
    endpoint = builders.route("pl-1", "vpce-1")
    snapshot = with_routes(unmanaged, endpoint)(lab())

    (table, *others) = after_update(snapshot).tables

    assert table.routes == snapshot.tables[0].routes
    assert tuple(others) == snapshot.tables[1:]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(with_interface(1, source_dest_check=True), id="a check is on"),
        pytest.param(with_worker(1, state="stopped"), id="a worker is stopped"),
    ],
)
def test_a_fault_that_no_update_fixes_fails_if_planned(change: Change) -> None:
    new = all_of(without_routes("10.200.1.0/24"), managed(_1=None))
    broken = all_of(change, new)(lab())

    assert verify(after_update(broken), ALL).outcome is Outcome.FAIL


def test_a_new_route_to_a_worker_that_does_not_run_is_a_blackhole() -> None:
    broken = all_of(
        with_worker(1, state="stopped"),
        without_routes("10.200.1.0/24"),
        managed(_1=None),
    )

    (table, _) = after_update(broken(lab())).tables

    states = {str(route.destination): route.state for route in table.routes}
    assert states["10.200.1.0/24"] == "blackhole"
    assert states["10.200.2.0/24"] == "active"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda s: replace(
                s, faults=(Finding(resource="worker-9", problem="none."),)
            ),
            id="the plan has faults",
        ),
        pytest.param(
            lambda s: replace(s, pending_operations=("creating rtb-1_10.200.1.0/24",)),
            id="another update is pending",
        ),
        pytest.param(
            lambda s: replace(
                s, refusals=(Finding(resource="a key", problem="none."),)
            ),
            id="it would delete too much",
        ),
        pytest.param(managed(_2=None), id="a desired route is unmanaged"),
    ],
)
def test_an_update_that_is_refused_changes_nothing(change: Change) -> None:
    snapshot = all_of(without_routes("10.200.1.0/24"), change)(lab())

    assert after_update(snapshot) == snapshot
