"""When a watcher may delete routes, and how many within an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes.model import RouteKey
from routes.planning.removals import allowed
from routes.watch.budget import RemovalBudget, RemovalDelay
from tests.builders import key

HOUR = 3600.0
START = datetime(2026, 11, 1, 10, tzinfo=UTC)


def routes(count: int) -> set[RouteKey]:
    return {key(f"10.200.{number}.0/24") for number in range(count)}


def updated(budget: RemovalBudget, count: int, now: float) -> None:
    """Record an update of the watcher after which there are so many routes."""
    budget.updated()
    budget.record(routes(count), now)


@pytest.mark.parametrize(
    ("polls", "is_over"),
    [
        pytest.param([(0, 1)], False, id="the first poll"),
        pytest.param([(0, 1), (2.9, 1)], False, id="a second one at once"),
        pytest.param([(0, 1), (3, 1)], True, id="a second one after three seconds"),
        pytest.param([(0, 1), (3, 2)], True, id="one of two"),
        pytest.param([(0, 1), (2, 0), (4, 1)], False, id="in between it was needed"),
    ],
)
def test_two_polls_agree_on_a_deletion(
    polls: list[tuple[float, int]], *, is_over: bool
) -> None:
    delay = RemovalDelay()

    *_, last = (
        delay.is_over(routes(count), START + timedelta(seconds=seconds))
        for seconds, count in polls
    )

    assert last is is_over


def test_a_list_that_shrinks_slowly_deletes_no_more_than_one_that_shrinks_at_once() -> (
    None
):
    budget = RemovalBudget()
    budget.record(routes(16), 0)
    left = []
    for number in range(1, 5):
        left.append(budget.allowance("25%", number).limit)
        updated(budget, 16 - number, number)

    assert left == [4, 3, 2, 1]
    after = budget.allowance("25%", 60)
    assert after.limit == 0
    assert after.reason == (
        "it allows 25% of the 16 routes an hour: 4; the watcher deleted 4 in the last"
        " hour, so 0 more may be deleted, not"
    )


def test_a_number_is_the_limit_of_an_hour() -> None:
    budget = RemovalBudget()
    budget.record(routes(16), 0)
    updated(budget, 14, 10)

    assert budget.allowance("5", 20).limit == 3


def test_an_hour_later_the_limit_starts_again_from_the_remaining_routes() -> None:
    budget = RemovalBudget()
    budget.record(routes(16), 0)
    updated(budget, 12, 10)

    assert budget.allowance("25%", 9 + HOUR).limit == 0
    assert budget.allowance("25%", 10 + HOUR).limit == 0
    budget.record(routes(12), 11 + HOUR)
    assert budget.allowance("25%", 11 + HOUR).limit == 3


def test_routes_that_somebody_else_deletes_do_not_count() -> None:
    budget = RemovalBudget()
    budget.record(routes(16), 0)
    budget.record(routes(8), 10)

    assert budget.allowance("25%", 20).limit == 4


def test_an_update_that_only_adds_routes_leaves_the_whole_limit() -> None:
    budget = RemovalBudget()
    budget.record(routes(4), 0)
    updated(budget, 8, 10)

    assert budget.allowance("25%", 20).limit == 2


@given(
    st.lists(
        st.tuples(st.integers(1, 2000), st.integers(0, 12), st.booleans()), max_size=40
    ),
    st.sampled_from(["0%", "10%", "50%", "3"]),
)
def test_no_more_routes_are_deleted_within_an_hour_than_allowed(
    steps: list[tuple[int, int, bool]], limit: str
) -> None:
    """However the list changes: the watcher deletes as many routes as it may."""
    budget = RemovalBudget()
    now, count = 0.0, 10
    counts, removals = [(now, count)], []
    budget.record(routes(count), now)
    for seconds, desired, is_own in steps:
        now += seconds
        budget.record(routes(count), now)
        counts.append((now, count))
        most = budget.allowance(limit, now).limit
        if is_own and desired < count:
            removals.append((now, min(most, count - desired)))
            count -= removals[-1][1]
            updated(budget, count, now)
        else:
            count = max(count, desired)

    for end, _ in removals:
        highest = max(number for at, number in counts if end - HOUR < at <= end)
        removed = sum(number for at, number in removals if end - HOUR < at <= end)
        assert removed <= allowed(limit, of=highest)


@pytest.mark.parametrize("limit", ["25%", "4"])
def test_before_the_first_state_nothing_was_deleted(limit: str) -> None:
    assert "deleted 0 in" in RemovalBudget().allowance(limit, 0).reason
