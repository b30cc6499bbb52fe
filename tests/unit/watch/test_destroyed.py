"""Which empty stacks were destroyed, and which are new."""

from __future__ import annotations

import pytest

from routes.engine.state import Stack
from routes.watch.destroyed import DestroyDetector
from tests.builders import stack

FULL = stack({"rtb-1_10.200.0.0/24": "x"})
NO_ROUTE = stack()
EMPTY = stack(is_empty=True)


@pytest.mark.parametrize(
    ("stacks", "is_destroyed"),
    [
        pytest.param([EMPTY], False, id="before the first update"),
        pytest.param([FULL], False, id="it has routes"),
        pytest.param([FULL, NO_ROUTE], False, id="it has something else"),
        pytest.param([FULL, EMPTY], True, id="it lost everything"),
        pytest.param([FULL, EMPTY, EMPTY], True, id="and is still empty"),
        pytest.param([FULL, EMPTY, NO_ROUTE], False, id="it has something again"),
    ],
)
def test_a_stack_that_lost_everything_was_destroyed(
    stacks: list[Stack], *, is_destroyed: bool
) -> None:
    destruction = DestroyDetector()

    *_, last = map(destruction.record, stacks)

    assert last is destruction.is_complete is is_destroyed
