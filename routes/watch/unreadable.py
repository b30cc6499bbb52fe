"""Retries for user data without a usable pod CIDR."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from routes.memory import Reading

_FIRST_WAIT: Final = 10.0
_LONGEST_WAIT: Final = 300.0
"""Seconds from one reading to the next; doubled each time."""


class Unreadable:
    """An exponential backoff for each start of an instance.

    The answer that was read may have been wrong, so it is not cached for good.
    """

    def __init__(self) -> None:
        self._waits: dict[tuple[str, datetime], tuple[float, float]] = {}
        """For each start: when it is due, and the backoff."""

    def saw(self, readings: Iterable[Reading], now: float) -> None:
        """Record the readings of a reconciliation that has retried what was due."""
        waits = {}
        for start in (_start(each) for each in readings if each.fault):
            due, wait = self._waits.get(start, (0.0, _FIRST_WAIT / 2))
            if due <= now:
                wait = min(2 * wait, _LONGEST_WAIT)
                due = now + wait
            waits[start] = due, wait
        self._waits = waits

    def known(self, readings: Iterable[Reading], now: float) -> tuple[Reading, ...]:
        """Return the readings that are not due for a retry."""
        return tuple(
            each
            for each in readings
            if not each.fault or self._waits[_start(each)][0] > now
        )


def _start(reading: Reading) -> tuple[str, datetime]:
    return reading.instance_id, reading.launch_time
