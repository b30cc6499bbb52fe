"""Clients with the credentials and the region of the stack's AWS provider."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.parsers import ResponseParserError

from routes import commands
from routes.aws import credentials
from routes.aws.access import Access
from routes.aws.failures import explained
from routes.errors import Finding, LookupFailedError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef
    from mypy_boto3_sts import STSClient

POOL_SIZE: Final = 32
"""Concurrent calls of one lookup."""
READ_SECONDS: Final = 15
"""How long a call waits for its answer."""
_PAGE: Final = 1000
"""The most items in one answer of an action for which EC2's service model names no
other number (EC2 API Reference, "DescribeInstances")."""


class Caller(NamedTuple):
    """An account, and the user or role that acts in it."""

    account: str
    name: str

    def __str__(self) -> str:
        return f"{self.account}, {self.name}"


@dataclass(frozen=True, kw_only=True)
class Clients:
    """One region's EC2 and STS, for one identity."""

    stack: str
    region: str
    ec2: EC2Client
    sts: STSClient
    conceals: bool = False
    """Whether a message may contain part of a secret value."""

    def explained(self, action: str) -> AbstractContextManager[None]:
        """Convert the exception of a call into one error with a fix."""
        return explained(action, self.region, self.stack, conceals=self.conceals)

    def caller(self) -> Caller:
        """Return the identity of the credentials.

        Raises:
            LookupFailedError: the call to STS failed.
        """
        with self.explained("GetCallerIdentity"):
            identity = self.sts.get_caller_identity()
            name = identity.get("Arn", "").rpartition(":")[2]
            return Caller(identity["Account"], name)

    def all(
        self,
        action: str,
        *filters: FilterTypeDef,
        **request: object,
    ) -> list[Any]:
        """Return all items that an EC2 action lists, in pages of the maximum size.

        "If you have a large number of resources, unpaginated calls might be throttled
        and could time out" (EC2 Developer Guide, "Pagination in the Amazon EC2 API").

        Raises:
            LookupFailedError: a call failed for good.
        """
        client: Any = self.ec2
        model = client.meta.service_model.operation_model(action)
        size = model.input_shape.members["MaxResults"].metadata.get("max", _PAGE)
        paginator = client.get_paginator(xform_name(action))
        key = paginator.result_keys[0].expression
        if filters:
            request["Filters"] = filters
        with self.explained(action):
            return [
                item
                for page in paginator.paginate(
                    **request, PaginationConfig={"PageSize": size}
                )
                for item in page.get(key, [])
            ]

    def instances(self, *filters: FilterTypeDef) -> list[InstanceTypeDef]:
        """Return the instances that match all filters.

        Raises:
            LookupFailedError: a call failed after its retries.
        """
        return [
            instance
            for reservation in self.all("DescribeInstances", *filters)
            for instance in reservation.get("Instances", [])
        ]


def connect(access: Access, region: str, seconds: float = READ_SECONDS) -> Clients:
    """Return the clients for one region.

    Args:
        access: the credentials and endpoints.
        region: of the calls.
        seconds: the read timeout of each call.

    Raises:
        LookupFailedError: there are no credentials, or a role can't be assumed.
    """
    options = Config(
        retries={
            "mode": "adaptive",
            "total_max_attempts": access.attempts,
        },
        connect_timeout=5,
        read_timeout=seconds,
        max_pool_connections=POOL_SIZE,
    )

    def sts(session: boto3.Session) -> STSClient:
        client = session.client(
            "sts", config=options, endpoint_url=access.endpoints.get("sts")
        )
        client.meta.events.register("after-call", _check_request_id)
        return client

    session = credentials.session(access, region, options)
    for number, role in enumerate(access.roles):
        to = f"AssumeRole of aws:assumeRoles[{number}], {role.role_arn},"
        if access.conceals:
            to = f"AssumeRole of aws:assumeRoles[{number}]"
        with explained(to, region, access.stack, conceals=access.conceals):
            assumed = sts(session).assume_role(**role.request())["Credentials"]
            session = boto3.Session(
                botocore_session=access.core(),
                aws_access_key_id=assumed["AccessKeyId"],
                aws_secret_access_key=assumed["SecretAccessKey"],
                aws_session_token=assumed["SessionToken"],
                region_name=region,
            )
    with explained("the client", region, access.stack, conceals=access.conceals):
        ec2 = session.client(
            "ec2", config=options, endpoint_url=access.endpoints.get("ec2")
        )
        ec2.meta.events.register("after-call", _check_request_id)
        return Clients(
            stack=access.stack,
            region=region,
            ec2=ec2,
            sts=sts(session),
            conceals=access.conceals,
        )


def _check_request_id(parsed: Mapping[str, Any], **_: object) -> None:
    """Refuse a page that isn't AWS's, such as a proxy's with status 200.

    An XML parser may take it for an empty list. "Every EC2 response includes a request
    ID in a requestId element" (EC2 User Guide, "The Response Structure").

    Raises:
        ResponseParserError: the answer has no request id.
    """
    if not parsed.get("ResponseMetadata", {}).get("RequestId"):
        raise ResponseParserError("no request id")


def region_of(access: Access) -> str:
    """Return the region that the provider uses.

    Raises:
        LookupFailedError: the stack, the environment and the profile have none.
    """
    for region in (
        access.values.get("region"),
        os.environ.get("AWS_REGION"),
        os.environ.get("AWS_DEFAULT_REGION"),
    ):
        if region:
            return region
    profiled = credentials.region(access)
    if not profiled:
        finding = Finding(
            resource="AWS region",
            problem="none is set.",
            hint="Set it:",
            command=commands.config_set(access.stack, "aws:region", "<region>"),
        )
        raise LookupFailedError(str(finding))
    return profiled
