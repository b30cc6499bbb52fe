"""A verification as a JSON document, and its JSON Schema."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from component.version import VERSION
from routes.errors import Finding, Severity
from routes.model import Instance
from routes.report.document import document
from routes.verify.header_space import Traffic
from routes.verify.snapshot import Snapshot, save
from routes.verify.verification import CAVEAT, verify
from tests import builders, schemas
from tests.snapshots import (
    all_of,
    group_rule,
    lab,
    with_group,
    with_routes,
    without_routes,
)
from tests.unit.verify.blockers import IN_THE_WAY, UNMANAGED_PART

SELECT_MAIN = "pulumi config set pod-routes:routeTables kubernetes,rtb-main --stack dev"
MISSING = Finding(
    resource="worker-9",
    problem="it is not there.",
    details=("i-8  terminated",),
    hint="Look at it:",
    command="aws ec2 describe-instances",
)


ABOUT_NO_PAIRS = {"ref": "", "pairs": 0, "check": ""}


def broken() -> Snapshot:
    """Return a stack with a cause, faults and a note."""
    api = Instance(id="i-9", name="api", state="running", subnet_id="subnet-9")
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_group(1, group_rule(1, "peer", "sg-0", protocol=6)),
        lambda s: replace(s, faults=(MISSING,), instances=(*s.instances, api)),
    )
    return change(lab(2))


def parsed(snapshot: Snapshot, traffic: Traffic | None = None) -> dict[str, Any]:
    """Return the document as a reader of the JSON has it."""
    text = document(verify(snapshot, traffic or Traffic())).model_dump_json(
        by_alias=True
    )
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_the_document_has_the_whole_result() -> None:
    empty = {"reason": "", "hint": "", "command": ""}
    other = {"state": "active", "worker": "", "status": "other", **empty}
    assert parsed(broken(), Traffic("tcp", 8080)) == {
        "version": 3,
        "programVersion": VERSION,
        "takenAt": "2026-11-25T09:30:00Z",
        "outcome": "FAIL",
        "stack": "dev",
        "account": "123456789012",
        "region": "us-east-1",
        "vpc": "vpc-1",
        "planned": False,
        "traffic": "tcp 8080",
        "routes": [
            {
                "tableId": "rtb-1",
                "destination": "10.200.0.0/24",
                "target": "eni-0",
                "state": "active",
                "worker": "worker-0",
                "status": "in place",
                **empty,
            },
            {
                "tableId": "rtb-1",
                "destination": "10.200.1.0/24",
                "target": "",
                "state": "",
                "worker": "worker-1",
                "status": "missing",
                **empty,
            },
            {
                "tableId": "rtb-1",
                "destination": "0.0.0.0/0",
                "target": "igw-1",
                **other,
            },
            {
                "tableId": "rtb-1",
                "destination": "10.0.0.0/16",
                "target": "local",
                **other,
            },
        ],
        "workers": [
            {
                "name": "worker-0",
                "instanceId": "i-0",
                "availabilityZone": "us-east-1a",
                "podCidrs": ["10.200.0.0/24"],
            },
            {
                "name": "worker-1",
                "instanceId": "i-1",
                "availabilityZone": "us-east-1a",
                "podCidrs": ["10.200.1.0/24"],
            },
        ],
        "reachability": {
            "pairs": 2,
            "reachable": 0,
            "unevaluated": [],
            "groups": [["i-0"], ["i-1"]],
            "results": [
                {"outcome": "blocked", "onReply": False, "causeRefs": ["A"]},
                {"outcome": "blocked", "onReply": True, "causeRefs": ["A"]},
            ],
            "matrix": [[None, 0], [1, None]],
        },
        "sources": [],
        "findings": [
            {
                "ref": "A",
                "pairs": 2,
                "check": "route",
                "severity": "error",
                "resource": "rtb-1",
                "problem": "has no route to the pod CIDR",
                "details": ["10.200.1.0/24 of worker-1"],
                "hint": "",
                "command": "",
            },
            {
                **ABOUT_NO_PAIRS,
                "severity": "error",
                "resource": "rtb-1 10.200.1.0/24",
                "problem": "the state of stack dev has eni-1, EC2 has no such route.",
                "details": [],
                "hint": "The next update that isn't refused fixes it.",
                "command": "",
            },
            {
                **ABOUT_NO_PAIRS,
                "severity": "error",
                "resource": "worker-9",
                "problem": "it is not there.",
                "details": ["i-8  terminated"],
                "hint": "Look at it:",
                "command": "aws ec2 describe-instances",
            },
            {
                **ABOUT_NO_PAIRS,
                "severity": "info",
                "resource": "subnet-9",
                "problem": "other instances run in it, and its table rtb-main lacks"
                " routes to pods. An API server there would reach no pod.",
                "details": [],
                "hint": "If they need pods, select that table too:",
                "command": SELECT_MAIN,
            },
        ],
        "caveat": CAVEAT,
    }


def test_reachable_pairs_refer_to_their_notes() -> None:
    change = with_group(1, group_rule(1, "peer", "sg-0"))

    result = parsed(change(lab(2)))

    assert result["outcome"] == "PASS"
    assert result["reachability"]["results"] == [
        {"outcome": "reachable", "onReply": False, "causeRefs": ["A"]},
        {"outcome": "reachable", "onReply": False, "causeRefs": []},
    ]
    (note,) = result["findings"]
    assert (note["ref"], note["severity"]) == ("A", "info")
    assert (note["resource"], note["pairs"]) == ("sgr-1-peer", 1)


def test_findings_about_pairs_come_first_by_severity() -> None:
    pending = Finding(
        resource="worker-7", problem="it has no route yet.", severity=Severity.INFO
    )
    change = all_of(
        with_routes(builders.route("10.200.2.0/24", "tgw-1")),
        with_group(2),
        with_group(
            0, group_rule(0, "peer", "sg-1"), group_rule(0, "cidr", "10.200.2.0/24")
        ),
    )

    result = parsed(change(lab(faults=(MISSING,), pending_workers=(pending,))))

    assert [(each["ref"], each["severity"]) for each in result["findings"]] == [
        ("A", "error"),
        ("B", "unknown"),
        ("C", "info"),
        ("", "error"),
        ("", "error"),
        ("", "info"),
    ]


@pytest.mark.parametrize("name", schemas.texts())
def test_the_schema_in_the_documentation_is_the_models(name: str) -> None:
    """`make schemas` writes it."""
    assert (schemas.FOLDER / name).read_text() == schemas.texts()[name]


@pytest.mark.parametrize("name", ["verification.json", "snapshot.json"])
def test_the_files_follow_the_schemas(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name == "snapshot.json":
        save(broken(), file)
    else:
        file.write_text(json.dumps(parsed(broken())))

    assert is_valid(file)
    content = json.loads(file.read_text())
    del content["takenAt"]
    file.write_text(json.dumps(content))
    assert not is_valid(file)


def is_valid(file: Path) -> bool:
    """Validate with another program than this project's models."""
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile"]
    result = subprocess.run(
        [*command, schemas.FOLDER / file.name, file], check=False, capture_output=True
    )
    return not result.returncode


def test_a_route_that_only_its_owner_can_delete_has_a_hint_and_no_command() -> None:
    peering = builders.route("10.200.1.0/25", "pcx-1")

    (cause,) = parsed(with_routes(peering)(lab(2)))["findings"]

    assert (cause["hint"], cause["command"]) == (UNMANAGED_PART, "")


def test_an_unmanaged_route_in_the_way_has_a_hint_and_no_command() -> None:
    change = with_routes(builders.route("10.200.1.0/24", "pcx-1"))

    result = parsed(replace(change(lab(2)), managed={}))

    (route,) = (each for each in result["routes"] if each["worker"] == "worker-1")
    assert (route["hint"], route["command"]) == (IN_THE_WAY, "")
