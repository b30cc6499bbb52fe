"""A small lab in an empty account, EC2's errors, and a server of releases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from sandbox import lab as labs
from tests.sandbox.machines import Server

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


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
