"""Findings as an operator reads them."""

from __future__ import annotations

import copy
import pickle

import pytest

from routes.errors import FaultsError, Finding, PlanError, Severity, truncated
from tests.builders import one_line


def test_a_finding_has_the_resource_the_problem_and_the_fix() -> None:
    fault = Finding(
        resource="worker-1",
        problem="expected one, found two:",
        details=("i-1  running", "i-2  stopped"),
        hint="Keep one:",
        command="aws ec2 terminate-instances --instance-ids i-2",
    )

    assert str(fault) == (
        "worker-1: expected one, found two:\n"
        "  i-1  running\n"
        "  i-2  stopped\n"
        "  Keep one:\n"
        "  aws ec2 terminate-instances --instance-ids i-2"
    )


def test_prose_is_wrapped_to_fit_a_terminal_and_loses_no_word() -> None:
    prose = "the quick brown fox, mostly-unknown, jumps over the lazy dog " * 5
    fault = Finding(resource="worker-1", problem=prose.strip(), hint=prose.strip())

    lines = str(fault).splitlines()

    assert len(lines) > 8
    assert len(f"warning: {lines[0]}") <= 76
    assert max(map(len, lines[1:])) <= 76
    assert all(line.startswith("  ") for line in lines[1:])
    assert one_line(fault) == f"worker-1: {prose.strip()} {prose.strip()}"


def test_a_word_longer_than_a_line_stays_whole_for_pasting() -> None:
    word = "arn:aws:iam::123456789012:role/" + "x-" * 50

    assert word in str(Finding(resource="a", problem=f"see {word} there")).split()


def test_a_command_stays_on_one_line() -> None:
    command = "aws ec2 " + "--option value " * 10 + "end"

    assert (
        f"  {command}"
        in str(Finding(resource="a", problem="b", command=command)).splitlines()
    )


def test_faults_are_sorted_and_each_is_reported_once() -> None:
    first, second = (
        Finding(resource="a", problem="x"),
        Finding(resource="b", problem="y"),
    )

    error = FaultsError("Headline.", [second, first, second])

    assert error.faults == (first, second)
    assert str(error) == "Headline.\na: x\nb: y"


def test_an_error_survives_copies_and_processes() -> None:
    error = PlanError("Headline.", [Finding(resource="a", problem="x")])

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert type(twin) is PlanError
        assert twin.faults == error.faults
        assert str(twin) == str(error)


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        pytest.param(4, ("a", "b", "c"), id="fewer than the limit"),
        pytest.param(3, ("a", "b", "c"), id="as many as the limit"),
        pytest.param(2, ("a", "b", "and 1 more"), id="one too many"),
        pytest.param(1, ("a", "and 2 more"), id="two too many"),
    ],
)
def test_lines_that_are_not_shown_are_counted(
    limit: int, shown: tuple[str, ...]
) -> None:
    assert truncated("abc", limit) == shown


def test_severities_rank_from_the_worst() -> None:
    ranked = sorted(Severity, key=lambda severity: severity.rank)

    assert ranked == ["error", "unknown", "warning", "info"]
