"""What a verification comes to, in groups."""

from __future__ import annotations

from routes.report.summary import Summary
from routes.verify.packets import Question
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


def test_the_cause_of_the_most_pairs_is_first_then_the_earlier_step() -> None:
    change = all_of(
        with_interface(3, source_dest_check=True),
        with_worker(4, state="stopped"),
        without_routes("10.200.5.0/24"),
    )

    groups = Summary(verify(change(lab(6)), Question())).lettered

    assert [(each.letter, each.cause.resource, each.pairs) for each in groups] == [
        ("A", "i-4", 10),
        ("B", "eni-3", 10),
        ("C", "rtb-1", 10),
    ]


def test_notes_come_after_causes_however_many_pairs_they_concern() -> None:
    change = all_of(
        with_group(0, group_rule(0, "peer", "sg-1"), group_rule(0, "two", "sg-2")),
        with_group(
            2,
            group_rule(2, "most", "10.200.1.0/24"),
            group_rule(2, "8", "10.200.2.0/23"),
            group_rule(2, "rest", "10.200.4.0/22"),
        ),
    )

    summary = Summary(verify(change(lab(7)), Question()))

    assert [
        (each.letter, each.cause.resource, each.cause.stops, each.pairs)
        for each in summary.lettered
    ] == [
        ("A", "sg-0", True, 6),
        ("B", "sg-2", True, 2),
        ("C", "sgr-0-peer", False, 6),
        ("D", "sgr-0-two", False, 6),
    ]


def test_the_letter_after_z_is_two_letters() -> None:
    destinations = [f"10.200.{number}.0/24" for number in range(28)]
    turned = [route(each, f"pcx-{number}") for number, each in enumerate(destinations)]

    groups = Summary(verify(with_routes(*turned)(lab(28)), Question())).lettered

    assert [group.letter for group in groups][24:] == ["Y", "Z", "AA", "AB"]


def test_a_command_that_fails_the_second_time_is_suggested_once() -> None:
    gone = route("10.200.1.0/25", "eni-gone", state="blackhole")
    found = verify(with_routes(gone)(lab()), Question())

    sections = Summary(found).sections
    every = [each for findings in sections.values() for each in findings]
    deletes = [each for each in every if "delete-route" in each.command]

    assert len(deletes) == 1
    assert [each.remedy for each in every if "fixes this too" in each.remedy]
