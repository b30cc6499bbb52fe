"""What a watcher does after a failed update, and what it defers."""

# ruff: noqa: SLF001 - a reconciliation in parts, without its reads

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from routes.engine.state import Stack
from routes.engine.updates import LockedError, UpdateError
from routes.model import RouteKey
from routes.watch import watcher
from routes.watch.diff import Diff
from routes.watch.telemetry import Telemetry
from routes.watch.watcher import Outcome, Watcher
from tests import builders
from tests.builders import discovery, key, route, settings, table, worker

A, B = (key("10.200.0.0/24"), "eni-0"), (key("10.200.1.0/24"), "eni-1")
INTERRUPTED = Diff(pending=("creating it",), import_file={"resources": []})

Reconcile = Callable[[Diff], Outcome]


class Updates:
    """Fail with an error if there is one."""

    error: Exception | None = UpdateError("RouteLimitExceeded")
    calls: ClassVar[list[Mapping[str, object]]] = []

    def __init__(self, _: str) -> None:
        """Ignore the stack."""

    def up(self, refresh: object, environment: object) -> Mapping[str, int]:
        self.calls.append({"refresh": refresh, "environment": environment})
        if self.error:
            raise self.error
        return {}

    def interrupt(self) -> None:
        """Nothing runs."""

    def kill(self) -> None:
        """Nothing runs."""

    def recover(self) -> None:
        """Succeed."""


@pytest.fixture
def reconcile(monkeypatch: pytest.MonkeyPatch) -> Reconcile:
    """Return a function that reconciles once with a given diff."""
    monkeypatch.setattr(watcher, "Updates", Updates)
    one = Watcher("dev", 10, Telemetry(10))

    def run_once(diff: Diff) -> Outcome:
        monkeypatch.setattr(one, "_poll", lambda: diff)
        return one.run_once()

    return run_once


def due(*routes: tuple[RouteKey, str]) -> Diff:
    return Diff(added=frozenset(routes))


@pytest.mark.parametrize(
    ("diffs", "last"),
    [
        pytest.param([due(A), due(A)], Outcome.BACKING_OFF, id="the same again"),
        pytest.param([due(A, B), due(A)], Outcome.BACKING_OFF, id="the rest of it"),
        pytest.param([due(A), due(A, B)], Outcome.FAILED, id="with another one"),
        pytest.param(
            [due(A, B), due(A), due(A, B)],
            Outcome.FAILED,
            id="one that succeeded and is due again",
        ),
        pytest.param(
            [due(A), INTERRUPTED, due(A)],
            Outcome.BACKING_OFF,
            id="the same after a recovery",
        ),
        pytest.param(
            [due(A), Diff(), due(A)], Outcome.FAILED, id="after all was in place"
        ),
    ],
)
def test_failed_changes_are_not_tried_again_at_once_and_all_others_are(
    reconcile: Reconcile, diffs: list[Diff], last: Outcome
) -> None:
    *_, outcome = map(reconcile, diffs)

    assert outcome is last


def test_failed_changes_are_tried_again_when_they_are_due(
    reconcile: Reconcile,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)
    for seconds in (10, 20, 40, 80, 160, 300, 300):
        assert reconcile(due(A)) is Outcome.FAILED
        assert caplog.messages[-1] == f"Trying again in {seconds} s."
        now += seconds - 1
        assert reconcile(due(A)) is Outcome.BACKING_OFF
        now += 1
    monkeypatch.setattr(Updates, "error", None)

    assert reconcile(due(A)) is Outcome.UPDATED


def test_an_update_that_another_one_blocks_is_tried_again_at_once(
    reconcile: Reconcile,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(Updates, "error", LockedError("alice holds the stack."))

    for _ in range(2):
        assert reconcile(due(A)) is Outcome.LOCKED
    monkeypatch.setattr(Updates, "error", None)

    assert reconcile(due(A)) is Outcome.UPDATED
    assert caplog.messages[:2] == ["Updating: 1 to add.", "alice holds the stack."]
    assert caplog.messages[2].startswith("Updated in ")


WATCHED = settings(workers="worker-*", unready="skip", maxRemovals="50%")
TARGETS = {key(f"10.200.{n}.0/24"): f"eni-{n}" for n in range(4)}
NOW = datetime(2026, 11, 1, 10, tzinfo=UTC)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """Return a watcher whose updates succeed."""
    monkeypatch.setattr(watcher, "Updates", Updates)
    monkeypatch.setattr(Updates, "error", None)
    monkeypatch.setattr(Updates, "calls", [])
    return Watcher("dev", 10, Telemetry(10))


def managing(
    targets: Mapping[RouteKey, str] = TARGETS,
    **changes: Any,  # noqa: ANN401
) -> Stack:
    return builders.stack(targets, **changes)


def compared(one: Watcher, stack: Stack, *, drifted: RouteKey | None = None) -> Diff:
    """Compare the state with a worker for each route but the last of four."""
    workers = tuple(worker(n) for n in range(3))
    existing = (
        route(str(each.destination), target if each != drifted else "eni-9")
        for each, target in TARGETS.items()
    )
    read = discovery({WATCHED.workers[0]: workers}, [table(*existing)])
    one._stack._stack = stack
    return one._compare(WATCHED, read, stack)


def test_the_program_may_delete_what_is_left_of_the_hours_limit(one: Watcher) -> None:
    assert one._respond(compared(one, managing())) is Outcome.UPDATED
    rest = dict(list(TARGETS.items())[:3])
    compared(one, managing(rest))
    one._respond(compared(one, managing()))

    assert [call["environment"] for call in Updates.calls] == [
        {"POD_ROUTES_MAX_REMOVALS": "2", "POD_ROUTES_EXPECT_ROUTES": "1"},
        {"POD_ROUTES_MAX_REMOVALS": "1", "POD_ROUTES_EXPECT_ROUTES": "1"},
    ]


def test_a_stack_without_routes_is_not_expected_to_have_any(one: Watcher) -> None:
    one._stack._stack = managing({})
    one._respond(due(A))

    assert [call["environment"] for call in Updates.calls] == [{}]


def test_drift_that_is_not_certain_is_not_refreshed(one: Watcher) -> None:
    """Other changes are made, and the route isn't reported as in place."""
    drifted = next(iter(TARGETS))
    stack = managing(changed=dict.fromkeys(TARGETS, NOW))
    read_at = NOW + timedelta(seconds=5)
    raw = compared(one, stack, drifted=drifted)
    assert raw.drifted == {(drifted, "eni-9")}

    diff = one._with_certain_drift(raw, stack, read_at)

    assert (diff.drifted, diff.deferred) == (frozenset(), raw.drifted)
    assert str(diff) == "1 to remove"
    assert one._respond(diff) is Outcome.UPDATED
    assert Updates.calls[0]["refresh"] == []
    alone = Diff(desired=3, in_place=2, deferred=diff.deferred)
    assert not alone.is_in_sync
    assert one._respond(alone) is Outcome.DEFERRED
    assert len(Updates.calls) == 1


def test_a_deletion_waits_for_a_second_poll_unless_an_update_is_due(
    one: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that failed, and waits for its next attempt, is not due."""
    alone = compared(one, managing())
    with_another = replace(alone, added=frozenset({A}))

    deferred = one._with_due_removals(alone, NOW)

    assert (deferred.removed, deferred.deferred) == (frozenset(), alone.removed)
    assert one._respond(deferred) is Outcome.DEFERRED
    assert one._with_due_removals(with_another, NOW) == with_another
    monkeypatch.setattr(Updates, "error", UpdateError("RouteLimitExceeded"))
    assert one._respond(due(A)) is Outcome.FAILED
    waiting = one._with_due_removals(with_another, NOW)
    assert not waiting.removed
    assert one._respond(waiting) is Outcome.BACKING_OFF
    monkeypatch.setattr(Updates, "error", None)
    later = NOW + timedelta(seconds=10)
    assert one._with_due_removals(alone, later) == alone
    assert one._respond(alone) is Outcome.UPDATED


def test_certain_drift_is_refreshed_and_nothing_else_is(one: Watcher) -> None:
    drifted = next(iter(TARGETS))
    stack = managing()

    raw = compared(one, stack, drifted=drifted)
    diff = one._with_certain_drift(raw, stack, NOW)

    assert one._respond(diff) is Outcome.UPDATED
    assert Updates.calls[0]["refresh"] == [stack.managed[drifted].urn]


def test_a_route_that_drifts_again_is_deferred_and_named(
    one: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    drifted = Diff(drifted=frozenset({(next(iter(TARGETS)), "eni-9")}))
    certain = one._with_certain_drift(drifted, managing(), NOW)
    assert one._respond(certain) is Outcome.UPDATED

    for _ in range(2):
        again = one._with_certain_drift(drifted, managing(), NOW)

        assert one._respond(again) is Outcome.DEFERRED
    (line,) = [each for each in caplog.messages if "keeps changing" in each]
    assert line == (
        "Somebody keeps changing rtb-1 10.200.0.0/24 (to eni-9): repaired 1 time(s)"
        " within 10 minutes, and changed again. Each further repair waits longer, up to"
        " 5 minutes."
    )
