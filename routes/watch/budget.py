"""How many routes a watcher may still delete in this hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Final

from routes.planning.removals import Allowance, allowed

_HOUR: Final = 3600.0


class RemovalBudget:
    """`maxRemovals` of the most routes that the stack had within the last hour.

    A limit for each update alone would be none: a list that shrinks slowly takes a few
    routes in each of many updates. Times are in seconds, of any clock that only grows.
    """

    def __init__(self) -> None:
        self._routes: frozenset[str] = frozenset()
        self._has_updated = False
        self._counts: deque[tuple[float, int]] = deque()
        """When the state had so many routes last; each count is below the one before,
        so that the first of the last hour is the highest."""
        self._removals: deque[tuple[float, int]] = deque()

    def saw(self, routes: Collection[str], now: float) -> None:
        """Record the routes of the state, and what the watcher's update took from it.

        Args:
            routes: import ids, at a moment when no update is pending.
            now: the time at which the state had them.
        """
        if self._has_updated and (removed := self._routes.difference(routes)):
            self._removals.append((now, len(removed)))
        self._has_updated = False
        self._routes = frozenset(routes)
        while self._counts and self._counts[-1][1] <= len(routes):
            self._counts.pop()
        self._counts.append((now, len(routes)))

    def updated(self) -> None:
        """Count as the watcher's what the state lacks when it is seen again."""
        self._has_updated = True

    def allowance(self, limit: str, now: float) -> Allowance:
        """Return what is left of this hour.

        Args:
            limit: `maxRemovals`, a number or a percentage.
            now: as for `saw`, which came before.
        """
        for times in (self._counts, self._removals):
            while times and times[0][0] <= now - _HOUR:
                times.popleft()
        highest = self._counts[0][1] if self._counts else 0
        may = allowed(limit, of=highest)
        removed = sum(count for _, count in self._removals)
        if limit.endswith("%"):
            limit = f"{limit} of the {highest} routes an hour: {may}"
        else:
            limit = f"{limit} routes an hour"
        left = max(may - removed, 0)
        return Allowance(
            most=left,
            reason=f"it allows {limit}; the watcher deleted {removed} in the last hour,"
            f" so {left} more may be deleted, not",
        )
