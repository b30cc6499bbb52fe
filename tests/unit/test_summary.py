"""What a verification comes to, in groups and as a document for machines."""

from __future__ import annotations

from dataclasses import replace

from routes.errors import Fault
from routes.packets import Question
from routes.snapshot import Instance
from routes.summary import document, summarize
from routes.verify import CAVEAT, verify
from tests.snapshots import (
    all_of,
    group_rule,
    lab,
    with_group,
    with_interface,
    with_worker,
    without_routes,
)

UPDATE = "pulumi up --refresh --stack dev"


def test_the_document_has_everything_that_was_found() -> None:
    missing = Fault(
        where="worker-9",
        problem="it is not there.",
        rows=("i-8  terminated",),
        remedy="Look at it:",
        command="aws ec2 describe-instances",
    )
    api = Instance(id="i-9", name="api", state="running", subnet_id="subnet-9")
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_group(1, group_rule(1, "peer", "sg-0", protocol=6)),
        lambda s: replace(s, faults=(missing,), instances=(*s.instances, api)),
    )

    found = document(verify(change(lab(2)), Question("tcp", 8080)))

    rest = {"state": "active", "worker": "", "standing": "-", "why": "", "command": ""}
    assert found == {
        "version": 1,
        "well": False,
        "stack": "dev",
        "account": "123456789012",
        "region": "us-east-1",
        "vpc": "vpc-1",
        "question": "tcp 8080",
        "routes": [
            {
                "tableId": "rtb-1",
                "destination": "10.200.0.0/24",
                "target": "eni-0",
                "state": "active",
                "worker": "worker-0",
                "standing": "in place",
                "why": "",
                "command": "",
            },
            {
                "tableId": "rtb-1",
                "destination": "10.200.1.0/24",
                "target": "",
                "state": "",
                "worker": "worker-1",
                "standing": "missing",
                "why": "",
                "command": UPDATE,
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
            {"name": "worker-0", "instanceId": "i-0", "podCidrs": ["10.200.0.0/24"]},
            {"name": "worker-1", "instanceId": "i-1", "podCidrs": ["10.200.1.0/24"]},
        ],
        "reachability": {
            "pairs": 2,
            "reachable": 0,
            "groups": [["i-0"], ["i-1"]],
            "verdicts": [
                {"reachable": False, "onReply": False, "numbers": (1,)},
                {"reachable": False, "onReply": True, "numbers": (1,)},
            ],
            "matrix": ((-1, 0), (1, -1)),
        },
        "causes": [
            {
                "number": 1,
                "step": "route",
                "resource": "rtb-1",
                "problem": "has no route to the pod CIDR",
                "command": UPDATE,
                "subjects": ("10.200.1.0/24 of worker-1",),
                "pairs": 2,
            }
        ],
        "notes": [],
        "faults": [
            {
                "where": "rtb-1 10.200.1.0/24",
                "problem": "stack dev says eni-1, EC2 says no such route.",
                "rows": (),
                "remedy": "Bring both to what the configuration asks for:",
                "command": UPDATE,
            },
            {
                "where": "worker-9",
                "problem": "it is not there.",
                "rows": ("i-8  terminated",),
                "remedy": "Look at it:",
                "command": "aws ec2 describe-instances",
            },
        ],
        "remarks": [
            {
                "where": "subnet-9",
                "problem": "other instances run in it, and its table rtb-main lacks"
                " routes to pods. An API server there would reach no pod.",
                "rows": (),
                "remedy": "If they need pods, have the stack serve that table as well:",
                "command": "pulumi config set pod-routes:routeTables rtb-1,rtb-main"
                " --stack dev",
            }
        ],
        "caveat": CAVEAT,
    }


def test_pairs_that_arrive_are_told_with_the_notes_they_rest_on() -> None:
    change = with_group(1, group_rule(1, "peer", "sg-0"))

    found = document(verify(change(lab(2)), Question()))

    assert found["well"]
    assert found["reachability"]["verdicts"] == [
        {"reachable": True, "onReply": False, "numbers": (1,)},
        {"reachable": True, "onReply": False, "numbers": ()},
    ]
    (note,) = found["notes"]
    assert (note["resource"], note["pairs"]) == ("sgr-1-peer", 1)
    assert found["causes"] == []


def test_the_cause_of_the_most_pairs_is_first_then_the_earlier_step() -> None:
    change = all_of(
        with_interface(3, source_dest_check=True),
        with_worker(4, state="stopped"),
        without_routes("10.200.5.0/24"),
    )

    groups = summarize(verify(change(lab(6)), Question())).groups

    assert [(group.number, group.resource, group.pairs) for group in groups] == [
        (1, "i-4", 10),
        (2, "rtb-1", 7),
        (3, "eni-3", 7),
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

    summary = summarize(verify(change(lab(7)), Question()))

    assert [(each.number, each.resource, each.pairs) for each in summary.causes] == [
        (1, "sg-0", 6),
        (2, "sg-2", 2),
    ]
    assert [(each.number, each.resource, each.pairs) for each in summary.notes] == [
        (3, "sgr-0-peer", 6),
        (4, "sgr-0-two", 6),
    ]
