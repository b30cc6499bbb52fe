"""Exponential backoff, and the retries of failed polls and updates."""

from __future__ import annotations

import random
from typing import Final

_FIRST: Final = 10.0
_LONGEST: Final = 300.0
"""Seconds to wait after the first failure, and at most."""


def delay(failures: int) -> float:
    """Return the seconds to wait after some failures: 10, doubled each time, to 300."""
    return min(_FIRST * 2.0 ** min(failures - 1, 10), _LONGEST)


class Retries:
    """Failures in a row, and when the next attempt is due.

    Times are in seconds, of any monotonic clock.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._changes: frozenset[object] = frozenset()
        self._due = 0.0

    def failed(self, now: float, changes: frozenset[object] = frozenset()) -> float:
        """Record a failure, and return the seconds until the next attempt.

        They vary by a fifth, so that many watchers spread out.

        Args:
            now: the time.
            changes: what was attempted.
        """
        self._failures += 1
        self._changes |= changes
        seconds = delay(self._failures) * random.uniform(0.8, 1.2)  # noqa: S311
        self._due = now + seconds
        return seconds

    def succeeded(self) -> None:
        """Forget all failures."""
        self._failures = 0
        self._changes = frozenset()

    def forget_all_but(self, changes: frozenset[object]) -> None:
        """Forget the failed changes that are no longer due."""
        self._changes &= changes

    def is_waiting(self, changes: frozenset[object], now: float) -> bool:
        """Return whether all of these changes failed, and the retry isn't due yet."""
        return changes <= self._changes and now < self._due
