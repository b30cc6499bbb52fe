"""How often user data without a usable pod CIDR is read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from routes import cache
from routes.watch.unreadable import UserDataRetries
from tests.builders import settings, worker

BAD = replace(worker(), pod_cidrs=())
FAULT = {"i-0": "it has no user data."}


def test_bad_user_data_is_read_again_after_growing_intervals() -> None:
    unreadable = UserDataRetries()
    cached: tuple[cache.CachedPodCidrs, ...] = ()
    reads = []
    for now in range(3600):
        if not unreadable.known(cached, now):
            reads.append(now)
        cached = cache.cacheable([BAD], settings(), FAULT)
        unreadable.record(cached, now)

    gaps = [b - a for a, b in pairwise(reads)]
    assert gaps[:6] == [10, 20, 40, 80, 160, 300]
    assert set(gaps[6:]) == {300}


def test_another_start_is_read_at_once() -> None:
    unreadable = UserDataRetries()
    unreadable.record(cache.cacheable([BAD], settings(), FAULT), 0)
    later = replace(BAD, launch_time=BAD.launch_time + timedelta(hours=1))

    unreadable.record(cache.cacheable([later], settings(), FAULT), 5)

    (again,) = unreadable.known(cache.cacheable([later], settings(), FAULT), 14)
    assert again.launch_time == later.launch_time
    assert not unreadable.known(cache.cacheable([later], settings(), FAULT), 15)


def test_a_pod_cidr_that_was_read_stays_cached() -> None:
    cached = cache.cacheable([worker()], settings())
    unreadable = UserDataRetries()
    unreadable.record(cached, 0)

    assert unreadable.known(cached, 1e6) == cached
