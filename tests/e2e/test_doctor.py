"""`python -m routes doctor` in the sandbox, with all permissions and with some."""

from __future__ import annotations

import time

from routes import doctor
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.e2e.cli_user import CliUser, Outcome
from tests.e2e.test_faults import sidecar
from tests.policies import acting_with, grant, policy

DOCTOR = "python -m routes doctor --stack dev"


def missing(examined: Outcome) -> list[str]:
    """Return the checks that failed."""
    lines = examined.text.splitlines()
    return [line.split()[1] for line in lines if line.startswith("MISSING ")]


def test_the_doctor_finds_nothing_missing_and_changes_nothing(user: CliUser) -> None:
    before = user.routes()

    text = user.does(DOCTOR).text

    assert text.count("allowed") == 14
    assert "?" not in text
    assert "123456789012" in text
    assert "Nothing is missing." in text
    assert user.routes() == before


def test_the_doctor_names_each_missing_permission(
    user: CliUser, local_aws: Sandbox
) -> None:
    keys = acting_with(local_aws, policy("preview"))

    examined = user.types(DOCTOR, **keys)

    assert examined.code == 1
    assert missing(examined) == [
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

    grant(local_aws, policy("verify"))
    assert len(missing(user.types(DOCTOR, **keys))) == 3


def test_checks_that_cannot_be_made_are_reported_with_the_reason(
    user: CliUser,
) -> None:
    user.configure(workers=None)

    examined = user.types(DOCTOR)

    assert examined.code == 1
    assert missing(examined) == ["configuration"]
    assert "pulumi config set pod-routes:workers" in examined.text
    assert "account                           123456789012" in examined.text
    assert examined.text.count("allowed") == 10

    examined = user.types("python -m routes doctor --stack none")
    assert missing(examined) == ["stack"]
    assert "pulumi stack ls" in examined.text
    assert "AWS          not checked: no stack" in examined.text

    examined = user.types(DOCTOR, PULUMI_BACKEND_URL="file:///nowhere")
    assert missing(examined) == ["backend"]
    assert "pulumi login" in examined.text
    assert "stack, AWS   not checked: no backend" in examined.text


def test_if_ec2_hangs_the_other_checks_take_less_than_half_a_minute(
    user: CliUser, local_aws: Sandbox
) -> None:
    """boto3#4301: STS answers, EC2 does not."""
    actions = {each for actions in doctor.actions().values() for each in actions}
    local_aws.control(Control(faults=tuple(Fault(action=a, delay=60) for a in actions)))
    began = time.monotonic()

    examined = user.types(DOCTOR)

    seconds = time.monotonic() - began
    local_aws.control(Control())
    assert "Traceback" not in examined.text
    assert "123456789012" in examined.text
    assert "inconclusive: the call failed" in examined.text
    assert missing(examined) == ["plan"]
    assert seconds < 30


def test_the_doctor_names_the_command_that_repairs_each_empty_file(
    user: CliUser,
) -> None:
    user.does("pulumi refresh --yes")
    state = sidecar(user).with_name("dev.json")
    locks = state.parents[2] / "locks/organization/pod-routes/dev"
    locks.mkdir(parents=True, exist_ok=True)
    for file in (state, sidecar(user), locks / "a b.json"):
        file.write_bytes(b"")

    examined = user.types(DOCTOR)

    assert missing(examined) == ["stack"]
    commands = [line for line in examined.text.splitlines() if line.startswith("  ")]
    for command in commands[-3:]:
        user.pastes(command)
    assert not [*locks.iterdir()]
    user.does(DOCTOR)
