"""The findings of a verification in the order of the reports."""

from __future__ import annotations

from routes.errors import Severity
from routes.report.summary import Summary
from routes.verify.header_space import Traffic
from routes.verify.verification import verify
from tests.builders import route
from tests.snapshots import (
    all_of,
    group_rule,
    lab,
    with_group,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)


def test_the_cause_of_the_most_pairs_is_first_then_the_earlier_check() -> None:
    change = all_of(
        with_interface(3, source_dest_check=True),
        with_worker(4, state="stopped"),
        without_routes("10.200.5.0/24"),
    )

    causes = Summary(verify(change(lab(6)), Traffic())).causes

    assert [(each.ref, each.finding.resource, each.pairs) for each in causes] == [
        ("A", "i-4", 10),
        ("B", "eni-3", 10),
        ("C", "rtb-1", 10),
    ]


def test_notes_come_after_causes_however_many_pairs_they_affect() -> None:
    change = all_of(
        with_group(0, group_rule(0, "peer", "sg-1"), group_rule(0, "two", "sg-2")),
        with_group(
            2,
            group_rule(2, "most", "10.200.1.0/24"),
            group_rule(2, "8", "10.200.2.0/23"),
            group_rule(2, "rest", "10.200.4.0/22"),
        ),
    )

    summary = Summary(verify(change(lab(7)), Traffic()))

    assert [
        (each.ref, each.finding.resource, each.finding.severity, each.pairs)
        for each in summary.causes
    ] == [
        ("A", "sg-0", Severity.ERROR, 6),
        ("B", "sg-2", Severity.ERROR, 2),
        ("C", "sgr-0-peer", Severity.INFO, 6),
        ("D", "sgr-0-two", Severity.INFO, 6),
    ]


def test_after_z_comes_aa() -> None:
    destinations = [f"10.200.{number}.0/24" for number in range(28)]
    retargeted = [
        route(each, f"pcx-{number}") for number, each in enumerate(destinations)
    ]

    causes = Summary(verify(with_routes(*retargeted)(lab(28)), Traffic())).causes

    assert [cause.ref for cause in causes][24:] == ["Y", "Z", "AA", "AB"]


def test_a_command_that_fails_the_second_time_is_suggested_once() -> None:
    stale = route("10.200.1.0/25", "eni-8", state="blackhole")
    verification = verify(with_routes(stale)(lab()), Traffic())

    sections = Summary(verification).sections
    every = [each for findings in sections.values() for each in findings]
    deletes = [each for each in every if "delete-route" in each.command]

    assert len(deletes) == 1
    assert [each.hint for each in every if "fixes this too" in each.hint]
