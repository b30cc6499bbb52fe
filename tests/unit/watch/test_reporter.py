"""What a watcher logs: every refusal, fault and warning, and when each cleared."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from routes.errors import Finding, PlanError, Severity
from routes.watch.diff import Diff
from routes.watch.reporter import ChangeReporter
from tests.builders import key

SPARE = Finding(resource="spare", problem="expected a live instance, found none.")
OTHER = Finding(resource="other", problem="it has no user data.")
PENDING = Finding(
    resource="worker-3 (i-3)",
    problem="it gets no route yet: the instance is pending.",
    severity=Severity.WARNING,
)
ROUTE = key("10.200.0.0/24"), "eni-0"
REFUSED = Diff(refusal=PlanError("The routes cannot be declared.", [SPARE]))
IN_SYNC = Diff(desired=3, in_place=3)

Lines = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return the level and the message of each line since the last call."""
    logged = [(each.levelname, each.getMessage()) for each in caplog.records]
    caplog.clear()
    return logged


@pytest.mark.parametrize(
    ("diff", "appeared", "cleared"),
    [
        pytest.param(
            REFUSED,
            ("ERROR", str(REFUSED.refusal)),
            ("INFO", "No longer refused."),
            id="a refusal",
        ),
        pytest.param(
            Diff(faults=(SPARE,)),
            ("ERROR", str(SPARE)),
            ("INFO", "No longer blocked: spare."),
            id="a fault",
        ),
        pytest.param(
            Diff(warnings=(PENDING,)),
            ("WARNING", str(PENDING)),
            ("INFO", "Warning cleared: worker-3 (i-3)."),
            id="a warning",
        ),
    ],
)
def test_it_is_reported_once_when_it_appears_and_once_when_it_clears(
    caplog: pytest.LogCaptureFixture,
    diff: Diff,
    appeared: tuple[str, str],
    cleared: tuple[str, str],
) -> None:
    reporter = ChangeReporter()

    for _ in range(3):
        reporter.findings(diff)
    assert lines(caplog) == [appeared]

    for _ in range(3):
        reporter.findings(Diff())
    assert lines(caplog) == [cleared]

    reporter.findings(diff)
    assert lines(caplog) == [appeared]


def test_another_refusal_replaces_the_first_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter = ChangeReporter()
    reporter.findings(REFUSED)
    lines(caplog)
    another = Diff(refusal=PlanError("The routes cannot be declared.", [OTHER]))

    reporter.findings(another)

    assert lines(caplog) == [("ERROR", str(another.refusal))]


def test_of_several_faults_only_those_that_changed_are_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter = ChangeReporter()
    reporter.findings(Diff(faults=(SPARE,), warnings=(PENDING,)))
    lines(caplog)

    reporter.findings(Diff(faults=(SPARE, OTHER), warnings=(PENDING,)))
    assert lines(caplog) == [("ERROR", str(OTHER))]

    reporter.findings(Diff(faults=(OTHER,), warnings=(PENDING,)))
    assert lines(caplog) == [("INFO", "No longer blocked: spare.")]


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(REFUSED, id="a refused plan"),
        pytest.param(Diff(pending=("creating it",)), id="a pending update"),
        pytest.param(Diff(unrecorded=frozenset({ROUTE})), id="a route to import"),
    ],
)
def test_faults_and_warnings_do_not_clear_while_they_are_not_known(
    caplog: pytest.LogCaptureFixture, between: Diff
) -> None:
    reporter = ChangeReporter()
    known = Diff(faults=(OTHER,), warnings=(PENDING,))
    reporter.findings(known)
    reporter.findings(between)
    lines(caplog)

    reporter.findings(between)
    assert lines(caplog) == []

    reporter.findings(known)
    assert [each for each in lines(caplog) if each[0] != "INFO"] == []


def test_in_sync_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    reporter = ChangeReporter()

    for _ in range(3):
        reporter.in_sync(IN_SYNC)

    assert lines(caplog) == [("INFO", "3 of 3 routes are in place.")]


def test_in_sync_is_reported_again_when_the_number_of_routes_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter = ChangeReporter()
    reporter.in_sync(IN_SYNC)
    lines(caplog)

    reporter.in_sync(Diff(desired=4, in_place=4))

    assert lines(caplog) == [("INFO", "4 of 4 routes are in place.")]


def test_in_sync_is_reported_again_after_an_update_or_a_failed_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter = ChangeReporter()
    events: tuple[Callable[[], None], ...] = (
        lambda: reporter.updating(Diff(added=frozenset({ROUTE}))),
        reporter.out_of_sync,
    )
    for event in events:
        reporter.in_sync(IN_SYNC)
        event()
        lines(caplog)

        reporter.in_sync(IN_SYNC)

        assert lines(caplog) == [("INFO", "3 of 3 routes are in place.")]


def test_an_update_is_reported_with_its_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter = ChangeReporter()

    reporter.updating(Diff(added=frozenset({ROUTE})))
    reporter.updating(Diff(pending=("creating it",)))

    assert lines(caplog) == [
        ("INFO", "Updating: 1 to add."),
        (
            "INFO",
            "An update was interrupted, or is still running: creating it.",
        ),
    ]


def test_a_lock_is_reported_once_per_holder_without_the_blocked_updates(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter = ChangeReporter()
    due = Diff(added=frozenset({ROUTE}))

    for holder in ("alice", "alice", "bob", "bob", "alice"):
        reporter.updating(due)
        reporter.locked(f"{holder} holds the stack.")

    assert lines(caplog) == [
        ("INFO", "Updating: 1 to add."),
        ("WARNING", "alice holds the stack."),
        ("WARNING", "bob holds the stack."),
        ("WARNING", "alice holds the stack."),
    ]


@pytest.mark.parametrize("is_in_sync", [False, True])
def test_after_the_lock_was_free_it_is_reported_again(
    caplog: pytest.LogCaptureFixture, *, is_in_sync: bool
) -> None:
    reporter = ChangeReporter()
    due = Diff(added=frozenset({ROUTE}))
    reporter.updating(due)
    reporter.locked("alice holds the stack.")
    if is_in_sync:
        reporter.in_sync(IN_SYNC)
    else:
        reporter.unlocked()
    lines(caplog)

    reporter.updating(due)
    reporter.locked("alice holds the stack.")

    assert lines(caplog) == [
        ("INFO", "Updating: 1 to add."),
        ("WARNING", "alice holds the stack."),
    ]
