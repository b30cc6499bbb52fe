"""Permissions of users and roles: IAM policies, by action and resource.

Conditions, NotAction and NotResource raise NotImplementedError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from moto.iam.access_control import (
    CreateAccessKeyFailure,
    IAMPolicy,
    create_access_key,
)
from moto.iam.exceptions import NotFoundException
from moto.iam.models import get_account_id_from, iam_backends

Statement: TypeAlias = Mapping[str, Any]

ROOT_KEY: Final = "sandbox"
"""The access key of the account's root user, who has every permission."""
DIRECT_KEY: Final = "sandbox-direct"
"""Another of the root user's, for tests: no fault applies to its calls."""
_PARTITION: Final = "aws"
_RESOURCES: Final = {
    "CreateRoute": ("route-table", "RouteTableId"),
    "DeleteRoute": ("route-table", "RouteTableId"),
    "DescribeInstanceAttribute": ("instance", "InstanceId"),
    "ModifyNetworkInterfaceAttribute": ("network-interface", "NetworkInterfaceId"),
    "ReplaceRoute": ("route-table", "RouteTableId"),
}
"""The actions with resource-level permissions: the resource's type and parameter
(Service Authorization Reference, EC2)."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request; its signature is not checked."""

    access_key: str
    token: str
    region: str
    service: str
    action: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Refusal:
    """The error with which a service refuses a request."""

    code: str
    status: int
    message: str


def refusal(request: Request) -> Refusal | None:
    """Return the error if the caller lacks the permission, or None."""
    if request.access_key in {ROOT_KEY, DIRECT_KEY}:
        return None
    account = get_account_id_from(request.access_key)
    headers = {"X-Amz-Security-Token": request.token} if request.token else {}
    try:
        caller = create_access_key(account, _PARTITION, request.access_key, headers)
    except CreateAccessKeyFailure:
        return _invalid_key(request.service)
    if request.action == "GetCallerIdentity":
        return None
    action = f"{request.service}:{request.action}"
    resource = _resource(request, account)
    effects = _effects(caller.collect_policies(), action, resource)
    allowed = "Allow" in effects
    if request.action == "AssumeRole":
        trusted = _trusted(resource, caller.arn, account)
        allowed = caller.arn in trusted or (allowed and bool(trusted))
    if allowed and "Deny" not in effects:
        return None
    reason = ""
    if "Deny" in effects:
        reason = " with an explicit deny in an identity-based policy"
    elif "Allow" not in effects:
        reason = f" because no identity-based policy allows the {action} action"
    return _denied(request.service, caller.arn, action, resource, reason)


def _resource(request: Request, account: str) -> str:
    if request.action == "AssumeRole":
        return request.parameters.get("RoleArn", "")
    if request.action not in _RESOURCES:
        return "*"
    kind, parameter = _RESOURCES[request.action]
    name = request.parameters.get(parameter, "")
    return f"arn:{_PARTITION}:ec2:{request.region}:{account}:{kind}/{name}"


def _effects(policies: Iterable[Any], action: str, resource: str) -> set[str]:
    return {
        statement["Effect"]
        for statement in _statements(policies)
        if _matches(statement["Action"], action, re.IGNORECASE)
        and _matches(statement["Resource"], resource)
    }


def _trusted(role_arn: str, caller: str, account: str) -> set[str]:
    """Return the principals of the role's trust policy that include the caller."""
    try:
        role = iam_backends[account][_PARTITION].get_role_by_arn(role_arn)
    except NotFoundException:
        return set()
    principals = {
        principal
        for statement in _statements([role.assume_role_policy_document])
        if statement["Effect"] == "Allow"
        for principal in _as_list(statement["Principal"].get("AWS", []))
    }
    return principals & {caller, account, f"arn:{_PARTITION}:iam::{account}:root", "*"}


def _statements(policies: Iterable[Any]) -> list[Statement]:
    statements: list[Statement] = []
    for policy in policies:
        document = IAMPolicy(policy)._policy_json  # noqa: SLF001 - three shapes in one
        statements += _as_list(document["Statement"])
    for statement in statements:
        if unknown := statement.keys() & {"Condition", "NotAction", "NotResource"}:
            raise NotImplementedError(f"the sandbox evaluates no {min(unknown)}")
    return statements


def _matches(
    patterns: str | list[str], value: str, flags: re.RegexFlag = re.NOFLAG
) -> bool:
    """Match with `*` and `?` (IAM User Guide, "Policy elements: Resource")."""
    return any(
        re.fullmatch(
            re.escape(each).replace(r"\*", ".*").replace(r"\?", "."), value, flags
        )
        for each in _as_list(patterns)
    )


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - one of something, or several
    return value if isinstance(value, list) else [value]


def _invalid_key(service: str) -> Refusal:
    if service == "ec2":
        return Refusal(
            "AuthFailure",
            401,
            "AWS was not able to validate the provided access credentials",
        )
    return Refusal(
        "InvalidClientTokenId",
        403,
        "The security token included in the request is invalid.",
    )


def _denied(
    service: str, caller: str, action: str, resource: str, reason: str
) -> Refusal:
    """Return the error that names the caller, the action and the reason.

    The reason is as in IAM User Guide, "Troubleshoot access denied error messages".
    """
    target = "" if resource == "*" else f" on resource: {resource}"
    text = f"User: {caller} is not authorized to perform: {action}{target}{reason}"
    if service == "ec2":
        return Refusal(
            "UnauthorizedOperation",
            403,
            f"You are not authorized to perform this operation. {text}",
        )
    return Refusal("AccessDenied", 403, text)
