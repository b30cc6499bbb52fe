"""What a watcher does after an update that failed, and about what it does not trust."""

# ruff: noqa: SLF001 - a reconciliation in parts, without its reads

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from routes.engine.state import Stack
from routes.engine.updates import UpdateError
from routes.watch import watcher
from routes.watch.judgement import Verdict
from routes.watch.operation import Gauges
from routes.watch.watcher import Outcome, Watcher
from tests import builders
from tests.builders import discovery, route, settings, table, worker

A, B = ("rtb-1_10.200.0.0/24", "eni-0"), ("rtb-1_10.200.1.0/24", "eni-1")
INTERRUPTED = Verdict(interrupted=("creating it",), taken={"resources": []})


class Updates:
    """Fails while told to."""

    fails = True
    given: ClassVar[list[Mapping[str, object]]] = []

    def __init__(self, _: str) -> None:
        """Of any stack."""

    def up(self, refresh: object, environment: object) -> Mapping[str, int]:
        self.given.append({"refresh": refresh, "environment": environment})
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


WATCHED = settings(workers="worker-*", unready="skip", maxRemovals="50%")
HELD = {f"rtb-1_10.200.{n}.0/24": f"eni-{n}" for n in range(4)}
NOW = datetime(2026, 11, 1, 10, tzinfo=UTC)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """Return a watcher whose updates succeed."""
    monkeypatch.setattr(watcher, "Updates", Updates)
    monkeypatch.setattr(Updates, "fails", False)
    monkeypatch.setattr(Updates, "given", [])
    return Watcher("dev", 10, Gauges(10))


def held(targets: Mapping[str, str] | None = None, **changes: Any) -> Stack:  # noqa: ANN401
    return builders.stack(HELD if targets is None else targets, **changes)


def judged(one: Watcher, stack: Stack, *, drifted: str = "") -> Verdict:
    """Judge one reconciliation: a worker for each route but the last of four."""
    kept = [worker(n) for n in range(3)]
    existing = (
        route(name.partition("_")[2], target if name != drifted else "eni-9")
        for name, target in HELD.items()
    )
    found = discovery({WATCHED.workers[0]: tuple(kept)}, [table(*existing)])
    one._held = stack
    return one._judge(WATCHED, found, stack)


def test_the_program_may_delete_as_much_as_is_left_of_the_hour(one: Watcher) -> None:
    assert one._respond(judged(one, held())) is Outcome.CHANGED
    rest = {name: HELD[name] for name in list(HELD)[:3]}
    judged(one, held(targets=rest))
    one._respond(judged(one, held()))

    assert [given["environment"] for given in Updates.given] == [
        {"POD_ROUTES_MAX_REMOVALS": "2", "POD_ROUTES_EXPECT_ROUTES": "1"},
        {"POD_ROUTES_MAX_REMOVALS": "1", "POD_ROUTES_EXPECT_ROUTES": "1"},
    ]


def test_a_stack_without_routes_is_not_expected_to_have_any(one: Watcher) -> None:
    one._held = held(targets={})
    one._respond(due(A))

    assert [given["environment"] for given in Updates.given] == [{}]


def test_nothing_is_refreshed_for_drift_that_is_not_certain(one: Watcher) -> None:
    """Other changes are made all the same, and the route is not said to be in place."""
    name = next(iter(HELD))
    stack = held(changed=dict.fromkeys(HELD, NOW))
    read_at = NOW + timedelta(seconds=5)
    raw = judged(one, stack, drifted=name)
    assert raw.drifted == {(name, "eni-9")}

    verdict = one._deferring(raw, stack, read_at)

    assert (verdict.drifted, verdict.deferred) == (frozenset(), raw.drifted)
    assert str(verdict) == "1 to remove"
    assert one._respond(verdict) is Outcome.CHANGED
    assert Updates.given[0]["refresh"] == []
    alone = Verdict(wanted=3, in_place=2, deferred=verdict.deferred)
    assert not alone.is_quiet
    assert one._respond(alone) is Outcome.DEFERRED
    assert len(Updates.given) == 1


def test_a_route_that_drifts_again_waits_and_is_named(
    one: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    name = next(iter(HELD))
    drifted = Verdict(drifted=frozenset({(name, "eni-9")}))
    assert one._respond(one._deferring(drifted, held(), NOW)) is Outcome.CHANGED

    for _ in range(2):
        again = one._deferring(drifted, held(), NOW)

        assert one._respond(again) is Outcome.DEFERRED
    (line,) = [each for each in caplog.messages if "keeps changing" in each]
    assert line == (
        "Somebody keeps changing rtb-1 10.200.0.0/24 (to eni-9): repaired 1 time(s)"
        " within 10 minutes, and changed again. Each further repair waits longer, up to"
        " 5 minutes."
    )
