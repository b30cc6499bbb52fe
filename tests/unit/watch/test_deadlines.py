"""Hanging reads are abandoned, and hanging updates interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event, Timer

import pytest

from routes.errors import LookupFailedError
from routes.watch import deadlines
from routes.watch.deadlines import Reads, StoppedError, UpdateGuard


@pytest.fixture
def hung() -> Iterator[Event]:
    """The event that a hanging read waits for."""
    event = Event()
    yield event
    event.set()


def reads(abandon: Callable[[], None] = lambda: None) -> Reads:
    one = Reads("dev", abandon)
    one.begin()
    return one


def test_a_read_returns_its_result_or_raises_its_error() -> None:
    one = reads()

    assert one.run("EC2", lambda: 3) == 3
    with pytest.raises(LookupFailedError, match="denied"):
        one.run("EC2", denied)
    assert not one.is_hanging


def denied() -> None:
    raise LookupFailedError("denied")


def test_a_hanging_read_fails(hung: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "READING", 0.1)
    abandoned: list[None] = []
    one = reads(lambda: abandoned.append(None))

    with pytest.raises(LookupFailedError, match=r"EC2: it didn't answer within 0.1 s"):
        one.run("EC2", hung.wait)

    assert one.is_hanging
    assert len(abandoned) == 1


def test_hanging_reads_never_pile_up(
    hung: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "READING", 0.05)
    one = reads()
    started: list[None] = []

    def hang() -> None:
        started.append(None)
        hung.wait()

    for _ in range(5):
        one.begin()
        with pytest.raises(LookupFailedError):
            one.run("EC2", hang)
    assert len(started) == 1

    hung.set()
    one.begin()
    assert one.run("EC2", lambda: 3) == 3


def test_a_stop_ends_the_wait_at_once(hung: Event) -> None:
    one = reads()
    Timer(0.1, one.stop).start()
    began = time.monotonic()

    with pytest.raises(StoppedError):
        one.run("EC2", hung.wait)

    assert time.monotonic() - began < 5
    assert one.is_hanging


class Update:
    """Hangs until so many interrupts."""

    def __init__(self, times: int) -> None:
        self.interrupts: list[float] = []
        self._times = times
        self._is_over = Event()

    def interrupt(self) -> None:
        self.interrupts.append(time.monotonic())
        if len(self.interrupts) == self._times:
            self._is_over.set()

    def run(self) -> None:
        assert self._is_over.wait(20)


def test_a_hanging_update_is_interrupted_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "HANGING", 0.1)
    monkeypatch.setattr(deadlines, "_INTERRUPT_AGAIN", 0.1)
    update = Update(2)

    with UpdateGuard(update.interrupt).update():
        update.run()

    assert len(update.interrupts) == 2


def test_a_stop_shortens_the_deadline_of_an_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "_AFTER_STOP", 0.2)
    update = Update(1)
    guard = UpdateGuard(update.interrupt)
    began = time.monotonic()

    with guard.update():
        guard.stop()
        guard.stop()
        update.run()

    assert update.interrupts[0] - began >= 0.2


def test_an_update_that_ends_is_not_interrupted() -> None:
    update = Update(1)
    guard = UpdateGuard(update.interrupt)

    with guard.update():
        guard.stop()

    assert update.interrupts == []
