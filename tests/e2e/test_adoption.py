"""Routes created by hand with a shell loop are adopted without a change in AWS."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from routes.model import ROUTE_TYPE
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.cli_user import CliUser

IMPORT_FILE = "python -m routes import-file --stack dev"


def by_hand(user: CliUser, *workers: str) -> None:
    """Create the routes of these workers as a shell loop does."""
    for worker in workers:
        user.ec2.create_route(
            RouteTableId=user.lab.table_id,
            DestinationCidrBlock=labs.pod_cidr(int(worker.removeprefix("worker-"))),
            InstanceId=user.lab.workers[worker],
        )


def import_file(user: CliUser, code: int = 0) -> tuple[dict[str, Any], str]:
    """Write import.json as the README says; return it with the output on stderr."""
    line = f"{IMPORT_FILE} > import.json 2> notes; code=$?; cat notes; exit $code"
    outcome = user.runs("sh", "-c", line)
    assert outcome.code == code, outcome.text
    document = json.loads((user.workspace.path / "import.json").read_text())
    return document, outcome.text


def import_command(text: str) -> str:
    """Return the `pulumi import` command in this output."""
    return next(line for line in text.splitlines() if "pulumi import " in line)


def test_routes_created_by_hand_are_adopted_protected_and_then_unchanged(
    user: CliUser, local_aws: Sandbox
) -> None:
    by_hand(user, "worker-0", "worker-1", "worker-2")
    user.configure(protect="true")
    user.is_refused("pulumi preview")
    local_aws.clear_calls()

    document, text = import_file(user)
    command = import_command(text)
    assert "--protect=true" in command
    assert len(document["resources"]) == 4
    user.does(command)
    user.does("pulumi preview --expect-no-changes")

    counted = local_aws.count()
    assert not counted.keys() & {"CreateRoute", "ReplaceRoute", "DeleteRoute"}
    assert user.pod_routes() == user.desired()
    assert "protect" in user.is_refused("pulumi destroy --yes")


def test_a_managed_component_is_named_and_managed_routes_are_left_out(
    user: CliUser,
) -> None:
    user.configure(workers="worker-0")
    user.does("pulumi up --yes --skip-preview")
    by_hand(user, "worker-1")
    user.configure(workers="worker-0,worker-1")

    document, text = import_file(user)
    assert list(document["nameTable"]) == [user.lab.table_id]
    assert [resource["name"] for resource in document["resources"]] == [
        f"{user.lab.table_id}_10.200.1.0/24"
    ]
    assert "1 to adopt, 1 managed already, 0 in conflict." in text
    user.does(import_command(text))
    user.does("pulumi preview --expect-no-changes")


def test_a_wrong_target_is_explained_and_adopted_once_it_is_retargeted(
    user: CliUser,
) -> None:
    by_hand(user, "worker-0")
    user.ec2.replace_route(
        RouteTableId=user.lab.table_id,
        DestinationCidrBlock="10.200.0.0/24",
        NetworkInterfaceId=user.interface("worker-2"),
    )
    wrong = (
        f"{user.lab.table_id} 10.200.0.0/24: leads to"
        f" {user.interface('worker-2')}, and should lead to"
        f" {user.interface('worker-0')} of worker-0; it isn't in this stack's state."
    )

    for command in ("pulumi preview", "pulumi up --yes --skip-preview"):
        refused = user.is_refused(command)
        assert "nothing was changed" in refused
        assert wrong in refused

    document, text = import_file(user, code=1)
    assert document["resources"] == []
    assert wrong in " ".join(text.split())
    assert "0 to adopt, 0 managed already, 1 in conflict." in text

    assert "If it is yours, retarget it to the worker's interface" in text
    assert "aws ec2" not in text
    user.ec2.replace_route(
        RouteTableId=user.lab.table_id,
        DestinationCidrBlock="10.200.0.0/24",
        NetworkInterfaceId=user.interface("worker-0"),
    )
    _, text = import_file(user)
    user.does(import_command(text))
    assert user.does("pulumi up --yes").changes() == {"create": 2, "unchange": 3}


def test_without_routes_created_by_hand_the_file_is_empty(user: CliUser) -> None:
    document, text = import_file(user)

    assert document["resources"] == []
    assert "0 to adopt, 0 managed already, 0 in conflict." in text


def test_secrets_and_pending_deletions_in_the_state_are_understood(
    settled: CliUser,
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

    _, text = import_file(settled)
    assert "0 to adopt, 3 managed already, 0 in conflict." in text
    settled.does("pulumi preview")
    settled.does("python -m routes verify --stack dev")


def test_a_forced_replacement_is_refused_with_the_reason(settled: CliUser) -> None:
    urn = next(one["urn"] for one in settled.state() if one["type"] == ROUTE_TYPE)

    forced = settled.is_refused(f"pulumi preview --replace {urn}")
    settled.does(f"pulumi state taint {urn} --yes")
    tainted = settled.types("pulumi up --yes --skip-preview")

    assert tainted.code != 0
    for text in (forced, " ".join(tainted.text.split())):
        assert "this route exists, and a table has one route per destination" in text
        assert "did not declare it" not in text
    (hint,) = {line for line in tainted.text.splitlines() if "untaint" in line}
    settled.pastes(f"{hint} --yes")
    settled.does("pulumi preview --expect-no-changes")
    assert settled.pod_routes() == settled.desired()


def test_an_unknown_stack_is_one_clear_error(user: CliUser) -> None:
    outcome = user.types("python -m routes import-file --stack production")

    assert outcome.code == 2
    assert "stack production of this folder's project: cannot be read" in outcome.text
    assert "Traceback" not in outcome.text


def test_a_route_handed_over_is_removed_from_the_state_of_a_deselected_table(
    user: CliUser,
) -> None:
    user.configure(protect="true")
    user.does("pulumi up --yes --skip-preview")
    destination = labs.pod_cidr(1)
    gateway = user.routes()["0.0.0.0/0"]["GatewayId"]
    user.ec2.replace_route(
        RouteTableId=user.lab.table_id,
        DestinationCidrBlock=destination,
        GatewayId=gateway,
    )
    other = labs.create_table(user.ec2, user.lab.vpc_id, "other")
    user.configure(routeTables=other)

    text = user.is_refused("pulumi preview")

    assert f"now leads to {gateway}" in text
    (command,) = re.findall(r"pulumi state delete --force '\S+' --stack dev", text)
    user.does(" ".join(shlex.split(command)) + " --yes")
    user.does("pulumi state unprotect --all --yes")
    user.does("pulumi up --yes --skip-preview")
    assert user.pod_routes(other) == user.desired()
    assert user.pod_routes().keys() == {destination}
    assert user.routes()[destination]["GatewayId"] == gateway
