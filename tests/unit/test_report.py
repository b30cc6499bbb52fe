"""What people and machines read of a verification."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from routes.errors import Fault
from routes.packets import Question
from routes.page import ONE_BY_ONE, render
from routes.report import show
from routes.snapshot import Snapshot
from routes.summary import document, summarize
from routes.verify import CAVEAT, verify
from tests import builders
from tests.snapshots import (
    Change,
    all_of,
    group_rule,
    lab,
    with_group,
    with_interface,
    with_routes,
    without_routes,
)

BROKEN = all_of(
    without_routes("10.200.1.0/24"), with_interface(2, source_dest_check=True)
)


def shown(snapshot: Snapshot, **options: object) -> str:
    text = StringIO()
    console = Console(file=text, width=80, **options)  # type: ignore[arg-type]
    show(verify(snapshot, Question()), console)
    return text.getvalue()


def test_the_route_table_has_a_worker_and_a_verdict_for_each_entry() -> None:
    lines = [line.split() for line in shown(BROKEN(lab())).splitlines()]

    assert ["10.200.0.0/24", "eni-0", "active", "worker-0", "in", "place"] in lines
    assert ["10.200.1.0/24", "-", "-", "worker-1", "missing"] in lines
    assert ["10.0.0.0/16", "local", "active", "-", "-"] in lines


def test_the_matrix_points_at_the_cause_of_each_failing_pair() -> None:
    lines = [line.split() for line in shown(BROKEN(lab(4))).splitlines()]

    assert ["0", "worker-0", "·", "1", "2", "ok"] in lines
    assert ["3", "worker-3", "ok", "1", "2", "·"] in lines


@pytest.mark.parametrize("count", [3, 20, 21, 100])
@pytest.mark.parametrize(
    "change", [pytest.param(lambda s: s, id="well"), pytest.param(BROKEN, id="broken")]
)
def test_nothing_but_a_command_is_wider_than_80_columns(
    count: int, change: Change
) -> None:
    text = shown(change(lab(count)))

    wide = [line for line in text.splitlines() if len(line.rstrip()) > 80]
    assert all(line.lstrip().startswith(("aws ", "pulumi ")) for line in wide)


def test_beyond_20_workers_only_failing_rows_are_shown() -> None:
    lines = [line.split() for line in shown(BROKEN(lab(21))).splitlines()]

    assert ["20", "routes", "are", "in", "place."] in lines
    assert any(line[:4] == ["worker-1", "0", "of", "20"] for line in lines)
    assert not any(line[:2] == ["0", "worker-0"] for line in lines)


def test_many_pairs_with_one_cause_are_one_entry() -> None:
    found = verify(with_group(1)(lab(9)), Question())
    (group,) = summarize(found).groups

    assert group.pairs == 3 * 8
    assert shown(with_group(1)(lab(9))).count("does not allow all traffic inbound") == 1


def test_a_long_cause_stays_beside_its_number() -> None:
    lines = shown(with_group(1, group_rule(1, "peer", "sg-0"))(lab())).splitlines()

    (first,) = (n for n, line in enumerate(lines) if line.startswith(" 2 security"))
    assert lines[first + 1].startswith("   documents that")


def test_what_ec2_cannot_tell_is_said_once() -> None:
    text = " ".join(shown(lab()).split())

    assert text.count(CAVEAT) == 1
    assert text.endswith("All is well.")


def test_a_file_gets_no_colours_and_a_terminal_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = {"force_terminal": True, "color_system": "standard"}
    assert "\x1b[" not in shown(lab())
    assert "\x1b[32m" in shown(lab(), **terminal)

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in shown(lab(), **terminal)


def test_the_document_tells_machines_the_same() -> None:
    change = all_of(
        BROKEN,
        with_group(0, group_rule(0, "peer", "sg-1"), group_rule(0, "two", "sg-2")),
        lambda s: replace(s, faults=(Fault(where="worker-9", problem="missing."),)),
    )
    found = json.loads(json.dumps(document(verify(change(lab(6)), Question()))))

    reachability = found["reachability"]
    assert found["version"] == 1
    assert not found["well"]
    assert reachability["pairs"] == 30
    assert reachability["reachable"] == 30 - sum(c["pairs"] for c in found["causes"])
    groups = {one: n for n, ids in enumerate(reachability["groups"]) for one in ids}
    verdict = reachability["verdicts"][
        reachability["matrix"][groups["i-0"]][groups["i-1"]]
    ]
    (number,) = verdict["numbers"]
    (cause,) = [each for each in found["causes"] if each["number"] == number]
    assert cause["command"] == "pulumi up --refresh --stack dev"
    assert found["notes"]
    assert "worker-9" in [fault["where"] for fault in found["faults"]]


def test_names_from_aws_are_text_in_the_page_and_in_the_terminal() -> None:
    snapshot = lab()
    evil = "[bold]<script>alert(1)</script>"
    named = replace(
        snapshot,
        workers=(replace(snapshot.workers[0], name=evil), *snapshot.workers[1:]),
    )

    assert "<script>alert" not in render(verify(named, Question()))
    assert "[bold]<script" in shown(with_routes(builders.route("0.0.0.0/1"))(named))


def test_a_large_page_groups_workers_and_stays_small() -> None:
    page = render(verify(BROKEN(lab(ONE_BY_ONE + 100)), Question()))

    assert page.count('role="gridcell"') <= 60 * 60
    assert len(page) < 1_000_000
