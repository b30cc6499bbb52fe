"""Routes made by hand with the lecture's loop are taken over without touching AWS."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from routes.model import ROUTE_TYPE
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.person import Person

IMPORT_FILE = "python -m routes import-file --stack dev"


def by_hand(person: Person, *workers: str) -> None:
    """Run what the lecture's loop runs."""
    for worker in workers:
        person.ec2.create_route(
            RouteTableId=person.lab.table_id,
            DestinationCidrBlock=labs.pod_cidr(int(worker.removeprefix("worker-"))),
            InstanceId=person.lab.workers[worker],
        )


def import_file(person: Person, code: int = 0) -> tuple[dict[str, Any], str]:
    """Write import.json as the README says, and return it with what was said."""
    line = f"{IMPORT_FILE} > import.json 2> notes; code=$?; cat notes; exit $code"
    outcome = person.runs("sh", "-c", line)
    assert outcome.code == code, outcome.text
    document = json.loads((person.workspace.path / "import.json").read_text())
    return document, outcome.text


def test_hand_made_routes_are_adopted_protected_and_then_unchanged(
    person: Person, box: Sandbox
) -> None:
    by_hand(person, "worker-0", "worker-1", "worker-2")
    person.configure(protect="true")
    person.is_refused("pulumi preview")
    box.clear_calls()

    document, said = import_file(person)
    command = next(line for line in said.splitlines() if "pulumi import " in line)
    assert "--protect=true" in command
    assert len(document["resources"]) == 4
    person.does(command)
    person.does("pulumi preview --expect-no-changes")

    counted = box.count()
    assert not counted.keys() & {"CreateRoute", "ReplaceRoute", "DeleteRoute"}
    assert person.pod_routes() == person.wanted()
    assert "protect" in person.is_refused("pulumi destroy --yes")


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
    assert "1 to take over, 1 held already, 0 to be turned first." in said
    person.does(next(line for line in said.splitlines() if "pulumi import " in line))
    person.does("pulumi preview --expect-no-changes")


def test_a_wrong_target_is_explained_and_adopted_once_it_is_retargeted(
    person: Person,
) -> None:
    by_hand(person, "worker-0")
    person.ec2.replace_route(
        RouteTableId=person.lab.table_id,
        DestinationCidrBlock="10.200.0.0/24",
        NetworkInterfaceId=person.interface("worker-2"),
    )
    wrong = (
        f"{person.lab.table_id} 10.200.0.0/24: leads to"
        f" {person.interface('worker-2')}, and should lead to"
        f" {person.interface('worker-0')} of worker-0; this stack does not hold it."
    )

    for command in ("pulumi preview", "pulumi up --yes --skip-preview"):
        refused = person.is_refused(command)
        assert "nothing was changed" in refused
        assert wrong in refused

    document, said = import_file(person, code=1)
    assert document["resources"] == []
    assert wrong in " ".join(said.split())
    assert "0 to take over, 0 held already, 1 to be turned first." in said

    assert "If it is yours, retarget it to the worker's interface" in said
    assert "aws ec2" not in said
    person.ec2.replace_route(
        RouteTableId=person.lab.table_id,
        DestinationCidrBlock="10.200.0.0/24",
        NetworkInterfaceId=person.interface("worker-0"),
    )
    _, said = import_file(person)
    person.does(next(line for line in said.splitlines() if "pulumi import " in line))
    assert person.does("pulumi up --yes").changes() == {"create": 2, "unchange": 3}


def test_with_nothing_made_by_hand_the_file_is_empty(person: Person) -> None:
    document, said = import_file(person)

    assert document["resources"] == []
    assert "0 to take over, 0 held already, 0 to be turned first." in said


def test_secrets_and_what_waits_for_deletion_do_not_confuse_what_is_held(
    settled: Person,
) -> None:
    exported = json.loads(settled.does("pulumi stack export").text)
    resources = exported["deployment"]["resources"]
    first, second, _ = (one for one in resources if one["type"] == ROUTE_TYPE)
    for values in (first["inputs"], first["outputs"]):
        values["networkInterfaceId"] = {
            "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
            "plaintext": json.dumps(values["networkInterfaceId"]),
        }
    resources += [second | {"delete": True, "id": "r-old"}]
    (settled.workspace.path / "state.json").write_text(json.dumps(exported))
    settled.does("pulumi stack import --file state.json")

    _, said = import_file(settled)
    assert "0 to take over, 3 held already, 0 to be turned first." in said
    settled.does("pulumi preview")
    settled.does("python -m routes verify --stack dev")


def test_a_forced_replacement_is_told_what_is_true(settled: Person) -> None:
    urn = next(one["urn"] for one in settled.state() if one["type"] == ROUTE_TYPE)

    forced = settled.is_refused(f"pulumi preview --replace {urn}")
    settled.does(f"pulumi state taint {urn} --yes")
    tainted = settled.types("pulumi up --yes --skip-preview")

    assert tainted.code != 0
    for text in (forced, " ".join(tainted.text.split())):
        assert "this route stands. A table holds one route to a destination" in text
        assert "did not declare it" not in text
    (remedy,) = {line for line in tainted.text.splitlines() if "untaint" in line}
    settled.pastes(f"{remedy} --yes")
    settled.does("pulumi preview --expect-no-changes")
    assert settled.pod_routes() == settled.wanted()


def test_an_unknown_stack_is_one_clear_error(person: Person) -> None:
    outcome = person.types("python -m routes import-file --stack production")

    assert outcome.code == 2
    assert "stack production of this folder's project: cannot be read" in outcome.text
    assert "Traceback" not in outcome.text


def test_a_route_that_was_handed_over_is_let_go_in_a_table_that_is_left_too(
    person: Person,
) -> None:
    person.configure(protect="true")
    person.does("pulumi up --yes --skip-preview")
    destination = labs.pod_cidr(1)
    gateway = person.routes()["0.0.0.0/0"]["GatewayId"]
    person.ec2.replace_route(
        RouteTableId=person.lab.table_id,
        DestinationCidrBlock=destination,
        GatewayId=gateway,
    )
    other = labs.create_table(person.ec2, person.lab.vpc_id, "other")
    person.configure(routeTables=other)

    said = person.is_refused("pulumi preview")

    assert f"leads to {gateway} now" in said
    (command,) = re.findall(r"pulumi state delete --force '\S+' --stack dev", said)
    person.does(" ".join(shlex.split(command)) + " --yes")
    person.does("pulumi state unprotect --all --yes")
    person.does("pulumi up --yes --skip-preview")
    assert person.pod_routes(other) == person.wanted()
    assert person.pod_routes().keys() == {destination}
    assert person.routes()[destination]["GatewayId"] == gateway
