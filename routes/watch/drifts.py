"""Which drifted routes a watcher repairs now, and which of them wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_SETTLING: Final = timedelta(minutes=1)
"""How long an answer of EC2 may be older than a change. EC2 names no bound: the result
of a command "might not be immediately visible to all subsequent commands you run" (EC2
Developer Guide, "Eventual consistency in the Amazon EC2 API")."""
_AGREEING: Final = timedelta(seconds=3)
"""How far apart two reads are that have to agree: "Run the Describe command repeatedly,
starting with a couple of seconds of wait time" (the same page)."""
_FIRST_WAIT: Final = 10.0
_LONGEST_WAIT: Final = 300.0
_QUIET: Final = 600.0
"""Seconds: before the second repair, before any, and after which it is the first."""


@dataclass
class _Reads:
    """What the tables had, since a change, where that was the route's target."""

    changed: datetime
    was_in_place: bool
    target: str | None
    """Where the route has led since `since` without a break; None: as it should."""
    since: datetime


class DriftFilter:
    """Tells drift from an answer of EC2 that is older than the stack's own change."""

    def __init__(self) -> None:
        self._reads: dict[str, _Reads] = {}

    def confirmed(
        self,
        drifted: Mapping[str, str],
        changed: Mapping[str, datetime],
        read_at: datetime,
    ) -> frozenset[str]:
        """Return the routes that have drifted for sure.

        One that the stack changed within the last minute has if its table had it in
        place since then, and two reads agree on what it has instead.

        Args:
            drifted: import id of each route that the tables do not have as the state
                does, and where it leads.
            changed: import id of each route in the state, and when the stack changed
                it last. A time within the next minute is another clock's.
            read_at: when the tables were asked for.
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
            elif reads.was_in_place and read_at - reads.since >= _AGREEING:
                confirmed.add(route)
        return frozenset(confirmed)

    def _since(self, route: str, changed: datetime) -> _Reads:
        known = self._reads.get(route)
        if known and known.changed == changed:
            return known
        return _Reads(changed, was_in_place=False, target=None, since=changed)


@dataclass
class _Repairs:
    """How often a route was repaired."""

    count: int
    last: float
    """When it was repaired, or seen to have drifted, last."""
    due: float | None = None
    """When it is repaired again; None while it is in place."""


class RepairBackoff:
    """Slows down where somebody else changes a route again and again.

    Times are in seconds, of any clock that only grows.
    """

    def __init__(self) -> None:
        self.started: tuple[str, ...] = ()
        """The routes that wait for the first time."""
        self._repairs: dict[str, _Repairs] = {}

    def waiting(self, drifted: Iterable[str], now: float) -> dict[str, int]:
        """Return the drifted routes that wait, and how often each was repaired.

        The first repair is due at once, the second 10 s after the route has drifted
        again, each further one after twice as long, up to 300 s. Ten minutes in place
        make the next one the first again.
        """
        self._repairs = {
            route: each
            for route, each in self._repairs.items()
            if now - each.last < _QUIET
        }
        waiting = {}
        started = []
        for route in drifted:
            if repairs := self._repairs.get(route):
                repairs.last = now
                if repairs.due is None:
                    wait = _FIRST_WAIT * 2.0 ** min(repairs.count - 1, 10)
                    repairs.due = now + min(wait, _LONGEST_WAIT)
                    if repairs.count == 1:
                        started.append(route)
                if now < repairs.due:
                    waiting[route] = repairs.count
        self.started = tuple(started)
        return waiting

    def repaired(self, routes: Iterable[str], now: float) -> None:
        """Record that an update has put these routes back."""
        for route in routes:
            before = self._repairs.get(route)
            self._repairs[route] = _Repairs(before.count + 1 if before else 1, now)
