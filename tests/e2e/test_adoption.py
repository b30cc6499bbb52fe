"""Routes made by hand with the lecture's loop are taken over without touching AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox import lab as labs
from sandbox.aws import Sandbox
from tests.e2e.conftest import Person

IMPORT_FILE = "python -m routes import-file --stack dev"


def by_hand(person: Person, *workers: str) -> None:
    """Run what the lecture's loop runs."""
    for worker in workers:
        person.ec2.create_route(
            RouteTableId=person.lab.table_id,
            DestinationCidrBlock=labs.pod_cidr(int(worker.removeprefix("worker-"))),
            InstanceId=person.lab.workers[worker],
        )


def import_file(person: Person) -> tuple[dict[str, Any], str]:
    """Write import.json as the README says, and return it with what was said."""
    answer = person.workspace.run(
        "sh",
        "-c",
        f"{IMPORT_FILE} > import.json 2> notes; code=$?; cat notes; exit $code",
    )
    assert answer.returncode == 0, answer.stdout
    document = json.loads((person.workspace.path / "import.json").read_text())
    return document, answer.stdout


@pytest.mark.parametrize("protect", ["false", "true"])
def test_hand_made_routes_are_adopted_and_then_unchanged(
    person: Person, box: Sandbox, protect: str
) -> None:
    by_hand(person, "worker-0", "worker-1", "worker-2")
    person.configure(protect=protect)
    person.is_refused("pulumi preview")
    box.clear_calls()

    document, said = import_file(person)
    command = next(line for line in said.splitlines() if "pulumi import " in line)
    assert f"--protect={protect}" in command
    assert len(document["resources"]) == 4
    person.does(command)
    person.does("pulumi preview --expect-no-changes")

    counted = box.count()
    assert not counted.keys() & {"CreateRoute", "ReplaceRoute", "DeleteRoute"}
    assert person.pod_routes() == person.wanted()
    if protect == "true":
        assert "protect" in person.is_refused("pulumi destroy --yes")
    else:
        person.does("pulumi destroy --yes")
        assert person.pod_routes() == {}


def test_a_held_component_is_named_and_held_routes_are_left_out(
    person: Person,
) -> None:
    person.configure(workers="worker-0")
    person.does("pulumi up --yes --skip-preview")
    by_hand(person, "worker-1")
    person.configure(workers="worker-0,worker-1")

    document, said = import_file(person)
    assert list(document["nameTable"]) == [person.lab.table_id]
    assert [resource["name"] for resource in document["resources"]] == [
        f"{person.lab.table_id}_10.200.1.0/24"
    ]
    assert "the stack holds this route already" in " ".join(said.split())
    person.does(next(line for line in said.splitlines() if "pulumi import " in line))
    person.does("pulumi preview --expect-no-changes")


def test_a_wrong_target_is_not_adopted_but_explained(person: Person) -> None:
    by_hand(person, "worker-0")
    person.ec2.replace_route(
        RouteTableId=person.lab.table_id,
        DestinationCidrBlock="10.200.0.0/24",
        NetworkInterfaceId=person.interface("worker-2"),
    )

    document, said = import_file(person)

    assert document["resources"] == []
    assert f"found one to {person.interface('worker-2')}" in " ".join(said.split())
    assert "aws ec2 replace-route" in said
    assert "There is nothing to take over." in said


def test_with_nothing_made_by_hand_the_file_is_empty(person: Person) -> None:
    document, said = import_file(person)

    assert document["resources"] == []
    assert "There is nothing to take over." in said


def test_an_unknown_stack_is_one_clear_error(person: Person) -> None:
    outcome = person.types("python -m routes import-file --stack production")

    assert outcome.code == 2
    assert "stack production of this folder's project: cannot be read" in outcome.text
    assert "Traceback" not in outcome.text
