"""When a preview reports that a table differs from the stack's state."""

from __future__ import annotations

import pytest

from routes.model import Route, RouteKey, static_routes
from routes.planning.drift import drifted, warnings_of
from tests import builders
from tests.builders import key, one_line, pod_route, route, table

POD = "10.200.1.0/24"
DESIRED = pod_route(POD)


def warned(
    *existing: Route,
    target: str = "eni-1",
    is_desired: bool = True,
    managed: RouteKey = DESIRED.key,
) -> list[str]:
    """Return the warnings for a stack with one managed route."""
    stack = builders.stack({managed: target}, last_applied={DESIRED.key: DESIRED})
    desired = {DESIRED.key: DESIRED} if is_desired else {}
    drift = drifted(desired, static_routes([table(*existing)]), stack.managed)
    return [one_line(each) for each in warnings_of(desired, drift, stack)]


def test_a_deleted_route_is_reported_with_its_worker_and_the_command() -> None:
    (text,) = warned()

    assert text == (
        f"rtb-1 {POD}: the stack's route for worker-1 to eni-1 has drifted: it"
        " was deleted. Pulumi only detects this with --refresh: pulumi up --refresh"
        " --stack dev"
    )


def test_a_retargeted_route_is_reported() -> None:
    (text,) = warned(route(POD, "eni-9"))

    assert "has drifted: it leads to eni-9 now." in text


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(route(POD, "eni-1"), id="unchanged"),
        pytest.param(route(POD, "eni-1", state="blackhole"), id="a blackhole"),
    ],
)
def test_a_route_with_the_target_in_the_state_is_no_drift(existing: Route) -> None:
    assert warned(existing) == []


def test_a_replaced_worker_is_no_drift() -> None:
    """The table is as the last update left it; the plan has another target."""
    assert warned(route(POD, "eni-0"), target="eni-0") == []


def test_a_deleted_route_that_is_no_longer_desired_is_no_drift() -> None:
    assert warned(is_desired=False) == []


def test_a_change_that_a_refresh_has_recorded_is_no_drift() -> None:
    """The engine itself compares with that."""
    assert warned(route(POD, "igw-1"), target="") == []


def test_a_table_that_was_not_read_has_no_drift() -> None:
    assert warned(managed=key(POD, "rtb-2")) == []


def test_a_propagated_route_does_not_count_as_the_deleted_one() -> None:
    assert warned(route(POD, "vgw-1", origin="EnableVgwRoutePropagation"))
