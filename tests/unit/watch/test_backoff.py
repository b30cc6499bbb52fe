"""Exponential backoff, and which changes have to wait for their next attempt."""

from __future__ import annotations

import pytest

from routes.watch.backoff import Retries, delay

ONE, OTHER = frozenset({"one"}), frozenset({"other"})


@pytest.fixture(autouse=True)
def without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (7, 300), (10**6, 300)],
)
def test_the_delay_starts_at_10_s_and_doubles_up_to_300(
    failures: int, seconds: float
) -> None:
    assert delay(failures) == seconds


def test_each_failure_in_a_row_doubles_the_wait() -> None:
    retries = Retries()

    waits = [retries.failed(0) for _ in range(8)]

    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_after_a_success_the_wait_starts_again() -> None:
    retries = Retries()
    retries.failed(0, ONE)
    retries.failed(0, ONE)

    retries.succeeded()

    assert not retries.is_waiting(ONE, 1)
    assert retries.failed(100) == 10


def test_waits_vary_by_a_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", uniform)

    assert Retries().failed(0) == pytest.approx(12)
    assert bounds == [(0.8, 1.2)]


def test_failed_changes_wait_until_they_are_due() -> None:
    retries = Retries()
    retries.failed(100, ONE)

    assert retries.is_waiting(ONE, 109.9)
    assert not retries.is_waiting(ONE, 110)


def test_without_a_failure_nothing_waits() -> None:
    assert not Retries().is_waiting(ONE, 0)


def test_the_rest_of_the_failed_changes_waits_as_well() -> None:
    retries = Retries()
    retries.failed(0, ONE | OTHER)

    assert retries.is_waiting(ONE, 1)


def test_another_change_does_not_wait_for_the_failed_ones() -> None:
    retries = Retries()
    retries.failed(0, ONE)

    assert not retries.is_waiting(ONE | OTHER, 1)
    assert not retries.is_waiting(OTHER, 1)


def test_changes_that_failed_one_after_the_other_wait_together() -> None:
    retries = Retries()
    retries.failed(0, ONE)
    retries.failed(1, OTHER)

    assert retries.is_waiting(ONE | OTHER, 20)
    assert not retries.is_waiting(ONE | OTHER, 21)


def test_a_forgotten_change_does_not_wait_when_it_is_due_again() -> None:
    retries = Retries()
    retries.failed(0, ONE | OTHER)

    retries.forget_all_but(ONE)

    assert retries.is_waiting(ONE, 1)
    assert not retries.is_waiting(ONE | OTHER, 1)


def test_forgetting_a_change_does_not_reset_the_delay() -> None:
    retries = Retries()
    retries.failed(0, ONE)

    retries.forget_all_but(OTHER)

    assert retries.failed(0, OTHER) == 20
