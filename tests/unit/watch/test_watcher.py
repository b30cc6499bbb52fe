"""What a watcher does after an update that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from routes.engine.updates import UpdateError
from routes.watch import watcher
from routes.watch.judgement import Verdict
from routes.watch.operation import Gauges
from routes.watch.watcher import Outcome, Watcher

A, B = ("rtb-1_10.200.0.0/24", "eni-0"), ("rtb-1_10.200.1.0/24", "eni-1")
INTERRUPTED = Verdict(interrupted=("creating it",), taken={"resources": []})


class Updates:
    """Fails while told to."""

    fails = True

    def __init__(self, _: str) -> None:
        """Of any stack."""

    def up(self, *_: object) -> Mapping[str, int]:
        if self.fails:
            raise UpdateError("RouteLimitExceeded")
        return {}

    def interrupt(self) -> None:
        """Nothing runs."""

    def kill(self) -> None:
        """Nothing runs."""

    def recover(self) -> None:
        """Succeed."""


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a function
    """Return what a watcher does about each of these."""
    monkeypatch.setattr(watcher, "Updates", Updates)
    one = Watcher("dev", 10, Gauges(10))

    def turn(verdict: Verdict) -> Outcome:
        monkeypatch.setattr(one, "_look", lambda: verdict)
        return one.run_once()

    return turn


def due(*routes: tuple[str, str]) -> Verdict:
    return Verdict(added=frozenset(routes))


@pytest.mark.parametrize(
    ("verdicts", "last"),
    [
        pytest.param([due(A), due(A)], Outcome.HELD_BACK, id="the same again"),
        pytest.param([due(A, B), due(A)], Outcome.HELD_BACK, id="what is left of it"),
        pytest.param([due(A), due(A, B)], Outcome.FAILED, id="another beside it"),
        pytest.param(
            [due(A, B), due(A), due(A, B)],
            Outcome.FAILED,
            id="one that succeeded and is due again",
        ),
        pytest.param(
            [due(A), INTERRUPTED, due(A)],
            Outcome.HELD_BACK,
            id="the same after a recovery",
        ),
        pytest.param(
            [due(A), Verdict(), due(A)], Outcome.FAILED, id="after all was in place"
        ),
    ],
)
def test_what_failed_is_held_back_and_nothing_else(
    looks: Any,  # noqa: ANN401
    verdicts: list[Verdict],
    last: Outcome,
) -> None:
    *_, outcome = map(looks, verdicts)

    assert outcome is last


def test_what_failed_is_tried_again_when_its_time_has_come(
    looks: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)
    for wait in (10, 20, 40, 80, 160, 300, 300):
        assert looks(due(A)) is Outcome.FAILED
        assert caplog.messages[-1] == f"Trying again in {wait} s."
        now += wait - 1
        assert looks(due(A)) is Outcome.HELD_BACK
        now += 1
    monkeypatch.setattr(Updates, "fails", False)

    assert looks(due(A)) is Outcome.CHANGED
