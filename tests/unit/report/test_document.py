"""A verification as a document for machines, and its JSON Schema."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routes import __version__
from routes.errors import Finding
from routes.model import Instance
from routes.report.document import document
from routes.verify.packets import Question
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
from tests.unit.verify.stops import IN_THE_WAY, NOT_OURS, OR_MOVE

SERVE_MAIN = "pulumi config set pod-routes:routeTables kubernetes,rtb-main --stack dev"
MISSING = Finding(
    where="worker-9",
    problem="it is not there.",
    rows=("i-8  terminated",),
    remedy="Look at it:",
    command="aws ec2 describe-instances",
)


def broken() -> Snapshot:
    """Return a stack with something of every kind that a document can tell."""
    api = Instance(id="i-9", name="api", state="running", subnet_id="subnet-9")
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_group(1, group_rule(1, "peer", "sg-0", protocol=6)),
        lambda s: replace(s, faults=(MISSING,), instances=(*s.instances, api)),
    )
    return change(lab(2))


def told(snapshot: Snapshot, question: Question | None = None) -> dict[str, Any]:
    """Return the document as a reader of the JSON has it."""
    found = document(verify(snapshot, question or Question()))
    read: dict[str, Any] = json.loads(found.model_dump_json(by_alias=True))
    return read


KNOWN = {"unknown": False}


def test_the_document_has_everything_that_was_found() -> None:
    found = told(broken(), Question("tcp", 8080))

    nothing = {"why": "", "advice": "", "remedies": []}
    rest = {"state": "active", "worker": "", "standing": "-", **nothing}
    assert found == {
        "version": 2,
        "programVersion": __version__,
        "takenAt": "2026-11-25T09:30:00Z",
        "well": False,
        "stack": "dev",
        "account": "123456789012",
        "region": "us-east-1",
        "vpc": "vpc-1",
        "planned": False,
        "question": "tcp 8080",
        "routes": [
            {
                "tableId": "rtb-1",
                "destination": "10.200.0.0/24",
                "target": "eni-0",
                "state": "active",
                "worker": "worker-0",
                "standing": "in place",
                **nothing,
            },
            {
                "tableId": "rtb-1",
                "destination": "10.200.1.0/24",
                "target": "",
                "state": "",
                "worker": "worker-1",
                "standing": "missing",
                **nothing,
            },
            {"tableId": "rtb-1", "destination": "0.0.0.0/0", "target": "igw-1", **rest},
            {
                "tableId": "rtb-1",
                "destination": "10.0.0.0/16",
                "target": "local",
                **rest,
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
            "undecided": [],
            "groups": [["i-0"], ["i-1"]],
            "verdicts": [
                {
                    "reachable": False,
                    "unknown": False,
                    "onReply": False,
                    "letters": ["A"],
                },
                {
                    "reachable": False,
                    "unknown": False,
                    "onReply": True,
                    "letters": ["A"],
                },
            ],
            "matrix": [[-1, 0], [1, -1]],
        },
        "sources": [],
        "causes": [
            {
                "letter": "A",
                "step": "route",
                "resource": "rtb-1",
                "problem": "has no route to the pod CIDR",
                "advice": "",
                "remedies": [],
                "subjects": ["10.200.1.0/24 of worker-1"],
                "pairs": 2,
            }
        ],
        "notes": [],
        "findings": [
            {
                "severity": "fault",
                "where": "rtb-1 10.200.1.0/24",
                "problem": "stack dev says eni-1, EC2 says no such route.",
                "rows": [],
                "advice": "Once an update is allowed, it brings both together.",
                "remedies": [],
            },
            {
                "severity": "fault",
                "where": "worker-9",
                "problem": "it is not there.",
                "rows": ["i-8  terminated"],
                "advice": "Look at it:",
                "remedies": ["aws ec2 describe-instances"],
            },
            {
                "severity": "note",
                "where": "subnet-9",
                "problem": "other instances run in it, and its table rtb-main lacks"
                " routes to pods. An API server there would reach no pod.",
                "rows": [],
                "advice": "If they need pods, have the stack serve that table as well:",
                "remedies": [SERVE_MAIN],
            },
        ],
        "caveat": CAVEAT,
    }


def test_pairs_that_arrive_are_told_with_the_notes_they_rest_on() -> None:
    change = with_group(1, group_rule(1, "peer", "sg-0"))

    found = told(change(lab(2)))

    assert found["well"]
    assert found["reachability"]["verdicts"] == [
        {**KNOWN, "reachable": True, "onReply": False, "letters": ["A"]},
        {**KNOWN, "reachable": True, "onReply": False, "letters": []},
    ]
    (note,) = found["notes"]
    assert (note["resource"], note["pairs"]) == ("sgr-1-peer", 1)
    assert found["causes"] == []


@pytest.mark.parametrize("name", schemas.texts())
def test_the_schema_in_the_documentation_is_the_models(name: str) -> None:
    """`make schemas` writes it."""
    assert (schemas.FOLDER / name).read_text() == schemas.texts()[name]


@pytest.mark.parametrize("name", schemas.texts())
def test_what_is_written_is_what_the_schema_says(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name == "snapshot.json":
        save(broken(), file)
    else:
        file.write_text(json.dumps(told(broken())))

    assert is_valid(file)
    content = json.loads(file.read_text())
    del content["takenAt"]
    file.write_text(json.dumps(content))
    assert not is_valid(file)


def is_valid(file: Path) -> bool:
    """Ask a validator that is nobody's of this project."""
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile"]
    done = subprocess.run(
        [*command, schemas.FOLDER / file.name, file], check=False, capture_output=True
    )
    return not done.returncode


def test_what_only_its_owner_can_delete_is_explained_without_a_command() -> None:
    peering = builders.route("10.200.1.0/25", "pcx-1")

    found = told(with_routes(peering)(lab(2)))

    (cause,) = found["causes"]
    assert cause["advice"] == NOT_OURS + OR_MOVE
    assert cause["remedies"] == []


def test_a_route_that_is_in_the_way_is_explained_without_a_command() -> None:
    change = with_routes(builders.route("10.200.1.0/24", "pcx-1"))

    found = told(replace(change(lab(2)), held={}))

    (route,) = (one for one in found["routes"] if one["worker"] == "worker-1")
    assert (route["advice"], route["remedies"]) == (IN_THE_WAY, [])
