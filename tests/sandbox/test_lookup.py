"""The lookup over HTTP while EC2 fails, refuses or is slow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from routes import settings
from routes.aws import clients
from routes.aws.access import load_access
from routes.aws.clients import connect
from routes.aws.discovery import discover, look_up
from routes.engine.state import Stack
from routes.errors import LookupFailedError
from routes.model import Discovery
from routes.planning import plan
from routes.verify import collect
from routes.verify.snapshot import Snapshot
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.policies import acting_with, policy, without

PREVIEW = policy("preview")
VERIFY = without(
    policy("verify"),
    "ec2:DescribeManagedPrefixLists",
    "ec2:DescribeNatGateways",
    "ec2:GetManagedPrefixListEntries",
)
"""Without the actions for a quota, and for routes to NAT gateways and prefix lists."""
ACTIONS = [action.removeprefix("ec2:") for action in PREVIEW["Statement"][0]["Action"]]


@pytest.fixture
def config(
    local_aws: Sandbox, lab: labs.Lab, aws_environment: pytest.MonkeyPatch
) -> dict[str, str]:
    """Return a configuration for the lab's workers, and set its environment."""
    for name, value in local_aws.environment.items():
        aws_environment.setenv(name, value)
    local_aws.clear_calls()
    return {
        "aws:region": "us-east-1",
        "pod-routes:routeTables": "kubernetes",
        "pod-routes:workers": ",".join(lab.workers),
        "pod-routes:clusterCidr": labs.POD_RANGE,
    }


def find(config: Mapping[str, str]) -> Discovery:
    """Read what a preview reads."""
    return look_up(load_access(config), settings.load(config, "dev"))


def take_snapshot(config: Mapping[str, str]) -> Snapshot:
    """Read what a verification reads."""
    configured = settings.load(config, "dev")
    clients = connect(load_access(config), "us-east-1")
    stack = Stack(name="dev", config=config, managed={}, components={})
    discovery = discover(clients, configured, whole_vpc=True)
    drafted = plan.draft(configured, discovery, stack)
    return collect.snapshot(clients, stack, configured, discovery, drafted)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            {"code": "RequestLimitExceeded", "status": 503, "times": 3}, id="throttled"
        ),
        pytest.param({"code": "InternalError", "status": 500, "times": 2}, id="500"),
        pytest.param({"reset": True, "times": 2}, id="connection reset"),
    ],
)
def test_a_call_that_fails_temporarily_is_retried(
    local_aws: Sandbox,
    config: dict[str, str],
    action: str,
    fault: dict[str, object],
) -> None:
    find(config)
    usual = local_aws.count()[action]
    local_aws.clear_calls()
    local_aws.control(Control(faults=(Fault(action=action, **fault),)))  # type: ignore[arg-type]

    assert sum(map(len, find(config).workers.values())) == 2
    assert local_aws.count()[action] == usual + int(str(fault["times"]))


def test_a_call_is_retried_after_the_read_timeout(
    local_aws: Sandbox, config: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "READ_SECONDS", 1)
    late = Fault(action="DescribeInstances", delay=60, times=1)
    local_aws.control(Control(faults=(late,)))

    assert sum(map(len, find(config).workers.values())) == 2
    local_aws.control(Control())  # the first call is counted once it is answered
    assert local_aws.count()["DescribeInstances"] == 2


def test_endless_throttling_names_the_call_and_the_setting(
    local_aws: Sandbox, config: dict[str, str]
) -> None:
    busy = Fault(action="DescribeVpcs", code="RequestLimitExceeded", status=503)
    local_aws.control(Control(faults=(busy,)))

    with pytest.raises(LookupFailedError, match="aws:maxRetries") as error:
        find(config | {"aws:maxRetries": "3"})

    assert "DescribeVpcs" in str(error.value)
    assert "RequestLimitExceeded" in str(error.value)
    assert local_aws.count()["DescribeVpcs"] == 3


@pytest.mark.parametrize(
    ("read", "document", "missing"),
    [
        pytest.param(read, document, missing, id=f"{read.__name__}: {missing}")
        for read, document in ((find, PREVIEW), (take_snapshot, VERIFY))
        for missing in (None, *document["Statement"][0]["Action"])
    ],
)
def test_the_policy_is_enough_and_each_of_its_actions_is_needed(
    local_aws: Sandbox,
    config: dict[str, str],
    read: Callable[[Mapping[str, str]], Discovery | Snapshot],
    document: dict[str, Any],
    missing: str | None,
) -> None:
    """An action that the policy lacks is reported with the statement to add."""
    keys = acting_with(local_aws, without(document, missing or ""))
    config["aws:accessKey"] = keys["AWS_ACCESS_KEY_ID"]
    config["aws:secretKey"] = keys["AWS_SECRET_ACCESS_KEY"]

    denied: Collection[str] = ()
    try:
        result = read(config)
        if isinstance(result, Snapshot):
            denied = result.denied.values()
    except LookupFailedError as error:
        denied = (str(error),)

    reasons = " ".join(" ".join(denied).split())
    if missing:
        assert f"Allow {missing} for this identity" in reasons
    else:
        assert reasons == ""


def test_the_nat_gateway_of_a_route_is_looked_up(
    local_aws: Sandbox, config: dict[str, str], lab: labs.Lab
) -> None:
    ec2 = local_aws.client("ec2")
    gateway = ec2.create_nat_gateway(SubnetId=lab.subnet_id, ConnectivityType="private")
    gateway_id = gateway["NatGateway"]["NatGatewayId"]
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock="192.168.0.0/16",
        NatGatewayId=gateway_id,
    )

    assert take_snapshot(config).nat_gateways == {gateway_id: lab.subnet_id}

    lacking = without(policy("verify"), "ec2:DescribeNatGateways")
    keys = acting_with(local_aws, lacking)
    config["aws:accessKey"] = keys["AWS_ACCESS_KEY_ID"]
    config["aws:secretKey"] = keys["AWS_SECRET_ACCESS_KEY"]
    assert [*take_snapshot(config).denied] == ["DescribeNatGateways"]
