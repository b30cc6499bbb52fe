"""A stack that version 2.0 wrote is upgraded by an update, without any change.

`state-2.0.json` is the lab's state as `pulumi stack export` printed it after an update
by version 2.0 with the stand-in for the AWS plugin, without source positions. Capitals
stand for ids.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from routes.cache import PARSER
from routes.model import COMPONENT_TYPE
from sandbox.ec2.client import Sandbox
from sandbox.pulumi.engine import Engine
from tests.e2e.cli_user import CliUser
from tests.e2e.test_adoption import by_hand
from tests.e2e.watching import WATCH, WATCHED

WRITTEN = Path(__file__).with_name("state-2.0.json")
WRITES = {"CreateRoute", "ReplaceRoute", "DeleteRoute"}


@pytest.fixture(autouse=True)
def stand_in(engine: Engine) -> None:
    if not engine.stand_in:
        pytest.skip("another provider's state has other properties")


def import_state(user: CliUser) -> dict[str, Any]:
    """Import the state of version 2.0 with the lab's ids, and return its deployment."""
    text = WRITTEN.read_text()
    ids = {"TABLE": user.lab.table_id, "VPC": user.lab.vpc_id}
    for number, instance_id in enumerate(user.lab.workers.values()):
        (reservation,) = user.ec2.describe_instances(InstanceIds=[instance_id])[
            "Reservations"
        ]
        (instance,) = reservation["Instances"]
        ids |= {
            f"INSTANCE-{number}": instance_id,
            f"INTERFACE-{number}": user.interface(f"worker-{number}"),
            f"LAUNCHED-{number}": instance["LaunchTime"].isoformat(),
        }
    for name, value in ids.items():
        text = text.replace(name, value)
    (user.workspace.path / "state.json").write_text(text)
    user.does("pulumi stack import --file state.json")
    deployment: dict[str, Any] = json.loads(text)["deployment"]
    return deployment


def identities(resources: list[dict[str, Any]]) -> dict[str, tuple[object, ...]]:
    """Return the id, the parent and the outputs of each resource, by URN.

    The component's outputs have changed.
    """
    return {
        each["urn"]: (
            each.get("id"),
            each.get("parent"),
            None if each["type"] == COMPONENT_TYPE else each.get("outputs"),
        )
        for each in resources
    }


def test_a_stack_of_version_2_0_is_upgraded_without_any_change(
    user: CliUser, local_aws: Sandbox
) -> None:
    by_hand(user, *user.lab.workers)
    written = import_state(user)["resources"]
    local_aws.clear_calls()

    preview = user.does("pulumi preview --expect-no-changes")
    update = user.does("pulumi up --yes --skip-preview")

    assert preview.changes() == update.changes() == {"unchange": 5}
    assert not local_aws.count().keys() & WRITES
    # Version 2.0 had an older parser, whose results are not used.
    assert local_aws.count()["DescribeInstanceAttribute"] == 2 * len(user.lab.workers)
    (stack,) = (each for each in written if each["type"] == "pulumi:pulumi:Stack")
    stack["outputs"]["workers"]["parser"] = PARSER
    assert identities(user.state()) == identities(written)
    user.does("pulumi preview --expect-no-changes --refresh")
    user.does("pulumi destroy --yes --skip-preview")
    assert user.pod_routes() == {}


def test_a_watcher_finds_a_stack_of_version_2_0_in_sync(
    user: CliUser, local_aws: Sandbox
) -> None:
    by_hand(user, *user.lab.workers)
    import_state(user)
    user.configure(**WATCHED)
    history = user.does("pulumi stack history --json").text
    local_aws.clear_calls()

    once = user.does(f"{WATCH} --once --log-format text")

    assert once.text.endswith(" 3 of 3 routes are in place.\n")
    assert not local_aws.count().keys() & WRITES
    assert user.does("pulumi stack history --json").text == history
