"""Faults change the account, and repairs restore it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from sandbox import faults
from sandbox import lab as labs
from sandbox.lab import Lab
from tests.sandbox.conftest import route_all

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@pytest.fixture
def routed(ec2: EC2Client, lab: Lab) -> Lab:
    """Return the lab with its pod routes."""
    route_all(ec2, lab)
    return lab


def everything(ec2: EC2Client, lab: Lab) -> list[object]:
    """Read everything that a fault may change, without order and start times."""
    instances = [
        (i["InstanceId"], i["State"], i["SourceDestCheck"])
        for r in ec2.describe_instances()["Reservations"]
        for i in r["Instances"]
    ]
    rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
    return [
        labs.routes(ec2, lab.table_id),
        sorted(instances, key=str),
        sorted((r.get("CidrIpv4", ""), r["IpProtocol"]) for r in rules),
        ec2.describe_network_acls()["NetworkAcls"],
        ec2.describe_vpcs(VpcIds=[lab.vpc_id])["Vpcs"],
    ]


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_an_injected_fault_is_repaired(ec2: EC2Client, routed: Lab, fault: str) -> None:
    before = everything(ec2, routed)

    faults.inject(ec2, routed, fault)

    assert everything(ec2, routed)[:4] != before[:4]
    assert faults.repair(ec2, routed) == [fault]
    assert everything(ec2, routed) == before
    assert faults.repair(ec2, routed) == []


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_repair_accepts_a_fault_that_somebody_else_repaired(
    ec2: EC2Client, routed: Lab, fault: str
) -> None:
    before = everything(ec2, routed)
    faults.inject(ec2, routed, fault)
    faults.FAULTS[fault].repair(ec2, routed)

    assert faults.repair(ec2, routed) == [fault]
    assert everything(ec2, routed) == before


def test_a_missing_route_cannot_be_deleted(ec2: EC2Client, lab: Lab) -> None:
    with pytest.raises(ClientError, match=r"InvalidRoute\.NotFound"):
        faults.inject(ec2, lab, "route")

    assert faults.repair(ec2, lab) == []
