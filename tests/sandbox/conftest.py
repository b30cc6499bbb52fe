"""One server for the folder; each test has an empty account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from sandbox import lab as labs
from sandbox.aws import Sandbox

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def box(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture
def ec2(box: Sandbox) -> EC2Client:
    return box.client("ec2")


@pytest.fixture
def lab(ec2: EC2Client) -> labs.Lab:
    return labs.create_lab(ec2, workers=2)


def refused(
    code: str, message: str = ""
) -> AbstractContextManager[pytest.ExceptionInfo[ClientError]]:
    """Expect an AWS error by its code, and by what its message matches."""
    return pytest.raises(
        ClientError, match=rf"\({code.replace('.', '[.]')}\).*{message}"
    )
