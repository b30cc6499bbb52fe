"""What `verify` proposes can be pasted, all of one report, and then nothing is left."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routes.report.summary import Summary
from routes.verify.packets import Question
from routes.verify.verification import Verification
from sandbox.ec2.client import Sandbox
from tests.commands import call
from tests.sandbox.wires.accounts import Standing, accounts
from tests.sandbox.wires.test_accounts import Judges

QUESTIONS = st.sampled_from([Question(), Question("tcp"), Question("tcp", 8080)])


def proposed(found: Verification) -> list[str]:
    """Return the calls of EC2 that people see, in order; not those that only look."""
    return [
        finding.command
        for findings in Summary(found).sections.values()
        for finding in findings
        if finding.command.startswith("aws ec2")
        and not finding.command.startswith("aws ec2 describe")
    ]


@given(accounts(), QUESTIONS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_round_of_commands_mends_all_that_they_can(
    running: Sandbox,
    aws_environment: pytest.MonkeyPatch,
    standing: Standing,
    question: Question,
) -> None:
    for name, value in running.environment.items():
        aws_environment.setenv(name, value)
    running.reset()
    judges = Judges(running)
    judges.accounts.hold(standing)

    for command in proposed(judges.verified(question)):
        call(judges.accounts.ec2, command)

    assert proposed(judges.verified(question)) == []
