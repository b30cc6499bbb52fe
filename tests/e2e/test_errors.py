"""What a person sees when something is wrong: one clean block, and nothing changed."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox import lab as labs
from tests.e2e.person import Person

UP = "pulumi up --yes --skip-preview"


def test_namesakes_are_listed_each_with_the_command_that_keeps_it(
    person: Person,
) -> None:
    twin = labs.add_worker(
        person.ec2,
        person.lab,
        "worker-1",
        address="10.0.1.61",
        user_data=labs.user_data(1),
    )

    old = person.lab.workers["worker-1"]

    refused = person.types("pulumi up --yes")
    text = " ".join(refused.text.split())

    assert refused.code != 0
    assert "expected one live instance with Name=worker-1" in text
    assert f"{twin} running 10.0.1.61" in text
    assert f"{old} running 10.0.1.21" in text
    for kept in (old, twin):
        under = text.partition(f"{kept} running")[2].partition("to keep this one: ")[2]
        person.configure()
        person.does(under.partition(" --stack dev")[0])
        person.does(UP)
        route = "10.200.1.0/24", labs.interface_of(person.ec2, kept)
        assert route in person.pod_routes().items()


def test_every_fault_is_told_at_once(person: Person) -> None:
    for name, address, data in (
        ("none", "10.0.1.70", ""),
        ("host", "10.0.1.71", "pod-cidr=10.200.7.5/24"),
        ("copy", "10.0.1.72", labs.user_data(0)),
        ("far", "10.0.1.73", "pod-cidr=10.77.0.0/24"),
        ("vpc", "10.0.1.74", "pod-cidr=10.0.9.0/24"),
    ):
        labs.add_worker(person.ec2, person.lab, name, address=address, user_data=data)
    person.configure(workers="worker-0,worker-9,none,host,copy,far,vpc")

    text = person.is_refused("pulumi up --yes")

    assert "worker-9: expected a live instance with Name=worker-9 in" in text
    assert "it has no user data." in text
    assert "has host bits set; its network is 10.200.7.0/24." in text
    assert "its pod CIDR 10.200.0.0/24 is also that of" in text
    assert "inside pod-routes:clusterCidr (10.200.0.0/16), found 10.77.0.0/24." in text
    assert "its pod CIDR 10.0.9.0/24 overlaps 10.0.0.0/16 of" in text


def test_a_misspelt_key_names_the_nearest(person: Person) -> None:
    person.configure(minWorker=3)

    refused = person.types("pulumi preview")
    text = " ".join(refused.text.split())

    assert refused.code != 0
    assert "pod-routes:minWorker: there is no such key" in text
    assert "the nearest is pod-routes:minWorkers" in text
    remedy = next(line for line in refused.text.splitlines() if " && " in line)
    person.pastes(remedy)
    assert person.does("pulumi config get pod-routes:minWorkers").text.strip() == "3"
    person.does("pulumi preview")


def test_a_route_made_by_hand_is_refused_by_name(person: Person) -> None:
    person.ec2.create_route(
        RouteTableId=person.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        InstanceId=person.lab.workers["worker-1"],
    )
    standing = person.pod_routes()

    outcome = person.types(UP)

    assert outcome.code != 0
    text = " ".join(outcome.text.split())
    assert "these routes already exist, to the right target" in text
    assert f"{person.lab.table_id} 10.200.1.0/24 of worker-1" in text
    assert "python -m routes import-file --stack dev" in text
    assert "Traceback" not in text
    assert person.pod_routes() == standing


def test_without_credentials_the_error_says_so(person: Person) -> None:
    text = person.is_refused(
        "pulumi preview", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""
    )

    assert "credentials" in text


def test_credentials_that_cannot_be_had_are_one_message_everywhere(
    person: Person, tmp_path: Path
) -> None:
    """botocore#2779: a helper that prints something else ended even a watcher."""
    file = tmp_path / "config"
    file.write_text("[profile ops]\ncredential_process = echo no JSON\n")
    person.configure(workers="worker-*", unready="skip", maxRemovals="50%")
    person.does("pulumi config set aws:profile ops")
    names = {
        "AWS_CONFIG_FILE": str(file),
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
    }
    told = "(credential_process of profile ops): its output isn't valid credentials"

    previewed = person.types("pulumi preview", **names)
    assert previewed.code != 0
    assert told in " ".join(previewed.text.split())
    assert "Traceback" not in previewed.text

    examined = person.types("python -m routes doctor --stack dev", **names)
    assert examined.code == 1
    assert told in " ".join(examined.text.split())
    assert "MISSING   credentials" in examined.text

    watched = person.types("python -m routes watch --stack dev --once", **names)
    assert watched.code == 2
    assert told in " ".join(
        json.loads(watched.text.splitlines()[-1])["message"].split()
    )
