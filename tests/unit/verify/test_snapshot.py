"""A snapshot in its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from routes.errors import Finding, RoutesError
from routes.verify.snapshot import load, save
from tests import builders
from tests.snapshots import (
    all_of,
    group_rule,
    lab,
    prefix_list,
    six,
    with_group,
    with_routes,
)


def test_a_snapshot_comes_back_from_its_file(tmp_path: Path) -> None:
    change = all_of(
        six,
        with_routes(builders.route("pl-1", "vpce-1")),
        prefix_list("10.200.1.16/28"),
        with_group(1, group_rule(1, "peer", "sg-0", protocol=6, ports=(1, 2))),
        lambda s: replace(
            s,
            faults=(Finding(where="worker-9", problem="it is not there."),),
            held=None,
        ),
    )
    snapshot = change(lab())

    save(snapshot, tmp_path / "snapshot.json")

    assert load(tmp_path / "snapshot.json") == snapshot
    assert (tmp_path / "snapshot.json").read_text().startswith('{\n  "version": 2,\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "{",
            "the file: Invalid JSON: EOF while parsing an object at line 1 column 1.",
            id="not JSON",
        ),
        pytest.param(
            "{}", "it says no takenAt, as those of version 1 do not.", id="of version 1"
        ),
        pytest.param(
            '{"version": 3}', "version: Input should be 2.", id="of a later version"
        ),
        pytest.param(
            '{"takenAt": "2026-11-25T09:30:00Z", "stack": "dev", "account": "1",'
            ' "region": "r", "vpc": {"id": 7}}',
            "vpc.id: Input should be a valid string.",
            id="a snapshot with a number for an id",
        ),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(text)

    with pytest.raises(RoutesError) as caught:
        load(path)

    assert str(caught.value) == (
        f"{path} is not a snapshot of version 2: {message}\n"
        "  Write it again: python -m routes verify --save-snapshot"
    )


def test_a_snapshot_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RoutesError, match="cannot be read: No such file"):
        load(tmp_path / "snapshot.json")
