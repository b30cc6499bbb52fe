"""Look, judge, act, and tell what changed since the last look."""

from __future__ import annotations

import gc
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from routes import memory, remedies, settings
from routes.aws.access import Access, load_access
from routes.aws.clients import Clients, connect, region_of
from routes.aws.discovery import discover
from routes.engine import state
from routes.engine.state import Stack
from routes.engine.updates import LockedError, UpdateError, Updates
from routes.errors import Finding, LookupFailedError, SettingsError
from routes.model import Discovery, selected
from routes.planning.removals import Allowance
from routes.settings import Settings
from routes.watch.budget import RemovalBudget
from routes.watch.deadlines import Reads, StoppedError, UpdateGuard
from routes.watch.destroyed import Destruction
from routes.watch.drifts import DriftFilter, RepairBackoff
from routes.watch.judgement import Verdict, check, judge, named
from routes.watch.unreadable import Unreadable

if TYPE_CHECKING:
    from routes.watch.operation import Gauges

_FIRST_WAIT: Final = 10.0
_LONGEST_WAIT: Final = 300.0
"""Seconds after the first failure, and at most; doubled from one to the next."""
_RECONNECT: Final = 600.0
"""Seconds after which credentials are asked for anew; those of an assumed role last at
least "900 seconds (15 minutes)" (STS API Reference, "AssumeRole")."""
_ROUNDS: Final = 5
"""Looks of a single run: one for each change that it needs, and one to see no more."""
_LOG: Final = logging.getLogger(__name__)


class Outcome(Enum):
    """What a look came to."""

    QUIET = auto()
    CHANGED = auto()
    REFUSED = auto()
    BLIND = auto()
    """EC2 or the stack could not be read."""
    FAILED = auto()
    HELD_BACK = auto()
    """What is to be done failed a while ago, and is not due again yet."""
    DEFERRED = auto()
    """A route seems to have drifted right after a change, or drifts all the time."""
    DESTROYED = auto()
    LOCKED = auto()
    STOPPED = auto()


class Watcher:
    """Keeps one stack's routes in place until it is told to stop."""

    def __init__(self, name: str, interval: float, gauges: Gauges) -> None:
        """Read nothing yet.

        Args:
            name: of the stack.
            interval: seconds from one look to the next.
            gauges: where to count.
        """
        self._name = name
        self._interval = interval
        self._gauges = gauges
        self._stops = 0
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._updates = Updates(name)
        self._reads = Reads(name, self._updates.kill)
        self._guard = UpdateGuard(self._updates.interrupt)
        self._budget = RemovalBudget()
        self._allowance: Allowance | None = None
        self._filter = DriftFilter()
        self._repairs = RepairBackoff()
        self._destruction = Destruction()
        self._files: object = None
        self._held: Stack | None = None
        self._clients: tuple[Access, float, Clients] | None = None
        self._seen: tuple[memory.Reading, ...] = ()
        self._unreadable = Unreadable()
        self._told: frozenset[Finding] = frozenset()
        self._faults: frozenset[Finding] = frozenset()
        self._attempted: dict[str, str] = {}
        self._refusal = ""
        self._lock = ""
        self._quiet = ""
        self._failed_looks = 0
        self._failed_updates = 0
        self._failed_changes: frozenset[object] = frozenset()
        self._due_again = 0.0

    def check(self) -> None:
        """Refuse a stack that is not set up to be watched.

        Raises:
            RoutesError: the stack cannot be read, or has other settings.
        """
        self._reads.begin()
        with suppress(StoppedError):
            stack = self._reads.run("the state", self._stack)
            check(settings.load(stack.config, self._name))

    @property
    def is_hanging(self) -> bool:
        """Whether a read that was given up still runs."""
        return self._reads.is_hanging

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look again and again; a change is followed by another look at once.

        Args:
            beat: called before each look.
        """
        _LOG.info("Watching stack %s, a look every %g s.", self._name, self._interval)
        before = outcome = Outcome.QUIET
        while not self._stops:
            began = time.monotonic()
            beat()
            before, outcome = outcome, self._turn()
            wait = self._interval - (time.monotonic() - began)
            if outcome is Outcome.BLIND:
                wait = self._back_off(self._failed_looks)
            if outcome is Outcome.CHANGED and before is not Outcome.CHANGED:
                wait = 0
            self._sleep(wait)
        _LOG.info("Stopped watching stack %s.", self._name)

    def run_once(self) -> Outcome:
        """Look, and do what has to be done, until there is nothing more."""
        outcome = Outcome.STOPPED
        rounds = 0
        while rounds < _ROUNDS and not self._stops:
            outcome = self._turn()
            if outcome is Outcome.DEFERRED:
                self._sleep(self._interval)
            elif outcome is Outcome.CHANGED:
                rounds += 1
            else:
                break
        return outcome

    def stop(self) -> None:
        """Stop after what is being done; asked again, cut that short as well.

        A signal may call it at any moment: only a SimpleQueue's `put` is made for that.
        """
        if self._stops:
            self._updates.interrupt()
        self._stops += 1
        self._wake.put(None)
        self._reads.stop()
        self._guard.stop()

    def _sleep(self, seconds: float) -> None:
        with suppress(Empty):
            self._wake.get(timeout=max(seconds, 0))

    def _turn(self) -> Outcome:
        try:
            with self._gauges.look():
                verdict = self._look()
        except StoppedError:
            return Outcome.STOPPED
        except LookupFailedError as error:
            self._clients = self._held = None
            self._failed_looks += 1
            self._quiet = ""
            _LOG.error("%s", error)
            return Outcome.BLIND
        self._failed_looks = 0
        self._gauges.show(verdict)
        return self._respond(verdict)

    def _respond(self, verdict: Verdict) -> Outcome:
        if verdict.is_destroyed:
            self._quiet = ""
            return Outcome.DESTROYED
        self._tell(verdict)
        if verdict.refusal:
            return Outcome.REFUSED
        if verdict.changes or verdict.deferred:
            return self._pursue(verdict)
        self._lock = ""
        self._forget_failures()
        if self._quiet != str(verdict):
            _LOG.info("%s.", verdict)
        self._quiet = str(verdict)
        return Outcome.REFUSED if verdict.faults else Outcome.QUIET

    def _pursue(self, verdict: Verdict) -> Outcome:
        """Run an update if one is due."""
        if self._stops:
            return Outcome.STOPPED
        if not verdict.changes:
            self._quiet = ""
            return Outcome.DEFERRED
        if not verdict.interrupted:  # or they are not known
            self._failed_changes &= verdict.changes
        tried = verdict.changes <= self._failed_changes
        if tried and time.monotonic() < self._due_again:
            return Outcome.HELD_BACK
        return self._act(verdict)

    def _look(self) -> Verdict:
        """Read EC2, and the stack where what was read of it may no longer hold.

        An update reads both by itself, so nothing goes wrong if they change meanwhile.
        """
        self._reads.begin()
        known = self._held if self._files == self._configuration() else None
        if self._destruction.is_over:
            known = None
        held = known or self._reads.run("the state", self._stack)
        if self._is_destroyed(held):
            return Verdict(is_destroyed=True)
        try:
            wanted = settings.load(held.config, held.name)
            access = load_access(held.config, held.name)
        except SettingsError as error:
            return Verdict(refusal=error)
        read_at = datetime.now(UTC)
        seen = self._unreadable.known(self._seen, time.monotonic())
        discovery = self._reads.run(
            "EC2",
            lambda: discover(
                self._connected(access),
                wanted,
                (*held.readings, *seen),
                held.owners,
            ),
        )
        workers = selected(discovery.workers)
        self._seen = memory.readings(workers, wanted, discovery.unreadable)
        self._unreadable.saw(self._seen, time.monotonic())
        verdict = self._judge(wanted, discovery, held)
        if known and not verdict.is_quiet:
            held = self._reads.run("the state", self._stack)
            if self._is_destroyed(held):
                return Verdict(is_destroyed=True)
            verdict = self._judge(wanted, discovery, held)
        return self._deferring(verdict, held, read_at)

    def _judge(self, wanted: Settings, discovery: Discovery, held: Stack) -> Verdict:
        now = time.monotonic()
        if not held.pending:
            self._budget.saw(held.targets.keys(), now)
        self._allowance = self._budget.allowance(wanted.max_removals, now)
        for key in self._attempted.keys() & held.managed.keys():
            del self._attempted[key]
        return judge(wanted, discovery, held, self._allowance, self._attempted)

    def _is_destroyed(self, held: Stack) -> bool:
        was_over = self._destruction.is_over
        if self._destruction.saw(held) and not was_over:
            _LOG.warning(
                "Stack %s was destroyed. Nothing is done until it is updated again: %s",
                held.name,
                remedies.pulumi(held.name, "up"),
            )
        return self._destruction.is_over

    def _deferring(self, verdict: Verdict, held: Stack, read_at: datetime) -> Verdict:
        """Leave out drift that is not certain, or that comes again and again."""
        if verdict.refusal or verdict.interrupted:
            return verdict
        drifted = dict(verdict.drifted)
        confirmed = self._filter.confirmed(drifted, held.changed, read_at)
        waiting = self._repairs.waiting(confirmed, time.monotonic())
        for route in self._repairs.started:
            _LOG.warning(
                "Somebody keeps changing %s: repaired %d time(s) within 10 minutes, and"
                " changed again. Each further repair waits longer, up to 5 minutes.",
                named(frozenset({(route, drifted[route])})),
                waiting[route],
            )
        due = frozenset(
            each
            for each in verdict.drifted
            if each[0] in confirmed and each[0] not in waiting
        )
        return replace(verdict, drifted=due, deferred=verdict.drifted - due)

    def _act(self, verdict: Verdict) -> Outcome:
        environment = self._environment()
        managed = self._held.managed if self._held else {}
        drifted = [managed[key].urn for key, _ in verdict.drifted if key in managed]
        self._held = None
        self._quiet = ""
        interrupted = verdict.interrupted
        if not self._lock:
            begun = "An update was interrupted, or still runs"
            _LOG.info("%s: %s.", begun if interrupted else "Updating", verdict)
        began = time.monotonic()
        try:
            with self._guard.update(), self._gauges.update():
                if verdict.created:
                    self._updates.import_routes(verdict.taken)
                    done = f"{len(verdict.created)} imported"
                if interrupted:
                    self._updates.recover()
                    done = "the state is what EC2 holds"
                if not interrupted and not verdict.created:
                    done = _counted(self._updates.up(drifted, environment))
        except LockedError as error:
            if self._lock != str(error):
                _LOG.warning("%s", error)
            self._lock = str(error)
            return Outcome.LOCKED
        except UpdateError as error:
            self._lock = ""
            self._budget.updated()
            _LOG.error("The update failed.\n%s", error)
            self._failed_changes |= verdict.changes
            self._attempted |= dict(verdict.added)
            self._failed_updates += 1
            wait = self._back_off(self._failed_updates)
            self._due_again = time.monotonic() + wait
            return Outcome.FAILED
        self._lock = ""
        self._budget.updated()
        if not interrupted and not verdict.created:
            self._repairs.repaired(
                (route for route, _ in verdict.drifted), time.monotonic()
            )
            self._forget_failures()
        _LOG.info("Updated in %.1f s: %s.", time.monotonic() - began, done)
        return Outcome.CHANGED

    def _environment(self) -> dict[str, str]:
        """Return what has the program count and expect as this watcher does."""
        environment = {}
        if self._allowance:
            environment[remedies.REMOVALS_ONCE] = str(self._allowance.most)
        if self._held and self._held.targets:
            environment[state.EXPECT_ROUTES] = "1"
        return environment

    def _forget_failures(self) -> None:
        self._failed_updates = 0
        self._failed_changes = frozenset()

    def _back_off(self, failures: int) -> float:
        wait = min(_FIRST_WAIT * 2.0 ** min(failures - 1, 10), _LONGEST_WAIT)
        wait *= random.uniform(0.8, 1.2)  # noqa: S311 - so that many come apart
        if not self._stops:
            _LOG.info("Trying again in %.0f s.", wait)
        return wait

    def _tell(self, verdict: Verdict) -> None:
        """Report a refusal, each fault and each warning when it appears or clears."""
        refusal = str(verdict.refusal or "")
        if refusal and refusal != self._refusal:
            _LOG.error("%s", refusal)
        if self._refusal and not refusal:
            _LOG.info("No longer refused.")
        self._refusal = refusal
        if refusal or verdict.interrupted or verdict.created:
            return
        self._faults = _report(
            self._faults, verdict.faults, _LOG.error, "No longer held back"
        )
        self._told = _report(
            self._told, verdict.warnings, _LOG.warning, "No longer to warn of"
        )

    def _stack(self) -> Stack:
        """Read the stack; once more if its files were repaired, or just written.

        A backend of files is not whole for a moment while somebody's update writes.
        """
        self._files = self._configuration()
        try:
            self._held = state.read(self._name, self._updates.cli)
        except LookupFailedError:
            self._updates.repair_files()
            self._held = state.read(self._name, self._updates.cli)
        return self._held

    def _configuration(self) -> object:
        """Return what tells whether the project's or the stack's file was changed."""
        stack = self._name.rpartition("/")[2]
        files = [Path("Pulumi.yaml"), Path(f"Pulumi.{stack}.yaml")]
        return [each.stat().st_mtime_ns for each in files if each.exists()]

    def _connected(self, access: Access) -> Clients:
        now = time.monotonic()
        if self._clients:
            of, since, clients = self._clients
            if of == access and now - since < _RECONNECT:
                return clients
        self._clients = None
        gc.collect()  # a session of boto3 is a cycle of some ten megabytes
        clients = connect(access, region_of(access))
        self._clients = access, now, clients
        return clients


def _report(
    before: frozenset[Finding],
    now: Iterable[Finding],
    log: Callable[..., None],
    cleared: str,
) -> frozenset[Finding]:
    """Log findings that are new, and what those that cleared were about."""
    found = frozenset(now)
    for finding in sorted(found - before):
        log("%s", finding)
    for where in sorted({finding.where for finding in before - found}):
        _LOG.info("%s: %s.", cleared, where)
    return found


def _counted(changes: Mapping[str, int]) -> str:
    """Return what an update changed, in Pulumi's words."""
    changed = {what: count for what, count in sorted(changes.items()) if what != "same"}
    words = [f"{count} {what}" for what, count in changed.items()]
    return ", ".join(words) or "nothing was left to do"
