"""When a watcher may delete routes, and how many within the hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from routes.model import RouteKey
from routes.planning.removals import Allowance, allowed
from routes.watch.drift import AGREEING

_HOUR: Final = 3600.0


class RemovalDelay:
    """Lets a deletion that nothing else waits for be seen twice.

    It isn't urgent, unlike a new route. Meanwhile the successor of a terminated worker
    may take its pod CIDR: one ReplaceRoute then, without a moment without the route.
    """

    def __init__(self) -> None:
        self._since: dict[RouteKey, datetime] = {}

    def is_over(self, removed: Iterable[RouteKey], read_at: datetime) -> bool:
        """Return whether an earlier poll would have deleted one of them as well.

        Args:
            removed: the routes that an update would delete.
            read_at: when EC2 was read.
        """
        self._since = {key: self._since.get(key, read_at) for key in removed}
        return any(read_at - since >= AGREEING for since in self._since.values())


class RemovalBudget:
    """Applies `maxRemovals` to an hour and the highest number of routes in it.

    A limit per update wouldn't be enough: a list that shrinks slowly would delete a few
    routes in each of many updates. Times are in seconds, of any monotonic clock.
    """

    def __init__(self) -> None:
        self._routes: frozenset[RouteKey] = frozenset()
        self._has_updated = False
        self._counts: deque[tuple[float, int]] = deque()
        """When the state last had this number of routes; each count is lower than the
        one before, so the first one within the hour is the highest."""
        self._removals: deque[tuple[float, int]] = deque()

    def record(self, routes: Collection[RouteKey], now: float) -> None:
        """Record the managed routes, and how many the watcher's update deleted.

        Args:
            routes: the managed ones, while no update is pending.
            now: when the state was read.
        """
        if self._has_updated and (removed := self._routes.difference(routes)):
            self._removals.append((now, len(removed)))
        self._has_updated = False
        self._routes = frozenset(routes)
        while self._counts and self._counts[-1][1] <= len(routes):
            self._counts.pop()
        self._counts.append((now, len(routes)))

    def updated(self) -> None:
        """Count routes that the next state lacks as the watcher's deletions."""
        self._has_updated = True

    def allowance(self, limit: str, now: float) -> Allowance:
        """Return what is left of the hour's limit.

        Args:
            limit: `maxRemovals`, a number or a percentage.
            now: the time.
        """
        for times in (self._counts, self._removals):
            while times and times[0][0] <= now - _HOUR:
                times.popleft()
        highest = self._counts[0][1] if self._counts else 0
        most = allowed(limit, of=highest)
        removed = sum(count for _, count in self._removals)
        if limit.endswith("%"):
            limit = f"{limit} of the {highest} routes an hour: {most}"
        else:
            limit = f"{limit} routes an hour"
        left = max(most - removed, 0)
        return Allowance(
            limit=left,
            reason=f"it allows {limit}; the watcher deleted {removed} in the last hour,"
            f" so {left} more may be deleted, not",
        )
