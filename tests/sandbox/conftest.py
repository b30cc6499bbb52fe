"""A small lab in an empty account, and EC2's errors."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from sandbox import lab as labs

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@pytest.fixture
def lab(ec2: EC2Client) -> labs.Lab:
    return labs.create_lab(ec2, workers=2)


def route_all(ec2: EC2Client, lab: labs.Lab) -> None:
    """Create the route to every worker's pods."""
    for index, instance_id in enumerate(lab.workers.values()):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=labs.pod_cidr(index),
            NetworkInterfaceId=labs.interface_of(ec2, instance_id),
        )


def refused(
    code: str, message: str = ""
) -> AbstractContextManager[pytest.ExceptionInfo[ClientError]]:
    """Expect an AWS error with this code, and a message that matches."""
    return pytest.raises(
        ClientError, match=rf"\({code.replace('.', '[.]')}\).*{message}"
    )
