"""`python -m routes doctor` in the sandbox, with every right and with some."""

from __future__ import annotations

import time

from routes.doctor import RIGHTS
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.e2e.person import Outcome, Person
from tests.e2e.test_faults import sidecar
from tests.policies import acting_with, grant, policy

DOCTOR = "python -m routes doctor --stack dev"


def missing(found: Outcome) -> list[str]:
    lines = found.text.splitlines()
    return [line.split()[1] for line in lines if line.startswith("MISSING ")]


def test_the_doctor_finds_nothing_missing_and_changes_nothing(person: Person) -> None:
    before = person.routes()

    said = person.does(DOCTOR).text

    assert said.count("allowed") == 14
    assert "?" not in said
    assert "123456789012" in said
    assert "Nothing is missing." in said
    assert person.routes() == before


def test_the_doctor_names_each_right_that_is_missing(
    person: Person, box: Sandbox
) -> None:
    keys = acting_with(box, policy("preview"))

    found = person.types(DOCTOR, **keys)

    assert found.code == 1
    assert missing(found) == [
        f"ec2:{action}"
        for action in (
            "CreateRoute",
            "ReplaceRoute",
            "DeleteRoute",
            "DescribeSubnets",
            "DescribeNetworkInterfaces",
            "DescribeNetworkAcls",
            "DescribeSecurityGroupRules",
            "DescribeManagedPrefixLists",
            "DescribeNatGateways",
            "GetManagedPrefixListEntries",
        )
    ]

    grant(box, policy("verify"))
    assert len(missing(person.types(DOCTOR, **keys))) == 3


def test_what_cannot_be_looked_at_is_told_with_why(person: Person) -> None:
    person.configure(workers=None)

    found = person.types(DOCTOR)

    assert found.code == 1
    assert missing(found) == ["configuration"]
    assert "pulumi config set pod-routes:workers" in found.text
    assert "account                           123456789012" in found.text
    assert found.text.count("allowed") == 10

    found = person.types("python -m routes doctor --stack none")
    assert missing(found) == ["stack"]
    assert "pulumi stack ls" in found.text
    assert "AWS          not checked: no stack" in found.text

    found = person.types(DOCTOR, PULUMI_BACKEND_URL="file:///nowhere")
    assert missing(found) == ["backend"]
    assert "pulumi login" in found.text
    assert "stack, AWS   not checked: no backend" in found.text


def test_where_ec2_hangs_the_rest_is_told_within_half_a_minute(
    person: Person, box: Sandbox
) -> None:
    """boto3#4301: STS answers, EC2 does not."""
    actions = {action for actions in RIGHTS.values() for action in actions}
    box.control(Control(faults=tuple(Fault(action=a, delay=60) for a in actions)))
    began = time.monotonic()

    found = person.types(DOCTOR)

    took = time.monotonic() - began
    box.control(Control())
    assert "Traceback" not in found.text
    assert "123456789012" in found.text
    assert "EC2 does not tell: no answer" in found.text
    assert missing(found) == ["plan"]
    assert took < 30


def test_the_doctor_names_the_command_that_repairs_each_empty_file(
    person: Person,
) -> None:
    person.does("pulumi refresh --yes")
    state = sidecar(person).with_name("dev.json")
    locks = state.parents[2] / "locks/organization/pod-routes/dev"
    locks.mkdir(parents=True, exist_ok=True)
    for file in (state, sidecar(person), locks / "a b.json"):
        file.write_bytes(b"")

    found = person.types(DOCTOR)

    assert missing(found) == ["stack"]
    commands = [line for line in found.text.splitlines() if line.startswith("  ")]
    for command in commands[-3:]:
        person.pastes(command)
    assert not [*locks.iterdir()]
    person.does(DOCTOR)
