"""What `maxRemovals` leaves to a watcher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes.planning.removals import allowed
from routes.watch.budget import RemovalBudget

HOUR = 3600.0


def routes(count: int) -> set[str]:
    return {f"rtb-1_10.200.{number}.0/24" for number in range(count)}


def updated(budget: RemovalBudget, count: int, now: float) -> None:
    """Let the watcher's update leave so many routes."""
    budget.updated()
    budget.saw(routes(count), now)


def test_a_list_that_shrinks_slowly_takes_no_more_than_one_that_shrinks_at_once() -> (
    None
):
    budget = RemovalBudget()
    budget.saw(routes(16), 0)
    left = []
    for number in range(1, 5):
        left.append(budget.allowance("25%", number).most)
        updated(budget, 16 - number, number)

    assert left == [4, 3, 2, 1]
    after = budget.allowance("25%", 60)
    assert after.most == 0
    assert after.reason == (
        "it allows 25% of the 16 routes an hour: 4; the watcher deleted 4 in the last"
        " hour, so 0 more may be deleted, not"
    )


def test_a_number_is_as_many_an_hour() -> None:
    budget = RemovalBudget()
    budget.saw(routes(16), 0)
    updated(budget, 14, 10)

    assert budget.allowance("5", 20).most == 3


def test_an_hour_later_it_starts_again_from_what_there_is() -> None:
    budget = RemovalBudget()
    budget.saw(routes(16), 0)
    updated(budget, 12, 10)

    assert budget.allowance("25%", 9 + HOUR).most == 0
    assert budget.allowance("25%", 10 + HOUR).most == 0
    budget.saw(routes(12), 11 + HOUR)
    assert budget.allowance("25%", 11 + HOUR).most == 3


def test_what_somebody_else_deletes_is_not_the_watchers() -> None:
    budget = RemovalBudget()
    budget.saw(routes(16), 0)
    budget.saw(routes(8), 10)

    assert budget.allowance("25%", 20).most == 4


def test_an_update_that_only_adds_takes_nothing() -> None:
    budget = RemovalBudget()
    budget.saw(routes(4), 0)
    updated(budget, 8, 10)

    assert budget.allowance("25%", 20).most == 2


@given(
    st.lists(
        st.tuples(st.integers(1, 2000), st.integers(0, 12), st.booleans()), max_size=40
    ),
    st.sampled_from(["0%", "10%", "50%", "3"]),
)
def test_in_no_hour_is_more_deleted_than_allowed(
    steps: list[tuple[int, int, bool]], limit: str
) -> None:
    """Whatever the list does: the watcher deletes as much of it as it may."""
    budget = RemovalBudget()
    now, count = 0.0, 10
    counts, removals = [(now, count)], []
    budget.saw(routes(count), now)
    for seconds, wanted, is_own in steps:
        now += seconds
        budget.saw(routes(count), now)
        counts.append((now, count))
        most = budget.allowance(limit, now).most
        if is_own and wanted < count:
            removals.append((now, min(most, count - wanted)))
            count -= removals[-1][1]
            updated(budget, count, now)
        else:
            count = max(count, wanted)

    for end, _ in removals:
        highest = max(held for at, held in counts if end - HOUR < at <= end)
        removed = sum(number for at, number in removals if end - HOUR < at <= end)
        assert removed <= allowed(limit, of=highest)


@pytest.mark.parametrize("limit", ["25%", "4"])
def test_before_anything_was_seen_nothing_was_deleted(limit: str) -> None:
    assert "deleted 0 in" in RemovalBudget().allowance(limit, 0).reason
