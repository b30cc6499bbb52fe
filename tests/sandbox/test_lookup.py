"""The program's lookup over HTTP, while EC2 fails, refuses or is slow."""

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
"""Without what only a quota, or a route to a NAT gateway or a prefix list needs."""
ACTIONS = [action.removeprefix("ec2:") for action in PREVIEW["Statement"][0]["Action"]]


@pytest.fixture
def config(
    box: Sandbox, lab: labs.Lab, aws_environment: pytest.MonkeyPatch
) -> dict[str, str]:
    """The configuration of a stack with the lab's workers, whose environment is set."""
    for name, value in box.environment.items():
        aws_environment.setenv(name, value)
    box.clear_calls()
    return {
        "aws:region": "us-east-1",
        "pod-routes:routeTables": "kubernetes",
        "pod-routes:workers": ",".join(lab.workers),
        "pod-routes:clusterCidr": labs.POD_RANGE,
    }


def find(config: Mapping[str, str]) -> Discovery:
    """Look up as a preview does."""
    return look_up(load_access(config), settings.load(config, "dev"))


def take_snapshot(config: Mapping[str, str]) -> Snapshot:
    """Read what a verification reads."""
    wanted = settings.load(config, "dev")
    clients = connect(load_access(config), "us-east-1")
    stack = Stack(name="dev", config=config, managed={}, components={})
    discovery = discover(clients, wanted, whole_vpc=True)
    drafted = plan.draft(wanted, discovery, stack)
    return collect.snapshot(clients, stack, wanted, discovery, drafted)


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
def test_a_call_that_fails_for_a_while_comes_through(
    box: Sandbox,
    config: dict[str, str],
    action: str,
    fault: dict[str, object],
) -> None:
    find(config)
    usual = box.count()[action]
    box.clear_calls()
    box.control(Control(faults=(Fault(action=action, **fault),)))  # type: ignore[arg-type]

    assert sum(map(len, find(config).workers.values())) == 2
    assert box.count()[action] == usual + int(str(fault["times"]))


def test_an_answer_past_the_read_timeout_is_asked_for_again(
    box: Sandbox, config: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "READ_SECONDS", 1)
    late = Fault(action="DescribeInstances", delay=60, times=1)
    box.control(Control(faults=(late,)))

    assert sum(map(len, find(config).workers.values())) == 2
    box.control(Control())  # the first call is counted once it is answered
    assert box.count()["DescribeInstances"] == 2


def test_throttling_that_does_not_end_names_the_call_and_the_setting(
    box: Sandbox, config: dict[str, str]
) -> None:
    busy = Fault(action="DescribeVpcs", code="RequestLimitExceeded", status=503)
    box.control(Control(faults=(busy,)))

    with pytest.raises(LookupFailedError, match="aws:maxRetries") as refused:
        find(config | {"aws:maxRetries": "3"})

    assert "DescribeVpcs" in str(refused.value)
    assert "RequestLimitExceeded" in str(refused.value)
    assert box.count()["DescribeVpcs"] == 3


@pytest.mark.parametrize(
    ("read", "document", "missing"),
    [
        pytest.param(read, document, missing, id=f"{read.__name__}: {missing}")
        for read, document in ((find, PREVIEW), (take_snapshot, VERIFY))
        for missing in (None, *document["Statement"][0]["Action"])
    ],
)
def test_the_policy_is_enough_and_each_right_in_it_is_needed(
    box: Sandbox,
    config: dict[str, str],
    read: Callable[[Mapping[str, str]], Discovery | Snapshot],
    document: dict[str, Any],
    missing: str | None,
) -> None:
    """And one that the policy lacks is named with the statement to add."""
    keys = acting_with(box, without(document, missing or ""))
    config["aws:accessKey"] = keys["AWS_ACCESS_KEY_ID"]
    config["aws:secretKey"] = keys["AWS_SECRET_ACCESS_KEY"]

    unread: Collection[str] = ()
    try:
        found = read(config)
        if isinstance(found, Snapshot):
            unread = found.unread.values()
    except LookupFailedError as error:
        unread = (str(error),)

    reasons = " ".join(" ".join(unread).split())
    if missing:
        assert f"Allow {missing} for this identity" in reasons
    else:
        assert reasons == ""


def test_a_nat_gateway_that_a_route_leads_to_is_looked_up(
    box: Sandbox, config: dict[str, str], lab: labs.Lab
) -> None:
    ec2 = box.client("ec2")
    gateway = ec2.create_nat_gateway(SubnetId=lab.subnet_id, ConnectivityType="private")
    gateway_id = gateway["NatGateway"]["NatGatewayId"]
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock="192.168.0.0/16",
        NatGatewayId=gateway_id,
    )

    assert take_snapshot(config).nat_gateways == {gateway_id: lab.subnet_id}

    denied = without(policy("verify"), "ec2:DescribeNatGateways")
    keys = acting_with(box, denied)
    config["aws:accessKey"] = keys["AWS_ACCESS_KEY_ID"]
    config["aws:secretKey"] = keys["AWS_SECRET_ACCESS_KEY"]
    assert [*take_snapshot(config).unread] == ["DescribeNatGateways"]
