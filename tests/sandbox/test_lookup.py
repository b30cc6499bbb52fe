"""The program's lookup over HTTP, while EC2 fails, refuses or is slow."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from routes import settings
from routes.aws import clients
from routes.aws.access import load_access
from routes.aws.discovery import look_up
from routes.errors import LookupFailedError
from sandbox import TOP
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault

READ = json.loads((TOP / "policies/preview.json").read_text())["Statement"][0]["Action"]
ACTIONS = [action.removeprefix("ec2:") for action in READ]


@pytest.fixture
def workers_found(
    box: Sandbox, lab: labs.Lab, aws_environment: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Look up the lab's workers, with other keys of the stack if given; count them."""
    for name, value in box.environment.items():
        aws_environment.setenv(name, value)
    box.clear_calls()

    def find(**keys: str) -> int:
        config = {
            "aws:region": "us-east-1",
            "pod-routes:routeTables": "kubernetes",
            "pod-routes:workers": ",".join(lab.workers),
            "pod-routes:clusterCidr": labs.POD_RANGE,
        } | {f"aws:{key}": value for key, value in keys.items()}
        found = look_up(load_access(config), settings.load(config, "dev"))
        return sum(map(len, found.workers.values()))

    return find


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            {"code": "RequestLimitExceeded", "status": 503, "rate": 0.4}, id="throttled"
        ),
        pytest.param({"code": "InternalError", "status": 500, "times": 2}, id="500"),
        pytest.param({"reset": True, "times": 2}, id="connection reset"),
    ],
)
def test_a_call_that_fails_for_a_while_comes_through(
    box: Sandbox,
    workers_found: Callable[..., int],
    action: str,
    fault: dict[str, object],
) -> None:
    box.control(Control(faults=(Fault(action=action, **fault),)))  # type: ignore[arg-type]

    assert workers_found() == 2


def test_an_answer_past_the_read_timeout_is_asked_for_again(
    box: Sandbox, workers_found: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "READ_SECONDS", 1)
    late = Fault(action="DescribeInstances", delay=2, times=1)
    box.control(Control(faults=(late,)))

    assert workers_found() == 2


def test_throttling_that_does_not_end_names_the_call_and_the_setting(
    box: Sandbox, workers_found: Callable[..., int]
) -> None:
    busy = Fault(action="DescribeVpcs", code="RequestLimitExceeded", status=503)
    box.control(Control(faults=(busy,)))

    with pytest.raises(LookupFailedError, match="aws:maxRetries") as refused:
        workers_found(maxRetries="3")

    assert "DescribeVpcs" in str(refused.value)
    assert "RequestLimitExceeded" in str(refused.value)
    assert box.count()["DescribeVpcs"] == 3


@pytest.mark.parametrize("action", ACTIONS)
def test_each_right_to_read_is_needed(
    box: Sandbox,
    workers_found: Callable[..., int],
    aws_environment: pytest.MonkeyPatch,
    action: str,
) -> None:
    """And one that the policy lacks is named with the statement to add."""
    rest = [f"ec2:{other}" for other in ACTIONS if other != action]
    statement = {"Effect": "Allow", "Action": rest, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = box.client("iam")
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=document)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    aws_environment.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    box.control(Control(iam=True))

    with pytest.raises(LookupFailedError) as refused:
        workers_found()

    assert f"Allow ec2:{action} for this identity" in str(refused.value)
    assert "UnauthorizedOperation" in str(refused.value)
