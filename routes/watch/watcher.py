"""Reconcile: poll, compare, update, and log what changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, auto
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from routes import cache, commands, settings
from routes.aws.access import load_access
from routes.aws.discovery import discover
from routes.engine import state
from routes.engine.state import Stack
from routes.engine.updates import LockedError, UpdateError, Updates
from routes.errors import LookupFailedError, SettingsError
from routes.model import Discovery, RouteKey, selected
from routes.planning.removals import Allowance
from routes.settings import Settings
from routes.watch.backoff import Retries
from routes.watch.budget import RemovalBudget, RemovalDelay
from routes.watch.connection import Connection, StackCache
from routes.watch.deadlines import Reads, StoppedError, UpdateGuard
from routes.watch.destroyed import DestroyDetector
from routes.watch.diff import Diff, check_settings, compare, describe
from routes.watch.drift import DriftFilter, RepairBackoff
from routes.watch.nodes import NodeWatch
from routes.watch.reporter import ChangeReporter
from routes.watch.unreadable import UserDataRetries

if TYPE_CHECKING:
    from routes.watch.telemetry import Telemetry

_ROUNDS: Final = 5
"""The maximum number of updates in a single run."""
_RECHECK: Final = 10.0
"""The maximum of seconds for which a single run waits for what is deferred."""
_SETTLING: Final = 0.2
"""Seconds without a changed Node after which a group of them is complete."""
_GATHERING: Final = 100
"""The maximum of Nodes for which one reconciliation waits."""
_LOG: Final = logging.getLogger(__name__)


class Outcome(Enum):
    """The outcome of a reconciliation."""

    IN_SYNC = auto()
    UPDATED = auto()
    REFUSED = auto()
    READ_FAILED = auto()
    """EC2 or the stack could not be read."""
    FAILED = auto()
    BACKING_OFF = auto()
    """The same changes failed before, and the retry isn't due yet."""
    DEFERRED = auto()
    """Nothing but deletions that one poll has seen, or drift that isn't certain or that
    somebody causes again and again."""
    DESTROYED = auto()
    LOCKED = auto()
    STOPPED = auto()


class Watcher:
    """Keeps one stack's routes in place until it is stopped."""

    def __init__(self, name: str, interval: float, telemetry: Telemetry) -> None:
        """Set up without a read.

        Args:
            name: of the stack.
            interval: seconds from one poll to the next.
            telemetry: counts polls and updates.
        """
        self._name = name
        self._interval = interval
        self._telemetry = telemetry
        self._stops = 0
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._updates = Updates(name)
        self._reads = Reads(name, self._updates.kill)
        self._guard = UpdateGuard(self._updates.interrupt)
        self._stack = StackCache(name, self._updates)
        self._connection = Connection()
        self._nodes: NodeWatch | None = None
        self._cached: tuple[cache.CachedPodCidrs, ...] = ()
        self._unreadable = UserDataRetries()
        self._budget = RemovalBudget()
        self._allowance: Allowance | None = None
        self._removals = RemovalDelay()
        self._drift = DriftFilter()
        self._repairs = RepairBackoff()
        self._destruction = DestroyDetector()
        self._attempted: dict[RouteKey, str] = {}
        self._failed_reads = Retries()
        self._failed_updates = Retries()
        self._reporter = ChangeReporter()

    def check(self) -> None:
        """Refuse a stack that isn't configured to be watched.

        Raises:
            RoutesError: the stack can't be read, or has other settings.
        """
        self._reads.begin()
        with suppress(StoppedError):
            stack = self._reads.run("the state", self._stack.read)
            check_settings(settings.load(stack.config, self._name))

    @property
    def is_hanging(self) -> bool:
        """Whether a read that was abandoned is still running."""
        return self._reads.is_hanging

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Reconcile in a loop; after a change, reconcile again at once.

        Args:
            beat: called before each reconciliation.
        """
        _LOG.info("Watching stack %s, polling every %g s.", self._name, self._interval)
        self._nodes = NodeWatch(lambda: self._wake.put(None))
        before = outcome = Outcome.IN_SYNC
        while not self._stops:
            began = time.monotonic()
            beat()
            before, outcome = outcome, self._reconcile()
            wait = self._interval - (time.monotonic() - began)
            if outcome is Outcome.READ_FAILED:
                wait = self._retry_in(self._failed_reads.failed(time.monotonic()))
            if outcome is Outcome.UPDATED and before is not Outcome.UPDATED:
                wait = 0
            self._sleep(wait)
        _LOG.info("Stopped watching stack %s.", self._name)

    def run_once(self) -> Outcome:
        """Reconcile until nothing has to change."""
        outcome = Outcome.STOPPED
        rounds = 0
        while rounds < _ROUNDS and not self._stops:
            outcome = self._reconcile()
            if outcome is Outcome.DEFERRED:
                self._sleep(min(self._interval, _RECHECK))
            elif outcome is Outcome.UPDATED:
                rounds += 1
            else:
                break
        return outcome

    def stop(self) -> None:
        """Stop after the running update; the second time, interrupt that as well.

        A signal may call it at any moment, hence SimpleQueue: its `put` is reentrant.
        """
        if self._stops:
            self._updates.interrupt()
        self._stops += 1
        self._wake.put(None)
        self._reads.stop()
        self._guard.stop()

    def _sleep(self, seconds: float) -> None:
        """Sleep until then, until `stop`, or until Nodes have changed."""
        with suppress(Empty):
            self._wake.get(timeout=max(seconds, 0))
            for _ in range(_GATHERING):
                if not self._stops:
                    self._wake.get(timeout=_SETTLING)

    def _retry_in(self, seconds: float) -> float:
        if not self._stops:
            _LOG.info("Trying again in %.0f s.", seconds)
        return seconds

    def _reconcile(self) -> Outcome:
        try:
            with self._telemetry.reconcile():
                diff = self._poll()
        except StoppedError:
            return Outcome.STOPPED
        except LookupFailedError as error:
            self._connection.close()
            self._stack.forget()
            self._reporter.out_of_sync()
            _LOG.error("%s", error)
            return Outcome.READ_FAILED
        self._failed_reads.succeeded()
        self._telemetry.show(diff)
        return self._respond(diff)

    def _respond(self, diff: Diff) -> Outcome:  # noqa: PLR0911 - one per outcome
        """Update the stack if that is due."""
        if diff.is_destroyed:
            self._reporter.out_of_sync()
            return Outcome.DESTROYED
        self._reporter.findings(diff)
        if diff.refusal:
            return Outcome.REFUSED
        if not diff.changes and not diff.deferred:
            self._failed_updates.succeeded()
            self._reporter.in_sync(diff)
            return Outcome.REFUSED if diff.faults else Outcome.IN_SYNC
        if self._stops:
            return Outcome.STOPPED
        if not diff.changes:
            self._reporter.out_of_sync()
            return Outcome.DEFERRED
        if not diff.pending:  # with those, the changes are not known
            self._failed_updates.forget_all_but(diff.changes)
        if self._failed_updates.is_waiting(diff.changes, time.monotonic()):
            return Outcome.BACKING_OFF
        return self._update(diff)

    def _poll(self) -> Diff:
        """Read EC2, and the stack unless it is cached, and compare.

        An update reads both by itself, so a change in between does no harm. A cached
        stack is read again before anything is changed.
        """
        self._reads.begin()
        current = None if self._destruction.is_complete else self._stack.current
        stack = current or self._reads.run("the state", self._stack.read)
        if self._is_destroyed(stack):
            return Diff(is_destroyed=True)
        try:
            configured = settings.load(stack.config, stack.name)
            access = load_access(stack.config, stack.name)
        except SettingsError as error:
            return Diff(refusal=error)
        read_at = datetime.now(UTC)
        cached = self._unreadable.known(self._cached, time.monotonic())
        discovery = self._reads.run(
            "EC2",
            lambda: discover(
                self._connection.open(access),
                configured,
                (*stack.cached, *cached),
                stack.owners,
                list_nodes=self._connection.list_nodes(configured),
                known=self._connection.known,
            ),
        )
        self._connection.known = discovery
        if self._nodes:
            self._nodes.follow(configured)
        workers = selected(discovery.workers)
        self._cached = cache.cacheable(workers, configured, discovery.unreadable)
        self._unreadable.record(self._cached, time.monotonic())
        diff = self._compare(configured, discovery, stack)
        if current and not diff.is_in_sync:
            stack = self._reads.run("the state", self._stack.read)
            if self._is_destroyed(stack):
                return Diff(is_destroyed=True)
            diff = self._compare(configured, discovery, stack)
        diff = self._with_certain_drift(diff, stack, read_at)
        return self._with_due_removals(diff, read_at)

    def _compare(
        self, configured: Settings, discovery: Discovery, stack: Stack
    ) -> Diff:
        now = time.monotonic()
        if not stack.pending:
            self._budget.record(stack.managed.keys(), now)
        self._allowance = self._budget.allowance(configured.max_removals, now)
        for key in self._attempted.keys() & stack.managed.keys():
            del self._attempted[key]
        return compare(configured, discovery, stack, self._allowance, self._attempted)

    def _is_destroyed(self, stack: Stack) -> bool:
        was_destroyed = self._destruction.is_complete
        if self._destruction.record(stack) and not was_destroyed:
            _LOG.warning(
                "Stack %s was destroyed. Nothing is changed until its next update: %s",
                stack.name,
                commands.pulumi(stack.name, "up"),
            )
        return self._destruction.is_complete

    def _with_certain_drift(self, diff: Diff, stack: Stack, read_at: datetime) -> Diff:
        """Defer drift that isn't certain, or that somebody causes again and again."""
        if diff.refusal or diff.pending:
            return diff
        drifted = dict(diff.drifted)
        confirmed = self._drift.confirmed(drifted, stack.changed, read_at)
        deferred = self._repairs.deferred(confirmed, time.monotonic())
        for key in self._repairs.newly_deferred:
            _LOG.warning(
                "Somebody keeps changing %s: repaired %d time(s) within 10 minutes, and"
                " changed again. Each further repair waits longer, up to 5 minutes.",
                describe(frozenset({(key, drifted[key])})),
                deferred[key],
            )
        due = frozenset(
            each
            for each in diff.drifted
            if each[0] in confirmed and each[0] not in deferred
        )
        return replace(diff, drifted=due, deferred=diff.drifted - due)

    def _with_due_removals(self, diff: Diff, read_at: datetime) -> Diff:
        """Defer deletions until a second poll, unless an update is due anyway."""
        if self._removals.is_over((key for key, _ in diff.removed), read_at):
            return diff
        others = diff.changes - diff.removed
        if others and not self._failed_updates.is_waiting(others, time.monotonic()):
            return diff
        return replace(diff, removed=frozenset(), deferred=diff.deferred | diff.removed)

    def _update(self, diff: Diff) -> Outcome:
        stack = self._stack.last
        self._stack.forget()
        self._reporter.updating(diff)
        began = time.monotonic()
        try:
            with self._guard.update(), self._telemetry.update():
                result = self._run_update(diff, stack)
        except LockedError as error:
            self._reporter.locked(str(error))
            return Outcome.LOCKED
        except UpdateError as error:
            self._reporter.unlocked()
            self._budget.updated()
            _LOG.error("The update failed.\n%s", error)
            self._attempted |= dict(diff.added)
            self._retry_in(self._failed_updates.failed(time.monotonic(), diff.changes))
            return Outcome.FAILED
        self._reporter.unlocked()
        self._budget.updated()
        if not diff.is_recovery:
            self._repairs.repaired((key for key, _ in diff.drifted), time.monotonic())
            self._failed_updates.succeeded()
        _LOG.info("Updated in %.1f s: %s.", time.monotonic() - began, result)
        return Outcome.UPDATED

    def _run_update(self, diff: Diff, stack: Stack | None) -> str:
        """Complete an earlier update, or else run one; return what was done."""
        result = ""
        if diff.unrecorded:
            self._updates.import_routes(diff.import_file)
            result = f"{len(diff.unrecorded)} imported"
        if diff.pending:
            self._updates.recover()
            result = "the state now has what EC2 has"
        if diff.is_recovery:
            return result
        managed = stack.managed if stack else {}
        drifted = [managed[key].urn for key, _ in diff.drifted if key in managed]
        changes = self._updates.up(drifted, self._environment(stack))
        return _counted(changes, checks=len(diff.checked))

    def _environment(self, stack: Stack | None) -> dict[str, str]:
        """Return variables that pass the watcher's limits on to the program."""
        environment = {}
        if self._allowance:
            environment[commands.MAX_REMOVALS] = str(self._allowance.limit)
        if stack and stack.managed:
            environment[state.EXPECT_ROUTES] = "1"
        return environment


def _counted(changes: Mapping[str, int], checks: int) -> str:
    """Return the counts of an update's changes, in Pulumi's words."""
    changed = {what: count for what, count in sorted(changes.items()) if what != "same"}
    words = [f"{count} {what}" for what, count in changed.items()]
    if checks:
        words.append(f"{checks} source/destination check(s) turned off")
    return ", ".join(words) or "nothing was left to do"
