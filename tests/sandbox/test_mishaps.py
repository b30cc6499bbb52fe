"""What is broken on purpose is broken, and mended it is as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from sandbox import lab as labs
from sandbox import mishaps
from sandbox.lab import Lab

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@pytest.fixture
def routed(ec2: EC2Client, lab: Lab) -> Lab:
    """The lab with its pod routes."""
    for index, instance_id in enumerate(lab.workers.values()):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=labs.pod_cidr(index),
            NetworkInterfaceId=labs.interface_of(ec2, instance_id),
        )
    return lab


def everything(ec2: EC2Client, lab: Lab) -> list[object]:
    """Read all that a mishap may change, without order or the time of a start."""
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


@pytest.mark.parametrize("what", mishaps.MISHAPS)
def test_what_is_broken_is_mended(ec2: EC2Client, routed: Lab, what: str) -> None:
    before = everything(ec2, routed)

    mishaps.break_(ec2, routed, what)

    assert everything(ec2, routed)[:4] != before[:4]
    assert mishaps.mend(ec2, routed) == [what]
    assert everything(ec2, routed) == before
    assert mishaps.mend(ec2, routed) == []


@pytest.mark.parametrize("what", mishaps.MISHAPS)
def test_what_somebody_else_mended_is_left(
    ec2: EC2Client, routed: Lab, what: str
) -> None:
    before = everything(ec2, routed)
    mishaps.break_(ec2, routed, what)
    mishaps.MISHAPS[what].undo(ec2, routed)

    assert mishaps.mend(ec2, routed) == [what]
    assert everything(ec2, routed) == before


def test_a_route_that_does_not_stand_cannot_be_broken(ec2: EC2Client, lab: Lab) -> None:
    with pytest.raises(ClientError, match=r"InvalidRoute\.NotFound"):
        mishaps.break_(ec2, lab, "route")

    assert mishaps.mend(ec2, lab) == []
