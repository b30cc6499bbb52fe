"""User data is secret: nothing of it but the pod CIDR is seen anywhere."""

from __future__ import annotations

import pytest

from sandbox import lab as labs
from tests.e2e.person import Person

CANARY = "c4n4ry-0f-th3-l4b"


def test_a_secret_beside_the_cidr_is_never_shown(person: Person) -> None:
    for index in range(2):
        labs.add_worker(
            person.ec2,
            person.lab,
            f"secret-{index}",
            address=f"10.0.1.{90 + index}",
            user_data=f"token={CANARY}|{labs.user_data(30 + index)}|{CANARY}",
        )
    person.configure(workers="secret-*")

    for command in (
        "pulumi preview --json",
        "python -m routes import-file --stack dev",
        "pulumi up --yes -v=9 --logtostderr",
        "pulumi stack export --show-secrets",
        "pulumi stack output --json",
    ):
        assert CANARY not in person.does(command).text, command
    home = person.workspace.path / "home"
    files = [file for file in person.workspace.path.rglob("*") if file.is_file()]
    for file in files:
        if not file.is_relative_to(home):
            assert CANARY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "command",
    [
        "pulumi preview -v=9 --logtostderr",
        "python -m routes import-file --stack dev",
    ],
)
def test_a_secret_that_is_no_cidr_is_never_shown(person: Person, command: str) -> None:
    """As the value, as a second one, as all there is, and as the prefix length."""
    for index, user_data in enumerate(
        (
            f"pod-cidr={CANARY}",
            f"pod-cidr=10.200.40.0/24|pod-cidr={CANARY}",
            CANARY,
            f"pod-cidr=10.200.40.0/{CANARY}",
        )
    ):
        labs.add_worker(
            person.ec2,
            person.lab,
            f"odd-{index}",
            address=f"10.0.1.{95 + index}",
            user_data=user_data,
        )
    person.configure(workers="odd-*")

    outcome = person.types(command)

    assert outcome.code != 0
    for index in range(4):
        assert f"odd-{index} (i-" in outcome.text
    assert CANARY not in outcome.text
