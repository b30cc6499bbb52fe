"""After the suggested commands of one report, `verify` suggests no others."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routes.report.summary import Summary
from routes.verify.header_space import Traffic
from routes.verify.verification import Verification
from sandbox.ec2.client import Sandbox
from tests.commands import call
from tests.sandbox.netns.accounts import Settings, accounts
from tests.sandbox.netns.test_accounts import Comparison

TRAFFIC = st.sampled_from([Traffic(), Traffic("tcp"), Traffic("tcp", 8080)])


def suggested(verification: Verification) -> list[str]:
    """Return the suggested commands that change EC2, in the order of the report."""
    return [
        finding.command
        for findings in Summary(verification).sections.values()
        for finding in findings
        if finding.command.startswith("aws ec2")
        and not finding.command.startswith("aws ec2 describe")
    ]


@given(accounts(), TRAFFIC)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_round_of_commands_fixes_all_that_they_can(
    running: Sandbox,
    aws_environment: pytest.MonkeyPatch,
    account: Settings,
    traffic: Traffic,
) -> None:
    for name, value in running.environment.items():
        aws_environment.setenv(name, value)
    running.reset()
    comparison = Comparison(running)
    comparison.account.apply(account)

    for command in suggested(comparison.verify(traffic)):
        call(comparison.ec2, command)

    assert suggested(comparison.verify(traffic)) == []
