"""The layer in front of moto, and the lifetime of its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from sandbox import TOP
from sandbox import lab as labs
from sandbox.ec2.client import REGION, Sandbox
from sandbox.ec2.iam import ROOT_KEY
from sandbox.ec2.server import Control, Fault
from sandbox.lab import Lab, interface_of, routes
from tests.sandbox.conftest import refused

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def impatient(local_aws: Sandbox, read_timeout: int = 60) -> EC2Client:
    """Return a client to which faults apply, and which never retries."""
    return boto3.client(
        "ec2",
        endpoint_url=local_aws.endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT_KEY,
        aws_secret_access_key="sandbox",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout),
    )


def has_exited(process_id: int) -> bool:
    """Wait up to five seconds until a process has exited."""
    for _ in range(100):
        try:
            os.kill(process_id, 0)
            state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state.split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_it_answers_and_exits() -> None:
    sandbox = Sandbox()
    process_id = sandbox.start()
    sandbox.client("ec2").describe_vpcs()
    sandbox.stop()

    assert has_exited(process_id)


def test_it_exits_when_its_parent_is_killed() -> None:
    script = """
        import time
        from sandbox.ec2.client import Sandbox
        print(Sandbox().start(), flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=TOP,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    with parent.stdout as output:
        process_id = int(output.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    assert has_exited(process_id)


def test_a_server_that_outlives_its_starter_runs_until_it_is_stopped() -> None:
    script = "from sandbox.ec2.client import Sandbox; s = Sandbox();"
    script += "print(s.start(outlive=True), s.endpoint)"
    shown = subprocess.check_output([sys.executable, "-c", script], cwd=TOP, text=True)
    process_id, endpoint = shown.split()

    try:
        assert Sandbox.at(endpoint).client("ec2").describe_vpcs()["Vpcs"]
    finally:
        Sandbox.at(endpoint).end()

    assert has_exited(int(process_id))
    Sandbox.at(endpoint).end()  # it is already stopped


def test_a_reset_clears_the_account_the_log_and_the_controls(
    local_aws: Sandbox, ec2: EC2Client
) -> None:
    labs.create_lab(ec2, workers=1)
    local_aws.control(
        Control(faults=(Fault(action="*", code="InternalError", status=500),))
    )

    local_aws.reset()

    assert local_aws.calls() == []
    assert ec2.describe_instances()["Reservations"] == []


def test_every_call_is_logged(local_aws: Sandbox, ec2: EC2Client) -> None:
    local_aws.client("sts").get_caller_identity()
    with pytest.raises(ClientError):
        ec2.describe_route_tables(RouteTableIds=["rtb-0123456789abcdef0"])

    logged = [(call.service, call.action, call.status) for call in local_aws.calls()]

    assert logged == [
        ("sts", "GetCallerIdentity", 200),
        ("ec2", "DescribeRouteTables", 400),
    ]
    assert abs(local_aws.calls()[0].seconds - time.time()) < 60
    assert local_aws.count() == {"GetCallerIdentity": 1, "DescribeRouteTables": 1}


def test_latency_is_added_to_each_call(local_aws: Sandbox, ec2: EC2Client) -> None:
    ec2.describe_vpcs()
    local_aws.control(Control(latency=0.3))

    started = time.monotonic()
    ec2.describe_vpcs()

    assert time.monotonic() - started >= 0.3


def test_an_aws_client_with_the_environment_calls_the_sandbox(
    local_aws: Sandbox,
) -> None:
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    plain = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}

    shown = subprocess.check_output(
        [sys.executable, "-c", script],
        env={**plain, **local_aws.environment},
        text=True,
    )

    assert shown.strip() == "123456789012"
    assert local_aws.count() == {"GetCallerIdentity": 1}


def test_a_fault_applies_as_often_as_it_says(local_aws: Sandbox) -> None:
    client = impatient(local_aws)
    fault = Fault(
        action="DescribeVpcs", code="RequestLimitExceeded", status=503, times=2
    )
    local_aws.control(Control(faults=(fault,)))

    for _ in range(2):
        with refused("RequestLimitExceeded"):
            client.describe_vpcs()
    client.describe_vpcs()
    client.describe_subnets()

    assert [call.status for call in local_aws.calls()] == [503, 503, 200, 200]


def test_a_fault_may_apply_to_one_destination_only(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    target = interface_of(ec2, lab.workers["worker-0"])
    message = "the test's message"
    fault = Fault(
        action="CreateRoute", match="10.200.1.0/24", code="Nope", message=message
    )
    local_aws.control(Control(faults=(fault,)))

    def create(destination: str) -> None:
        impatient(local_aws).create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=destination,
            NetworkInterfaceId=target,
        )

    create("10.200.0.0/24")
    with refused("Nope", "the test's message"):
        create("10.200.1.0/24")

    created = [d for d in routes(ec2, lab.table_id) if d.startswith("10.200.")]
    assert created == ["10.200.0.0/24"]


def test_a_fault_with_a_rate_applies_to_the_same_calls_each_time(
    local_aws: Sandbox,
) -> None:
    client = impatient(local_aws)
    fault = Fault(action="DescribeVpcs", code="InternalError", status=500, rate=0.5)

    def hits() -> list[int]:
        local_aws.control(Control(faults=(fault,)))
        local_aws.clear_calls()
        for _ in range(20):
            try:
                client.describe_vpcs()
            except ClientError:
                continue
        return [call.status for call in local_aws.calls()]

    first = hits()

    assert 3 < first.count(500) < 17
    assert hits() == first


def test_a_fault_may_break_the_connection(local_aws: Sandbox) -> None:
    local_aws.control(
        Control(faults=(Fault(action="DescribeVpcs", reset=True, times=1),))
    )
    client = impatient(local_aws)

    with pytest.raises(ConnectionClosedError):
        client.describe_vpcs()
    client.describe_vpcs()

    assert [call.status for call in local_aws.calls()] == [0, 200]


def test_a_fault_may_only_delay(local_aws: Sandbox) -> None:
    local_aws.control(
        Control(faults=(Fault(action="DescribeVpcs", delay=0.3, times=1),))
    )
    client = impatient(local_aws)

    started = time.monotonic()
    client.describe_vpcs()

    assert time.monotonic() - started >= 0.3


def test_throttling_is_off_by_default(local_aws: Sandbox) -> None:
    client = impatient(local_aws)

    for _ in range(7):
        client.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)


def test_a_burst_of_one_action_is_throttled_and_others_are_not(
    local_aws: Sandbox,
) -> None:
    client = impatient(local_aws)
    local_aws.control(Control(throttle=True))

    with refused("RequestLimitExceeded"):
        for _ in range(30):
            client.start_instances(InstanceIds=[])
    client.describe_vpcs()
    time.sleep(0.6)  # two tokens a second are added
    client.start_instances(InstanceIds=[])


def test_setting_the_controls_again_carries_delayed_calls_out(
    local_aws: Sandbox, ec2: EC2Client
) -> None:
    """The caller may have disconnected."""
    local_aws.control(Control(faults=(Fault(action="CreateVpc", delay=60),)))
    with pytest.raises(ReadTimeoutError):
        impatient(local_aws, read_timeout=1).create_vpc(CidrBlock="10.5.0.0/16")
    assert blocks(ec2) == {"172.31.0.0/16"}

    local_aws.control(Control())

    assert blocks(ec2) == {"172.31.0.0/16", "10.5.0.0/16"}


def blocks(ec2: EC2Client) -> set[str]:
    return {vpc["CidrBlock"] for vpc in ec2.describe_vpcs()["Vpcs"]}


def test_accounts_are_restored_with_their_ids(
    local_aws: Sandbox, ec2: EC2Client
) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    before = ec2.describe_vpcs()["Vpcs"]
    saved = local_aws.save()
    ec2.delete_vpc(VpcId=vpc_id)
    ec2.create_vpc(CidrBlock="10.6.0.0/16")

    local_aws.restore(saved)

    assert ec2.describe_vpcs()["Vpcs"] == before
