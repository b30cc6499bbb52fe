"""When drift is certain, and when it is repaired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from routes.watch.drifts import DriftFilter, RepairBackoff

ONE, OTHER = "rtb-1_10.200.0.0/24", "rtb-1_10.200.1.0/24"
CHANGED = datetime(2026, 11, 1, 10, tzinfo=UTC)


class Table:
    """One route that the stack changed at a certain time."""

    def __init__(self) -> None:
        self.filter = DriftFilter()
        self.changed = CHANGED

    def reads(self, target: str | None, second: float) -> bool:
        """Read it; None for in place. Return whether that is drift for sure."""
        drifted = {} if target is None else {ONE: target}
        found = self.filter.confirmed(
            drifted, {ONE: self.changed}, CHANGED + timedelta(seconds=second)
        )
        return ONE in found


def test_a_table_that_is_older_than_the_change_is_no_drift() -> None:
    table = Table()

    assert not any(table.reads("eni-9", second) for second in range(1, 60, 5))


def test_after_a_minute_it_is_drift_at_once() -> None:
    table = Table()
    assert not table.reads("", 59)
    assert table.reads("", 60)


def test_drift_is_certain_once_the_change_was_seen_and_two_reads_agree() -> None:
    table = Table()
    table.reads(None, 1)

    assert not table.reads("eni-9", 2)
    assert not table.reads("eni-9", 4)
    assert table.reads("eni-9", 5)


@pytest.mark.parametrize("between", [None, "", "eni-8"])
def test_reads_that_disagree_start_again(between: str | None) -> None:
    """So do answers of two servers, of which one is behind."""
    table = Table()
    table.reads(None, 1)
    table.reads("eni-9", 2)
    table.reads(between, 4)

    assert not table.reads("eni-9", 6)
    assert table.reads("eni-9", 9)


def test_the_stacks_next_change_is_waited_for_anew() -> None:
    table = Table()
    table.reads(None, 1)
    table.changed += timedelta(seconds=2)

    assert not table.reads("eni-9", 4)
    assert not table.reads("eni-9", 10)


def test_a_read_from_before_the_change_shows_nothing() -> None:
    table = Table()
    table.reads(None, -1)

    assert not table.reads("eni-9", 2)
    assert not table.reads("eni-9", 10)


def test_a_time_of_another_clock_holds_drift_back_for_a_minute_at_most() -> None:
    table = Table()
    table.changed += timedelta(hours=1)

    assert table.reads("eni-9", 1)


def test_a_route_that_no_change_is_known_of_has_drifted_at_once() -> None:
    found = DriftFilter().confirmed({OTHER: ""}, {ONE: CHANGED}, CHANGED)

    assert found == {OTHER}


def test_each_repair_waits_twice_as_long_as_the_one_before() -> None:
    backoff = RepairBackoff()
    now, waits = 0.0, []
    for _ in range(8):
        began = now
        while backoff.waiting([ONE], now):
            now += 1
        waits.append(now - began)
        backoff.repaired([ONE], now)
        now += 1

    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_the_first_wait_is_told_once() -> None:
    backoff = RepairBackoff()
    started: list[str] = []
    for now in range(100):
        waiting = backoff.waiting([ONE], now)
        started += backoff.started
        if not waiting:
            backoff.repaired([ONE], now)

    assert started == [ONE]


def test_ten_minutes_in_place_end_it() -> None:
    backoff = RepairBackoff()
    backoff.repaired([ONE], 0)
    backoff.repaired([ONE], 10)

    assert backoff.waiting([ONE], 609) == {ONE: 2}
    assert backoff.waiting([], 1209) == {}
    assert backoff.waiting([ONE], 1210) == {}


def test_to_wait_is_not_to_be_in_place() -> None:
    """The longest wait may begin late, and end when ten minutes are long over."""
    backoff = RepairBackoff()
    for _ in range(6):
        backoff.repaired([ONE], 0)
    for now in range(590, 890, 10):
        assert backoff.waiting([ONE], now) == {ONE: 6}

    assert backoff.waiting([ONE], 890) == {}
    backoff.repaired([ONE], 890)
    assert backoff.waiting([ONE], 891) == {ONE: 7}


def test_other_routes_do_not_wait() -> None:
    backoff = RepairBackoff()
    backoff.repaired([ONE], 0)

    assert backoff.waiting([ONE, OTHER], 5) == {ONE: 1}
