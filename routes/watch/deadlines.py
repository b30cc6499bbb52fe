"""Reads and updates that end in time, whatever hangs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final, TypeVar

from routes import remedies
from routes.errors import Finding, LookupFailedError

READING: Final = 180.0
"""Seconds for all reads of one reconciliation. The longest that is to be expected reads
the user data of 1,000 workers, as many as a route table has routes, for the first time:
45 s at the 100 requests at once and 20 a second that EC2 grants (EC2 Developer Guide,
"Request throttling"). Beyond three times as long something hangs."""
HANGING: Final = 900.0
"""Seconds after which an update is taken to hang."""
_AFTER_STOP: Final = 60.0
"""Seconds that an update may take after the watcher was told to stop."""
_INSISTING: Final = 30.0
"""Seconds from one interrupt of an update to the next: the CLI ends after the changes
that it is at when it is interrupted once, and at once when it is interrupted again."""
_LOG: Final = logging.getLogger(__name__)

Read = TypeVar("Read")


class StoppedError(Exception):
    """A read was given up because the watcher is to stop."""


class Reads:
    """Runs one read at a time, each in a thread, and gives it up in time.

    A thread cannot be ended from outside. One whose read was given up is waited for
    before the next read begins, so there is never more than one.
    """

    def __init__(self, stack: str, give_up: Callable[[], None]) -> None:
        """Run nothing yet.

        Args:
            stack: its name.
            give_up: called for each read that is given up, so that it may end sooner.
        """
        self._stack = stack
        self._give_up = give_up
        self._events: SimpleQueue[None] = SimpleQueue()
        self._is_stopped = False
        self._result: Future[Any] | None = None
        self._end = 0.0

    @property
    def is_hanging(self) -> bool:
        """Whether a read that was given up still runs."""
        return bool(self._result and not self._result.done())

    def begin(self) -> None:
        """Give the reads of one reconciliation their time."""
        self._end = time.monotonic() + READING

    def run(self, what: str, read: Callable[[], Read]) -> Read:
        """Return what a read returns.

        Args:
            what: names who is asked, in the error.
            read: is called in a thread of its own.

        Raises:
            LookupFailedError: it took too long.
            StoppedError: the watcher is to stop.
        """
        self._wait(what)
        result = self._result = Future[Read]()

        def work() -> None:
            try:
                result.set_result(read())
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                result.set_exception(error)
            self._events.put(None)

        Thread(target=work, daemon=True).start()
        self._wait(what)
        return result.result()

    def stop(self) -> None:
        """Give up the read that runs; a signal may call this at any moment."""
        self._is_stopped = True
        self._events.put(None)

    def _wait(self, what: str) -> None:
        while self.is_hanging:
            left = self._end - time.monotonic()
            if self._is_stopped or left <= 0:
                self._give_up()
            if self._is_stopped:
                raise StoppedError
            if left <= 0:
                raise LookupFailedError(str(self._overdue(what)))
            with suppress(Empty):
                self._events.get(timeout=left)

    def _overdue(self, what: str) -> Finding:
        return Finding(
            where=what,
            problem=f"expected an answer within {READING:g} s, found none. It is asked"
            " again once the calls that hang have ended.",
            remedy="See what this machine reaches:",
            command=remedies.line(
                "python", "-m", "routes", "doctor", "--stack", self._stack
            ),
        )


class UpdateGuard:
    """Interrupts an update that hangs."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        """Watch nothing yet.

        Args:
            interrupt: asks the update that runs to end; called again until it does.
        """
        self._interrupt = interrupt
        self._events: SimpleQueue[None] = SimpleQueue()
        self._is_stopped = False

    def stop(self) -> None:
        """Leave less time to what runs; a signal may call this at any moment."""
        self._is_stopped = True
        self._events.put(None)

    @contextmanager
    def update(self) -> Iterator[None]:
        """Watch over an update."""
        is_over = Event()
        guard = Thread(target=self._watch, args=[is_over], daemon=True)
        guard.start()
        try:
            yield
        finally:
            is_over.set()
            self._events.put(None)
            guard.join()

    def _watch(self, is_over: Event) -> None:
        began = time.monotonic()
        due = began + HANGING
        is_hurried = False
        while not is_over.is_set():
            now = time.monotonic()
            if self._is_stopped and not is_hurried:
                is_hurried = True
                due = min(due, now + _AFTER_STOP)
            if now >= due:
                _LOG.warning(
                    "The update hangs: interrupting it after %.0f s.", now - began
                )
                self._interrupt()
                due = now + _INSISTING
            with suppress(Empty):
                self._events.get(timeout=due - now)
