"""How often user data is read again that gave no pod CIDR."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from routes import memory
from routes.watch.unreadable import Unreadable
from tests.builders import settings, worker

BAD = replace(worker(), pod_cidrs=())
FAULT = {"i-0": "it has no user data."}


def test_what_could_not_be_read_is_read_again_after_longer_and_longer() -> None:
    unreadable = Unreadable()
    seen: tuple[memory.Reading, ...] = ()
    asked = []
    for now in range(3600):
        if not unreadable.known(seen, now):
            asked.append(now)
        seen = memory.readings([BAD], settings(), FAULT)
        unreadable.saw(seen, now)

    gaps = [b - a for a, b in pairwise(asked)]
    assert gaps[:6] == [10, 20, 40, 80, 160, 300]
    assert set(gaps[6:]) == {300}


def test_another_start_is_read_at_once() -> None:
    unreadable = Unreadable()
    unreadable.saw(memory.readings([BAD], settings(), FAULT), 0)
    later = replace(BAD, launch_time=BAD.launch_time + timedelta(hours=1))

    unreadable.saw(memory.readings([later], settings(), FAULT), 5)

    (again,) = unreadable.known(memory.readings([later], settings(), FAULT), 14)
    assert again.launch_time == later.launch_time
    assert not unreadable.known(memory.readings([later], settings(), FAULT), 15)


def test_what_was_read_stays_known() -> None:
    seen = memory.readings([worker()], settings())
    unreadable = Unreadable()
    unreadable.saw(seen, 0)

    assert unreadable.known(seen, 1e6) == seen
