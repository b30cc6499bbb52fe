"""The layer in front of moto, and the life of its process."""

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


def impatient(box: Sandbox, read_timeout: int = 60) -> EC2Client:
    """Return a client that faults hit, and that never tries again."""
    return boto3.client(
        "ec2",
        endpoint_url=box.endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT_KEY,
        aws_secret_access_key="sandbox",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout),
    )


def gone(process_id: int) -> bool:
    """Wait until a process has ended, for as long as five seconds."""
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


def test_it_answers_and_leaves_nothing() -> None:
    sandbox = Sandbox()
    process_id = sandbox.start()
    sandbox.client("ec2").describe_vpcs()
    sandbox.stop()

    assert gone(process_id)


def test_it_ends_when_its_parent_is_killed() -> None:
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

    assert gone(process_id)


def test_one_that_outlives_its_starter_runs_until_it_is_ended() -> None:
    script = "from sandbox.ec2.client import Sandbox; s = Sandbox();"
    script += "print(s.start(outlive=True), s.endpoint)"
    shown = subprocess.check_output([sys.executable, "-c", script], cwd=TOP, text=True)
    process_id, endpoint = shown.split()

    try:
        assert Sandbox.at(endpoint).client("ec2").describe_vpcs()["Vpcs"]
    finally:
        Sandbox.at(endpoint).end()

    assert gone(int(process_id))
    Sandbox.at(endpoint).end()  # one that is gone is no error


def test_a_reset_account_is_empty_and_so_are_log_and_controls(
    box: Sandbox, ec2: EC2Client
) -> None:
    labs.create_lab(ec2, workers=1)
    box.control(Control(faults=(Fault(action="*", code="InternalError", status=500),)))

    box.reset()

    assert box.calls() == []
    assert ec2.describe_instances()["Reservations"] == []


def test_every_call_is_logged(box: Sandbox, ec2: EC2Client) -> None:
    box.client("sts").get_caller_identity()
    with pytest.raises(ClientError):
        ec2.describe_route_tables(RouteTableIds=["rtb-0123456789abcdef0"])

    logged = [(call.service, call.action, call.status) for call in box.calls()]

    assert logged == [
        ("sts", "GetCallerIdentity", 200),
        ("ec2", "DescribeRouteTables", 400),
    ]
    assert abs(box.calls()[0].seconds - time.time()) < 60
    assert box.count() == {"GetCallerIdentity": 1, "DescribeRouteTables": 1}


def test_latency_is_added_to_each_call(box: Sandbox, ec2: EC2Client) -> None:
    ec2.describe_vpcs()
    box.control(Control(latency=0.3))

    started = time.monotonic()
    ec2.describe_vpcs()

    assert time.monotonic() - started >= 0.3


def test_the_environment_leads_an_aws_client_here_and_nowhere_else(
    box: Sandbox,
) -> None:
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    plain = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}

    shown = subprocess.check_output(
        [sys.executable, "-c", script], env={**plain, **box.environment}, text=True
    )

    assert shown.strip() == "123456789012"
    assert box.count() == {"GetCallerIdentity": 1}


def test_a_fault_hits_as_often_as_it_says(box: Sandbox) -> None:
    client = impatient(box)
    fault = Fault(
        action="DescribeVpcs", code="RequestLimitExceeded", status=503, times=2
    )
    box.control(Control(faults=(fault,)))

    for _ in range(2):
        with refused("RequestLimitExceeded"):
            client.describe_vpcs()
    client.describe_vpcs()
    client.describe_subnets()

    assert [call.status for call in box.calls()] == [503, 503, 200, 200]


def test_a_fault_may_hit_one_destination_only(
    box: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    target = interface_of(ec2, lab.workers["worker-0"])
    message = "in the test's words"
    fault = Fault(
        action="CreateRoute", match="10.200.1.0/24", code="Nope", message=message
    )
    box.control(Control(faults=(fault,)))

    def create(destination: str) -> None:
        impatient(box).create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=destination,
            NetworkInterfaceId=target,
        )

    create("10.200.0.0/24")
    with refused("Nope", "in the test's words"):
        create("10.200.1.0/24")

    made = [d for d in routes(ec2, lab.table_id) if d.startswith("10.200.")]
    assert made == ["10.200.0.0/24"]


def test_a_fault_by_rate_hits_a_share_and_the_same_calls_each_time(
    box: Sandbox,
) -> None:
    client = impatient(box)
    fault = Fault(action="DescribeVpcs", code="InternalError", status=500, rate=0.5)

    def hits() -> list[int]:
        box.control(Control(faults=(fault,)))
        box.clear_calls()
        for _ in range(20):
            try:
                client.describe_vpcs()
            except ClientError:
                continue
        return [call.status for call in box.calls()]

    first = hits()

    assert 3 < first.count(500) < 17
    assert hits() == first


def test_a_fault_may_break_the_connection(box: Sandbox) -> None:
    box.control(Control(faults=(Fault(action="DescribeVpcs", reset=True, times=1),)))
    client = impatient(box)

    with pytest.raises(ConnectionClosedError):
        client.describe_vpcs()
    client.describe_vpcs()

    assert [call.status for call in box.calls()] == [0, 200]


def test_a_fault_may_only_delay(box: Sandbox) -> None:
    box.control(Control(faults=(Fault(action="DescribeVpcs", delay=0.3, times=1),)))
    client = impatient(box)

    started = time.monotonic()
    client.describe_vpcs()

    assert time.monotonic() - started >= 0.3


def test_throttling_is_off_by_default(box: Sandbox) -> None:
    client = impatient(box)

    for _ in range(7):
        client.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)


def test_a_burst_past_an_actions_bucket_is_refused_and_others_are_not(
    box: Sandbox,
) -> None:
    client = impatient(box)
    box.control(Control(throttle=True))

    with refused("RequestLimitExceeded"):
        for _ in range(30):
            client.start_instances(InstanceIds=[])
    client.describe_vpcs()
    time.sleep(0.6)  # two tokens a second come back
    client.start_instances(InstanceIds=[])


def test_setting_the_controls_again_ends_a_delay_and_the_call_is_carried_out(
    box: Sandbox, ec2: EC2Client
) -> None:
    """Also for a caller that has not waited."""
    box.control(Control(faults=(Fault(action="CreateVpc", delay=60),)))
    with pytest.raises(ReadTimeoutError):
        impatient(box, read_timeout=1).create_vpc(CidrBlock="10.5.0.0/16")
    assert blocks(ec2) == {"172.31.0.0/16"}

    box.control(Control())

    assert blocks(ec2) == {"172.31.0.0/16", "10.5.0.0/16"}


def blocks(ec2: EC2Client) -> set[str]:
    return {vpc["CidrBlock"] for vpc in ec2.describe_vpcs()["Vpcs"]}


def test_accounts_are_put_back_with_their_ids(box: Sandbox, ec2: EC2Client) -> None:
    made = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    before = ec2.describe_vpcs()["Vpcs"]
    saved = box.save()
    ec2.delete_vpc(VpcId=made)
    ec2.create_vpc(CidrBlock="10.6.0.0/16")

    box.restore(saved)

    assert ec2.describe_vpcs()["Vpcs"] == before
