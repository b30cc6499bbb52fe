"""User data is secret: nothing of it but the pod CIDR is seen anywhere."""

from __future__ import annotations

import pytest

from sandbox import lab as labs
from tests.e2e.conftest import Person

CANARY = "c4n4ry-0f-th3-l4b"


@pytest.fixture
def secretive(person: Person) -> Person:
    """Somebody whose workers carry a secret beside their pod CIDR."""
    for index in range(2):
        labs.add_worker(
            person.ec2,
            person.lab,
            f"secret-{index}",
            address=f"10.0.1.{90 + index}",
            user_data=f"token={CANARY}|{labs.user_data(30 + index)}|{CANARY}",
        )
    person.configure(workers="secret-*")
    return person


@pytest.mark.parametrize(
    "command",
    [
        "pulumi preview --json",
        "pulumi preview -v=9 --logtostderr",
        "pulumi up --yes --skip-preview -v=9 --logtostderr",
        "python -m routes import-file --stack dev",
    ],
)
def test_a_secret_beside_the_cidr_is_never_shown(
    secretive: Person, command: str
) -> None:
    outcome = secretive.does(command)

    assert CANARY not in outcome.text
    assert CANARY not in secretive.does("pulumi stack export --show-secrets").text
    assert CANARY not in secretive.does("pulumi stack output --json").text
    for file in secretive.workspace.path.rglob("*"):
        if file.is_file() and not file.is_relative_to(
            secretive.workspace.path / "home"
        ):
            assert CANARY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "user_data",
    [
        pytest.param(f"pod-cidr={CANARY}", id="as the value"),
        pytest.param(
            f"pod-cidr=10.200.40.0/24|pod-cidr={CANARY}", id="as a second value"
        ),
        pytest.param(f"{CANARY}", id="as all there is"),
        pytest.param(f"pod-cidr=10.200.40.0/{CANARY}", id="as the prefix length"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "pulumi preview -v=9 --logtostderr",
        "python -m routes import-file --stack dev",
    ],
)
def test_a_secret_that_is_no_cidr_is_never_shown(
    person: Person, user_data: str, command: str
) -> None:
    labs.add_worker(
        person.ec2, person.lab, "odd", address="10.0.1.95", user_data=user_data
    )
    person.configure(workers="odd")

    outcome = person.types(command)

    assert outcome.code != 0
    assert "odd (i-" in outcome.text
    assert CANARY not in outcome.text
