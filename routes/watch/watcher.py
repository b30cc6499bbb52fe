"""Look, judge, act, and tell what changed since the last look."""

from __future__ import annotations

import gc
import logging
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from routes import memory, settings
from routes.aws.access import Access, load_access
from routes.aws.clients import Clients, connect, region_of
from routes.aws.discovery import discover
from routes.engine import state
from routes.engine.state import Stack
from routes.engine.updates import LockedError, UpdateError, Updates
from routes.errors import Finding, LookupFailedError, SettingsError
from routes.model import selected
from routes.watch.judgement import Verdict, check, judge

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
        self._files: object = None
        self._held: Stack | None = None
        self._clients: tuple[Access, float, Clients] | None = None
        self._seen: tuple[memory.Reading, ...] = ()
        self._told: frozenset[Finding] = frozenset()
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
        check(settings.load(self._stack().config, self._name))

    def run(self) -> None:
        """Look again and again; a change is followed by another look at once."""
        _LOG.info("Watching stack %s, a look every %g s.", self._name, self._interval)
        before = outcome = Outcome.QUIET
        while not self._stops:
            began = time.monotonic()
            before, outcome = outcome, self._turn()
            wait = self._interval - (time.monotonic() - began)
            if outcome is Outcome.BLIND:
                wait = self._back_off(self._failed_looks)
            if outcome is Outcome.CHANGED and before is not Outcome.CHANGED:
                wait = 0
            with suppress(Empty):
                self._wake.get(timeout=max(wait, 0))
        _LOG.info("Stopped watching stack %s.", self._name)

    def run_once(self) -> Outcome:
        """Look, and do what has to be done, until there is nothing more."""
        for _ in range(_ROUNDS):
            outcome = self._turn()
            if outcome is not Outcome.CHANGED or self._stops:
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

    def _turn(self) -> Outcome:
        try:
            with self._gauges.look():
                verdict = self._look()
        except LookupFailedError as error:
            self._clients = self._held = None
            self._failed_looks += 1
            self._quiet = ""
            _LOG.error("%s", error)
            return Outcome.BLIND
        self._failed_looks = 0
        self._gauges.show(verdict)
        self._tell(verdict)
        if verdict.refusal:
            return Outcome.REFUSED
        if verdict.is_quiet:
            self._lock = ""
            self._forget_failures()
            if self._quiet != str(verdict):
                _LOG.info("%s.", verdict)
            self._quiet = str(verdict)
            return Outcome.QUIET
        if self._stops:
            return Outcome.STOPPED
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
        known = self._held if self._files == self._configuration() else None
        held = known or self._stack()
        try:
            wanted = settings.load(held.config, held.name)
            access = load_access(held.config, held.name)
        except SettingsError as error:
            return Verdict(refusal=error)
        discovery = discover(
            self._connected(access),
            wanted,
            (*held.readings, *self._seen),
            held.owners,
        )
        workers = selected(discovery.workers)
        self._seen = memory.readings(workers, wanted, discovery.unreadable)
        verdict = judge(wanted, discovery, held)
        if known and not verdict.is_quiet:
            verdict = judge(wanted, discovery, self._stack())
        return verdict

    def _act(self, verdict: Verdict) -> Outcome:
        self._held = None
        self._quiet = ""
        interrupted = verdict.interrupted
        if not self._lock:
            begun = "An update was interrupted, or still runs"
            _LOG.info("%s: %s.", begun if interrupted else "Updating", verdict)
        began = time.monotonic()
        try:
            with self._gauges.update():
                if interrupted:
                    self._updates.recover(verdict.taken)
                    done = "the state is what EC2 holds"
                else:
                    done = _counted(self._updates.up(refresh=bool(verdict.drifted)))
        except LockedError as error:
            if self._lock != str(error):
                _LOG.warning("%s Waiting for it to end.", error)
            self._lock = str(error)
            return Outcome.LOCKED
        except UpdateError as error:
            self._lock = ""
            _LOG.error("The update failed.\n%s", error)
            self._failed_changes |= verdict.changes
            self._failed_updates += 1
            wait = self._back_off(self._failed_updates)
            self._due_again = time.monotonic() + wait
            return Outcome.FAILED
        self._lock = ""
        if not interrupted:
            self._forget_failures()
        _LOG.info("Updated in %.1f s: %s.", time.monotonic() - began, done)
        return Outcome.CHANGED

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
        """Tell a refusal and each warning when it appears, and when it goes."""
        refusal = str(verdict.refusal or "")
        if refusal and refusal != self._refusal:
            _LOG.error("%s", refusal)
        if self._refusal and not refusal:
            _LOG.info("No longer refused.")
        self._refusal = refusal
        if refusal or verdict.interrupted:
            return
        now = frozenset(verdict.warnings)
        for warning in sorted(now - self._told):
            _LOG.warning("%s", warning)
        for where in sorted({warning.where for warning in self._told - now}):
            _LOG.info("No longer to warn of: %s.", where)
        self._told = now

    def _stack(self) -> Stack:
        """Read the stack, and mend what a killed update can leave beside its state."""
        self._files = self._configuration()
        try:
            self._held = state.read(self._name, self._updates.cli)
        except LookupFailedError:
            if not self._updates.mend_checkpoint():
                raise
            _LOG.warning("Removed the empty file that a kill left beside the state.")
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


def _counted(changes: Mapping[str, int]) -> str:
    """Return what an update changed, in Pulumi's words."""
    changed = {what: count for what, count in sorted(changes.items()) if what != "same"}
    words = [f"{count} {what}" for what, count in changed.items()]
    return ", ".join(words) or "nothing was left to do"
