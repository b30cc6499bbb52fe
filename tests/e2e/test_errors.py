"""What a user sees when something is wrong: one clean block, and nothing changed."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox import lab as labs
from tests.e2e.cli_user import CliUser

UP = "pulumi up --yes --skip-preview"


def test_namesakes_are_listed_each_with_the_command_that_selects_it(
    user: CliUser,
) -> None:
    new = labs.add_worker(
        user.ec2,
        user.lab,
        "worker-1",
        address="10.0.1.61",
        user_data=labs.user_data(1),
    )

    old = user.lab.workers["worker-1"]

    refused = user.types("pulumi up --yes")
    text = " ".join(refused.text.split())

    assert refused.code != 0
    assert "expected one live instance with Name=worker-1" in text
    assert f"{new} running 10.0.1.61" in text
    assert f"{old} running 10.0.1.21" in text
    for instance_id in (old, new):
        rows = text.partition(f"{instance_id} running")[2]
        command = rows.partition("to select this one: ")[2]
        user.configure()
        user.does(command.partition(" --stack dev")[0])
        user.does(UP)
        route = "10.200.1.0/24", labs.interface_of(user.ec2, instance_id)
        assert route in user.pod_routes().items()


def test_all_faults_are_reported_at_once(user: CliUser) -> None:
    for name, address, data in (
        ("none", "10.0.1.70", ""),
        ("host", "10.0.1.71", "pod-cidr=10.200.7.5/24"),
        ("copy", "10.0.1.72", labs.user_data(0)),
        ("far", "10.0.1.73", "pod-cidr=10.77.0.0/24"),
        ("vpc", "10.0.1.74", "pod-cidr=10.0.9.0/24"),
    ):
        labs.add_worker(user.ec2, user.lab, name, address=address, user_data=data)
    user.configure(workers="worker-0,worker-9,none,host,copy,far,vpc")

    text = user.is_refused("pulumi up --yes")

    assert "worker-9: expected a live instance with Name=worker-9 in" in text
    assert "it has no user data." in text
    assert "has host bits set; its network is 10.200.7.0/24." in text
    assert "its pod CIDR 10.200.0.0/24 is also that of" in text
    assert "inside pod-routes:clusterCidr (10.200.0.0/16), found 10.77.0.0/24." in text
    assert "its pod CIDR 10.0.9.0/24 overlaps 10.0.0.0/16 of" in text


def test_the_fault_of_a_misspelt_key_names_the_nearest(user: CliUser) -> None:
    user.configure(minWorker=3)

    refused = user.types("pulumi preview")
    text = " ".join(refused.text.split())

    assert refused.code != 0
    assert "pod-routes:minWorker: there is no such key" in text
    assert "the nearest name is pod-routes:minWorkers" in text
    hint = next(line for line in refused.text.splitlines() if " && " in line)
    user.pastes(hint)
    assert user.does("pulumi config get pod-routes:minWorkers").text.strip() == "3"
    user.does("pulumi preview")


def test_a_route_created_by_hand_is_refused_by_name(user: CliUser) -> None:
    user.ec2.create_route(
        RouteTableId=user.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        InstanceId=user.lab.workers["worker-1"],
    )
    existing = user.pod_routes()

    outcome = user.types(UP)

    assert outcome.code != 0
    text = " ".join(outcome.text.split())
    assert "these routes already exist with the right target" in text
    assert f"{user.lab.table_id} 10.200.1.0/24 of worker-1" in text
    assert "python -m routes import-file --stack dev" in text
    assert "Traceback" not in text
    assert user.pod_routes() == existing


def test_without_credentials_the_error_says_so(user: CliUser) -> None:
    text = user.is_refused(
        "pulumi preview", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""
    )

    assert "credentials" in text


def test_unusable_credentials_are_the_same_message_everywhere(
    user: CliUser, tmp_path: Path
) -> None:
    """botocore#2779: a helper without valid output used to end even a watcher."""
    file = tmp_path / "config"
    file.write_text("[profile ops]\ncredential_process = echo no JSON\n")
    user.configure(workers="worker-*", unready="skip", maxRemovals="50%")
    user.does("pulumi config set aws:profile ops")
    names = {
        "AWS_CONFIG_FILE": str(file),
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
    }
    message = "(credential_process of profile ops): its output isn't valid credentials"

    previewed = user.types("pulumi preview", **names)
    assert previewed.code != 0
    assert message in " ".join(previewed.text.split())
    assert "Traceback" not in previewed.text

    examined = user.types("python -m routes doctor --stack dev", **names)
    assert examined.code == 1
    assert message in " ".join(examined.text.split())
    assert "MISSING   credentials" in examined.text

    watched = user.types("python -m routes watch --stack dev --once", **names)
    assert watched.code == 2
    assert message in " ".join(
        json.loads(watched.text.splitlines()[-1])["message"].split()
    )
