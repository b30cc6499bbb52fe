"""Retries for user data without a usable pod CIDR."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from routes.cache import CachedPodCidrs
from routes.watch.backoff import delay


class UserDataRetries:
    """An exponential backoff for each start of an instance.

    EC2's answer may have been wrong, so the fault isn't cached for good.
    """

    def __init__(self) -> None:
        self._retries: dict[tuple[str, datetime], tuple[float, int]] = {}
        """For each start: when it is due, and the number of failures."""

    def record(self, cached: Iterable[CachedPodCidrs], now: float) -> None:
        """Record the results of a reconciliation that has retried what was due."""
        retries = {}
        for start in (each.start for each in cached if each.fault):
            due, failures = self._retries.get(start, (0.0, 0))
            if due <= now:
                failures += 1
                due = now + delay(failures)
            retries[start] = due, failures
        self._retries = retries

    def known(
        self, cached: Iterable[CachedPodCidrs], now: float
    ) -> tuple[CachedPodCidrs, ...]:
        """Return those that are not due for a retry."""
        return tuple(
            each
            for each in cached
            if not each.fault or self._retries[each.start][0] > now
        )
