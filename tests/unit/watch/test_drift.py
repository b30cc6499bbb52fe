"""When drift is certain, and when it is repaired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from routes.model import RouteKey
from routes.watch.drift import DriftFilter, RepairBackoff
from tests.builders import key

ONE, OTHER = key("10.200.0.0/24"), key("10.200.1.0/24")
CHANGED = datetime(2026, 11, 1, 10, tzinfo=UTC)


class Table:
    """One route that the stack changed at a certain time."""

    def __init__(self) -> None:
        self.filter = DriftFilter()
        self.changed = CHANGED

    def reads(self, target: str | None, second: float) -> bool:
        """Read its target, None for the right one; return whether it has drifted."""
        drifted = {} if target is None else {ONE: target}
        confirmed = self.filter.confirmed(
            drifted, {ONE: self.changed}, CHANGED + timedelta(seconds=second)
        )
        return ONE in confirmed


def test_an_answer_older_than_the_change_is_no_drift() -> None:
    table = Table()

    assert not any(table.reads("eni-9", second) for second in range(1, 60, 5))


def test_after_a_minute_a_single_read_is_drift() -> None:
    table = Table()
    assert not table.reads("", 59)
    assert table.reads("", 60)


def test_drift_is_certain_once_the_change_was_read_and_two_reads_agree() -> None:
    table = Table()
    table.reads(None, 1)

    assert not table.reads("eni-9", 2)
    assert not table.reads("eni-9", 4)
    assert table.reads("eni-9", 5)


@pytest.mark.parametrize("between", [None, "", "eni-8"])
def test_after_reads_that_disagree_two_more_have_to_agree(between: str | None) -> None:
    """The answers may be those of two servers, and one of them out of date."""
    table = Table()
    table.reads(None, 1)
    table.reads("eni-9", 2)
    table.reads(between, 4)

    assert not table.reads("eni-9", 6)
    assert table.reads("eni-9", 9)


def test_the_stacks_next_change_has_to_be_read_first_as_well() -> None:
    table = Table()
    table.reads(None, 1)
    table.changed += timedelta(seconds=2)

    assert not table.reads("eni-9", 4)
    assert not table.reads("eni-9", 10)


def test_a_read_from_before_the_change_does_not_count() -> None:
    table = Table()
    table.reads(None, -1)

    assert not table.reads("eni-9", 2)
    assert not table.reads("eni-9", 10)


def test_a_time_of_another_clock_defers_drift_by_a_minute_at_most() -> None:
    table = Table()
    table.changed += timedelta(hours=1)

    assert table.reads("eni-9", 1)


def test_a_single_read_of_a_route_without_a_known_change_is_drift() -> None:
    confirmed = DriftFilter().confirmed({OTHER: ""}, {ONE: CHANGED}, CHANGED)

    assert confirmed == {OTHER}


def test_each_repair_waits_twice_as_long_as_the_one_before() -> None:
    backoff = RepairBackoff()
    now, waits = 0.0, []
    for _ in range(8):
        began = now
        while backoff.deferred([ONE], now):
            now += 1
        waits.append(now - began)
        backoff.repaired([ONE], now)
        now += 1

    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_the_first_deferral_is_reported_once() -> None:
    backoff = RepairBackoff()
    started: list[RouteKey] = []
    for now in range(100):
        deferred = backoff.deferred([ONE], now)
        started += backoff.newly_deferred
        if not deferred:
            backoff.repaired([ONE], now)

    assert started == [ONE]


def test_after_ten_minutes_in_place_the_next_repair_is_the_first_again() -> None:
    backoff = RepairBackoff()
    backoff.repaired([ONE], 0)
    backoff.repaired([ONE], 10)

    assert backoff.deferred([ONE], 609) == {ONE: 2}
    assert backoff.deferred([], 1209) == {}
    assert backoff.deferred([ONE], 1210) == {}


def test_a_deferred_route_does_not_count_as_in_place() -> None:
    """The longest wait may start late, and end more than ten minutes after a repair."""
    backoff = RepairBackoff()
    for _ in range(6):
        backoff.repaired([ONE], 0)
    for now in range(590, 890, 10):
        assert backoff.deferred([ONE], now) == {ONE: 6}

    assert backoff.deferred([ONE], 890) == {}
    backoff.repaired([ONE], 890)
    assert backoff.deferred([ONE], 891) == {ONE: 7}


def test_other_routes_are_not_deferred() -> None:
    backoff = RepairBackoff()
    backoff.repaired([ONE], 0)

    assert backoff.deferred([ONE, OTHER], 5) == {ONE: 1}
