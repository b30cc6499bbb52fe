"""Which drifted routes a watcher repairs now, and which it defers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from routes.model import RouteKey
from routes.watch.backoff import delay

_SETTLING: Final = timedelta(minutes=1)
"""How long EC2's answers may be older than a change. EC2 documents no limit: the result
of a command "might not be immediately visible to all subsequent commands you run" (EC2
Developer Guide, "Eventual consistency in the Amazon EC2 API")."""
AGREEING: Final = timedelta(seconds=3)
"""The time between two reads that have to agree: "Run the Describe command repeatedly,
starting with a couple of seconds of wait time" (the same page)."""
_QUIET: Final = 600.0
"""Seconds in place after which a repair counts as the first again."""


@dataclass
class _Observations:
    """The targets that a table has shown since the stack changed a route."""

    changed: datetime
    was_in_place: bool
    target: str | None
    """The wrong target that it has shown since `since`; None for the right one."""
    since: datetime


class DriftFilter:
    """Distinguishes drift from answers older than the stack's own change."""

    def __init__(self) -> None:
        self._reads: dict[RouteKey, _Observations] = {}

    def confirmed(
        self,
        drifted: Mapping[RouteKey, str],
        changed: Mapping[RouteKey, datetime],
        read_at: datetime,
    ) -> frozenset[RouteKey]:
        """Return the routes that have certainly drifted.

        A route that the stack changed within the last minute has drifted if its table
        had it in place since then, and two reads agree on its target now.

        Args:
            drifted: the routes whose tables differ from the state, with their targets.
            changed: when the stack changed each managed route last. A time within the
                next minute comes from another machine's clock.
            read_at: when the tables were read.
        """
        self._reads = {
            route: self._since(route, when)
            for route, when in changed.items()
            if abs(read_at - when) < _SETTLING
        }
        confirmed = drifted.keys() - self._reads.keys()
        for route, reads in self._reads.items():
            target = drifted.get(route)
            if target is None:
                reads.was_in_place |= read_at > reads.changed
            if target is None or target != reads.target:
                reads.target, reads.since = target, read_at
            elif reads.was_in_place and read_at - reads.since >= AGREEING:
                confirmed.add(route)
        return frozenset(confirmed)

    def _since(self, route: RouteKey, changed: datetime) -> _Observations:
        known = self._reads.get(route)
        if known and known.changed == changed:
            return known
        return _Observations(changed, was_in_place=False, target=None, since=changed)


@dataclass
class _Repairs:
    """How often a route was repaired."""

    count: int
    last: float
    """When it was last repaired, or seen drifted."""
    due: float | None = None
    """When it is repaired again; None while it is in place."""


class RepairBackoff:
    """Slows down if somebody else changes a route again and again.

    Times are in seconds, of any monotonic clock.
    """

    def __init__(self) -> None:
        self.newly_deferred: tuple[RouteKey, ...] = ()
        """The routes that are deferred for the first time."""
        self._repairs: dict[RouteKey, _Repairs] = {}

    def deferred(self, drifted: Iterable[RouteKey], now: float) -> dict[RouteKey, int]:
        """Return the drifted routes that are deferred, and how often each was repaired.

        The first repair is due at once, the second 10 s after the route drifted again,
        each further one after twice as long, up to 300 s. After ten minutes in place
        the next one counts as the first again.
        """
        self._repairs = {
            route: each
            for route, each in self._repairs.items()
            if now - each.last < _QUIET
        }
        deferred = {}
        newly_deferred = []
        for route in drifted:
            if repairs := self._repairs.get(route):
                repairs.last = now
                if repairs.due is None:
                    repairs.due = now + delay(repairs.count)
                    if repairs.count == 1:
                        newly_deferred.append(route)
                if now < repairs.due:
                    deferred[route] = repairs.count
        self.newly_deferred = tuple(newly_deferred)
        return deferred

    def repaired(self, routes: Iterable[RouteKey], now: float) -> None:
        """Record that an update has repaired these routes."""
        for route in routes:
            before = self._repairs.get(route)
            self._repairs[route] = _Repairs(before.count + 1 if before else 1, now)
