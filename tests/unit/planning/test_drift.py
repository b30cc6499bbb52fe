"""When a preview says that a table is not as the stack left it, and when not."""

from __future__ import annotations

import pytest

from routes.model import Route
from routes.planning.drift import drift
from tests import builders
from tests.builders import one_line, pod_route, route, table

POD = "10.200.1.0/24"
HELD = f"rtb-1_{POD}"
WANTED = pod_route(POD)


def told(
    *standing: Route, target: str = "eni-1", wanted: bool = True, held: str = HELD
) -> list[str]:
    stack = builders.stack({held: target}, declared={HELD: WANTED})
    found = drift([WANTED] if wanted else [], [table(*standing)], stack)
    return [one_line(each) for each in found]


def test_a_route_that_is_gone_is_told_with_whose_it_was_and_the_command() -> None:
    (text,) = told()

    assert text == (
        f"rtb-1 {POD}: the stack's route for worker-1 to eni-1 has drifted: it is gone."
        " Only a run with --refresh sees that; this one, if it has it:"
        " pulumi up --refresh --stack dev"
    )


def test_a_route_that_leads_elsewhere_is_told() -> None:
    (text,) = told(route(POD, "eni-9"))

    assert "has drifted: it leads to eni-9 now." in text


@pytest.mark.parametrize(
    "standing",
    [
        pytest.param(route(POD, "eni-1"), id="as it was left"),
        pytest.param(route(POD, "eni-1", state="blackhole"), id="a blackhole"),
    ],
)
def test_a_route_that_stands_is_not_told(standing: Route) -> None:
    assert told(standing) == []


def test_a_replaced_worker_is_no_drift() -> None:
    """The table is as the last update left it; the plan wants another target."""
    assert told(route(POD, "eni-0"), target="eni-0") == []


def test_what_is_gone_and_no_longer_wanted_is_no_drift() -> None:
    assert told(wanted=False) == []


def test_what_a_refresh_has_seen_already_is_no_drift() -> None:
    """The engine itself compares with that."""
    assert told(route(POD, "igw-1"), target="") == []


def test_a_table_that_was_not_read_has_no_drift() -> None:
    assert told(held=f"rtb-2_{POD}") == []


def test_a_propagated_route_does_not_stand_in_for_a_deleted_one() -> None:
    assert told(route(POD, "vgw-1", origin="EnableVgwRoutePropagation"))
