"""User data is secret: nothing of it but the pod CIDR is shown or stored."""

from __future__ import annotations

import pytest

from sandbox import lab as labs
from tests.e2e.cli_user import CliUser

CANARY = "c4n4ry-0f-th3-l4b"


def test_a_secret_beside_the_cidr_is_never_shown(user: CliUser) -> None:
    for index in range(2):
        labs.add_worker(
            user.ec2,
            user.lab,
            f"secret-{index}",
            address=f"10.0.1.{90 + index}",
            user_data=f"token={CANARY}|{labs.user_data(30 + index)}|{CANARY}",
        )
    user.configure(workers="secret-*")

    for command in (
        "pulumi preview --json",
        "python -m routes import-file --stack dev",
        "pulumi up --yes -v=9 --logtostderr",
        "pulumi stack export --show-secrets",
        "pulumi stack output --json",
    ):
        assert CANARY not in user.does(command).text, command
    home = user.workspace.path / "home"
    files = [file for file in user.workspace.path.rglob("*") if file.is_file()]
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
def test_a_secret_in_place_of_a_cidr_is_never_shown(
    user: CliUser, command: str
) -> None:
    """As the value, as a second one, as the whole user data, as the prefix length."""
    for index, user_data in enumerate(
        (
            f"pod-cidr={CANARY}",
            f"pod-cidr=10.200.40.0/24|pod-cidr={CANARY}",
            CANARY,
            f"pod-cidr=10.200.40.0/{CANARY}",
        )
    ):
        labs.add_worker(
            user.ec2,
            user.lab,
            f"odd-{index}",
            address=f"10.0.1.{95 + index}",
            user_data=user_data,
        )
    user.configure(workers="odd-*")

    outcome = user.types(command)

    assert outcome.code != 0
    for index in range(4):
        assert f"odd-{index} (i-" in outcome.text
    assert CANARY not in outcome.text
