"""What an update would leave, judged before it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routes.errors import Finding
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


def held(**changes: str | None) -> Change:
    """Change what the stack holds: by the third number of a destination, the target."""

    def change(snapshot: Snapshot) -> Snapshot:
        routes = {**(snapshot.held or {})}
        for number, target in changes.items():
            name = f"rtb-1_10.200.{number.removeprefix('_')}.0/24"
            if target is None:
                routes.pop(name, None)
            else:
                routes[name] = target
        return replace(snapshot, held=routes)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s, id="nothing to do"),
        pytest.param(
            all_of(
                without_routes(*(f"10.200.{n}.0/24" for n in range(3))),
                lambda s: replace(s, held={}),
            ),
            id="the first update",
        ),
        pytest.param(
            all_of(without_routes("10.200.1.0/24"), held(_1=None)), id="a new worker"
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-2")),
                held(_1="eni-2"),
            ),
            id="a replaced worker",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-2")), held(_1="eni-7")
            ),
            id="a replaced worker, and its route was retargeted",
        ),
        pytest.param(held(_1="eni-7"), id="the route has the desired target already"),
        pytest.param(held(_9="eni-2"), id="a route that is deleted already"),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.9.0/24", "eni-2")),
                held(_9="eni-2"),
            ),
            id="a route that is no longer wanted",
        ),
    ],
)
def test_what_an_update_mends_is_well_before_it(change: Change) -> None:
    found = verify(after_update(change(lab())), ALL)

    assert found.is_well
    assert found.snapshot.planned


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
            all_of(without_routes("10.200.1.0/24"), held(_1="eni-7")),
            "",
            id="deleted, and its worker was replaced: ReplaceRoute finds no route",
        ),
    ],
)
def test_a_route_that_drifted_stays_drifted(change: Change, target: str) -> None:
    """The engine compares the program with its state, not with EC2."""
    found = verify(after_update(change(lab())), ALL)

    assert found.snapshot.planned
    assert found.outcome is Outcome.WRONG
    (route,) = (one for one in found.routes if one.worker == "worker-1")
    assert (route.target, route.remedy, route.command) == (target, DRIFTED, UPDATE)
    (fault,) = found.faults
    assert (fault.where, fault.remedy) == ("rtb-1 10.200.1.0/24", DRIFTED)
    assert fault.command == UPDATE


def test_what_drifted_is_reported_with_the_update_that_heals_it() -> None:
    found = verify(after_update(without_routes("10.200.1.0/24")(lab())), ALL)

    (cause,) = Summary(found).sections["Causes"]

    assert (cause.remedy, cause.command) == (DRIFTED, UPDATE)


def test_a_replaced_route_that_the_table_lacks_keeps_its_old_target_in_the_state() -> (
    None
):
    change = all_of(without_routes("10.200.1.0/24"), held(_1="eni-7"))

    after = after_update(change(lab()))

    assert (after.held or {})["rtb-1_10.200.1.0/24"] == "eni-7"


def test_what_an_update_does_not_touch_is_left_as_it_stands() -> None:
    foreign = builders.route("10.200.9.0/24", "eni-9", state="blackhole")
    endpoint = builders.route("pl-1", "vpce-1")
    snapshot = with_routes(foreign, endpoint)(lab())

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
def test_what_no_update_mends_is_wrong_before_it(change: Change) -> None:
    new = all_of(without_routes("10.200.1.0/24"), held(_1=None))
    broken = all_of(change, new)(lab())

    assert verify(after_update(broken), ALL).outcome is Outcome.WRONG


def test_a_new_route_to_a_worker_that_does_not_run_is_a_blackhole() -> None:
    broken = all_of(
        with_worker(1, state="stopped"), without_routes("10.200.1.0/24"), held(_1=None)
    )

    (table, _) = after_update(broken(lab())).tables

    states = {str(route.destination): route.state for route in table.routes}
    assert states["10.200.1.0/24"] == "blackhole"
    assert states["10.200.2.0/24"] == "active"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda s: replace(s, faults=(Finding(where="worker-9", problem="none."),)),
            id="the plan has faults",
        ),
        pytest.param(
            lambda s: replace(s, pending=("creating rtb-1_10.200.1.0/24",)),
            id="another update is pending",
        ),
        pytest.param(
            lambda s: replace(s, refusals=(Finding(where="a key", problem="none."),)),
            id="it would take away too much",
        ),
        pytest.param(held(_2=None), id="a wanted route is somebody else's"),
    ],
)
def test_an_update_that_is_refused_changes_nothing(change: Change) -> None:
    snapshot = all_of(without_routes("10.200.1.0/24"), change)(lab())

    assert after_update(snapshot) == snapshot
