"""Clients that act where, and as whom, the AWS provider of the stack acts."""

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

from routes import remedies
from routes.aws import credentials
from routes.aws.access import Access
from routes.aws.failures import explained
from routes.errors import Finding, LookupFailedError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef
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
    """Whether a message could contain part of a secret value."""

    def explained(self, action: str) -> AbstractContextManager[None]:
        """Turn what a call raises into one error that says what to do."""
        return explained(action, self.region, self.stack, conceals=self.conceals)

    def caller(self) -> Caller:
        """Return who the credentials belong to.

        Raises:
            LookupFailedError: STS could not be asked.
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
        """Return what an action of EC2 lists, of all pages, each as large as may be.

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


def connect(access: Access, region: str, seconds: float = READ_SECONDS) -> Clients:
    """Return the clients for one region.

    Args:
        access: the credentials and endpoints.
        region: where to call.
        seconds: the read timeout of each call.

    Raises:
        LookupFailedError: the credentials are missing, or a role cannot be assumed.
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
        client.meta.events.register("after-call", _refuse_strangers)
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
        ec2.meta.events.register("after-call", _refuse_strangers)
        return Clients(
            stack=access.stack,
            region=region,
            ec2=ec2,
            sts=sts(session),
            conceals=access.conceals,
        )


def _refuse_strangers(parsed: Mapping[str, Any], **_: object) -> None:
    """Refuse a page that is no answer of AWS, such as a proxy's, with status 200.

    To a parser of XML it may be an answer without content: an empty list. "Every EC2
    response includes a request ID in a requestId element" (EC2 User Guide, "The
    Response Structure").

    Raises:
        ResponseParserError: the answer names no request.
    """
    if not parsed.get("ResponseMetadata", {}).get("RequestId"):
        raise ResponseParserError("no request id")


def region_of(access: Access) -> str:
    """Return the region that the provider uses.

    Raises:
        LookupFailedError: neither the stack, the environment nor the profile has one.
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
            where="AWS region",
            problem="none is set.",
            remedy="Set it:",
            command=remedies.set_key(access.stack, "aws:region", "<region>"),
        )
        raise LookupFailedError(str(finding))
    return profiled
