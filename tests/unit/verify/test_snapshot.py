"""Snapshots in files: of this version, of version 2, and invalid ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routes.errors import Finding, RoutesError, Severity
from routes.model import RouteKey
from routes.verify.snapshot import load, save
from tests import builders
from tests.snapshots import (
    all_of,
    dual_stack,
    group_rule,
    lab,
    prefix_list,
    with_group,
    with_routes,
)


@pytest.mark.parametrize("state", [{}, {"managed": None}], ids=["read", "not read"])
def test_a_snapshot_is_the_same_after_saving_and_loading(
    tmp_path: Path, state: dict[str, Any]
) -> None:
    change = all_of(
        dual_stack,
        with_routes(builders.route("pl-1", "vpce-1")),
        prefix_list("10.200.1.16/28"),
        with_group(1, group_rule(1, "peer", "sg-0", protocol=6, ports=(1, 2))),
        lambda s: replace(
            s,
            faults=(Finding(resource="worker-9", problem="it is not there."),),
            kept=(RouteKey.parse("rtb-1_fd00:200::/64"),),
        ),
    )
    snapshot = replace(change(lab()), **state)

    save(snapshot, tmp_path / "snapshot.json")

    assert load(tmp_path / "snapshot.json") == snapshot
    assert (tmp_path / "snapshot.json").read_text().startswith('{\n  "version": 3,\n')


VERSION_2: dict[str, Any] = {
    "version": 2,
    "programVersion": "2.0.0",
    "takenAt": "2026-11-25T09:30:00Z",
    "stack": "dev",
    "account": "123456789012",
    "region": "us-east-1",
    "vpc": {"id": "vpc-1", "cidrs": ["10.0.0.0/16"]},
    "clusterCidrs": ["10.200.0.0/16"],
    "routeTableIds": ["rtb-1"],
    "routeTableEntries": ["kubernetes"],
    "wanted": [
        {
            "routeTableId": "rtb-1",
            "destination": "10.200.0.0/24",
            "networkInterfaceId": "eni-0",
            "worker": "worker-0",
            "instanceId": "i-0",
            "privateIp": None,
        }
    ],
    "workers": [],
    "sources": [],
    "faults": [
        {
            "where": "worker-9",
            "problem": "it is not there.",
            "rows": ["i-8  terminated"],
            "remedy": "Look at it:",
            "command": "aws ec2 describe-instances",
            "severity": "fault",
        }
    ],
    "refusals": [],
    "heldBack": [{"where": "worker-7", "problem": "it waits.", "severity": "warning"}],
    "kept": ["rtb-1_10.200.9.0/24"],
    "waiting": [{"where": "worker-6", "problem": "it waits.", "severity": "note"}],
    "undecided": ["worker-9"],
    "held": {"rtb-1_10.200.0.0/24": "eni-0", "rtb-1_10.200.9.0/24": ""},
    "pending": ["creating rtb-1_10.200.0.0/24"],
    "tables": [],
    "subnets": [],
    "acls": [],
    "securityGroupRules": [],
    "prefixLists": {},
    "attachments": {},
    "natGateways": {},
    "states": {},
    "instances": [],
    "unread": {"DescribeSubnets": "AccessDenied"},
    "planned": True,
}


def test_a_snapshot_of_version_2_is_translated(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(VERSION_2))

    snapshot = load(path)

    managed = RouteKey.parse("rtb-1_10.200.0.0/24")
    kept = RouteKey.parse("rtb-1_10.200.9.0/24")
    assert snapshot == replace(
        lab(1),
        program_version="2.0.0",
        workers=(),
        faults=(
            Finding(
                resource="worker-9",
                problem="it is not there.",
                details=("i-8  terminated",),
                hint="Look at it:",
                command="aws ec2 describe-instances",
            ),
        ),
        blocked=(
            Finding(
                resource="worker-7", problem="it waits.", severity=Severity.WARNING
            ),
        ),
        kept=(kept,),
        pending_workers=(
            Finding(resource="worker-6", problem="it waits.", severity=Severity.INFO),
        ),
        unmatched=("worker-9",),
        managed={managed: "eni-0", kept: ""},
        pending_operations=("creating rtb-1_10.200.0.0/24",),
        tables=(),
        subnets=(),
        acls=(),
        security_group_rules=(),
        attachments={},
        instances=(),
        denied={"DescribeSubnets": "AccessDenied"},
        planned=True,
    )


def test_a_snapshot_of_version_2_is_saved_as_version_3(
    tmp_path: Path,
) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(VERSION_2))
    snapshot = load(path)

    save(snapshot, path)

    assert load(path) == snapshot
    assert json.loads(path.read_text())["version"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "{",
            "the file: Invalid JSON: EOF while parsing an object at line 1 column 1.",
            id="not JSON",
        ),
        pytest.param("{}", "takenAt: Field required.", id="of version 1"),
        pytest.param(
            '{"version": 4}', "version: Input should be 3.", id="of a later version"
        ),
        pytest.param(
            '{"takenAt": "2026-11-25T09:30:00Z", "stack": "dev", "account": "1",'
            ' "region": "r", "vpc": {"id": 7}}',
            "vpc.id: Input should be a valid string.",
            id="a snapshot with a number for an id",
        ),
        pytest.param(
            json.dumps(VERSION_2 | {"kept": [7]}),
            "kept.0: Input should be a valid string.",
            id="a snapshot with a number for a route",
        ),
        pytest.param(
            json.dumps(VERSION_2 | {"faults": [{"where": "worker-9"}]}),
            "faults.0.problem: Field required.",
            id="a snapshot of version 2 with half a finding",
        ),
        pytest.param(
            json.dumps(VERSION_2 | {"surplus": 1}),
            "surplus: Unexpected keyword argument.",
            id="a snapshot with an unknown key",
        ),
    ],
)
def test_a_file_that_is_not_a_snapshot_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(text)

    with pytest.raises(RoutesError) as caught:
        load(path)

    assert str(caught.value) == (
        f"{path} is not a snapshot of version 2 or 3: {message}\n"
        "  Write it again: python -m routes verify --save-snapshot FILE"
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RoutesError, match="cannot be read: No such file"):
        load(tmp_path / "snapshot.json")
