"""Deadlines for reads and updates that hang."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final, TypeVar

from routes import commands
from routes.errors import Finding, LookupFailedError

READING: Final = 180.0
"""Seconds for all reads of one reconciliation. The longest expected one is the first to
read the user data of 1,000 workers (a route table has no more routes): 45 s at the 100
requests at once and 20 a second that EC2 grants (EC2 Developer Guide, "Request
throttling"). After four times as long, something hangs."""
HANGING: Final = 900.0
"""Seconds after which an update counts as hanging."""
_AFTER_STOP: Final = 60.0
"""Seconds for the running update after the watcher was stopped."""
_INTERRUPT_AGAIN: Final = 30.0
"""Seconds between interrupts of an update: after the first one the CLI completes the
changes in progress, after the second it ends at once."""
_LOG: Final = logging.getLogger(__name__)

Read = TypeVar("Read")


class StoppedError(Exception):
    """A read was abandoned because the watcher stops."""


class Reads:
    """Runs one read at a time in a thread, and abandons it at its deadline.

    A thread can't be ended from outside. The next read begins when an abandoned one has
    ended, so there is never more than one.
    """

    def __init__(self, stack: str, abandon: Callable[[], None]) -> None:
        """Set up without a read.

        Args:
            stack: its name.
            abandon: called for each abandoned read, to end it sooner.
        """
        self._stack = stack
        self._abandon = abandon
        self._events: SimpleQueue[None] = SimpleQueue()
        self._is_stopped = False
        self._result: Future[Any] | None = None
        self._end = 0.0

    @property
    def is_hanging(self) -> bool:
        """Whether an abandoned read is still running."""
        return bool(self._result and not self._result.done())

    def begin(self) -> None:
        """Start the deadline of one reconciliation."""
        self._end = time.monotonic() + READING

    def run(self, source: str, read: Callable[[], Read]) -> Read:
        """Run a read, and return its result.

        Args:
            source: the name of the source, for the error.
            read: called in a thread.

        Raises:
            LookupFailedError: it took too long.
            StoppedError: the watcher stops.
        """
        self._wait(source)
        result = self._result = Future[Read]()

        def work() -> None:
            try:
                result.set_result(read())
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                result.set_exception(error)
            self._events.put(None)

        Thread(target=work, daemon=True).start()
        self._wait(source)
        return result.result()

    def stop(self) -> None:
        """Abandon the running read; a signal may call this at any moment."""
        self._is_stopped = True
        self._events.put(None)

    def _wait(self, source: str) -> None:
        while self.is_hanging:
            left = self._end - time.monotonic()
            if self._is_stopped or left <= 0:
                self._abandon()
            if self._is_stopped:
                raise StoppedError
            if left <= 0:
                raise LookupFailedError(str(self._overdue(source)))
            with suppress(Empty):
                self._events.get(timeout=left)

    def _overdue(self, source: str) -> Finding:
        return Finding(
            resource=source,
            problem=f"it didn't answer within {READING:g} s. It is read again once the"
            " hanging calls have ended.",
            hint="Check what this machine can reach:",
            command=commands.shell_command(
                "python", "-m", "routes", "doctor", "--stack", self._stack
            ),
        )


class UpdateGuard:
    """Interrupts a hanging update."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        """Set up without an update.

        Args:
            interrupt: asks the running update to end; called again until it does.
        """
        self._interrupt = interrupt
        self._events: SimpleQueue[None] = SimpleQueue()
        self._is_stopped = False

    def stop(self) -> None:
        """Shorten the deadline; a signal may call this at any moment."""
        self._is_stopped = True
        self._events.put(None)

    @contextmanager
    def update(self) -> Iterator[None]:
        """Guard an update."""
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
        is_shortened = False
        while not is_over.is_set():
            now = time.monotonic()
            if self._is_stopped and not is_shortened:
                is_shortened = True
                due = min(due, now + _AFTER_STOP)
            if now >= due:
                _LOG.warning(
                    "The update hangs; interrupting it after %.0f s.", now - began
                )
                self._interrupt()
                due = now + _INTERRUPT_AGAIN
            with suppress(Empty):
                self._events.get(timeout=due - now)
