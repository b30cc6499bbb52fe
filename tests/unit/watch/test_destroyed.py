"""Which empty stack was destroyed, and which is new."""

from __future__ import annotations

import pytest

from routes.engine.state import Stack
from routes.watch.destroyed import Destruction
from tests.builders import stack

FULL = stack({"rtb-1_10.200.0.0/24": "x"})
NO_ROUTE = stack()
EMPTY = stack(is_empty=True)


@pytest.mark.parametrize(
    ("seen", "is_destroyed"),
    [
        pytest.param([EMPTY], False, id="before the first update"),
        pytest.param([FULL], False, id="it has routes"),
        pytest.param([FULL, NO_ROUTE], False, id="it has something else"),
        pytest.param([FULL, EMPTY], True, id="all has gone"),
        pytest.param([FULL, EMPTY, EMPTY], True, id="and stays away"),
        pytest.param([FULL, EMPTY, NO_ROUTE], False, id="somebody began again"),
    ],
)
def test_a_stack_that_lost_all_was_destroyed(
    seen: list[Stack], *, is_destroyed: bool
) -> None:
    destruction = Destruction()

    *_, last = map(destruction.saw, seen)

    assert last is destruction.is_over is is_destroyed
