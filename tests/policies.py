"""The shipped IAM policies, and a user of the sandbox with one of them."""

from __future__ import annotations

import json
from typing import Any

from sandbox import TOP
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control

POLICIES = TOP / "policies"


def policy(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((POLICIES / f"{name}.json").read_text())
    return document


def without(document: dict[str, Any], *actions: str) -> dict[str, Any]:
    """Return the policy without some of its actions."""
    statements = [
        statement | {"Action": [a for a in statement["Action"] if a not in actions]}
        for statement in document["Statement"]
    ]
    return document | {"Statement": statements}


def acting_with(local_aws: Sandbox, document: dict[str, Any]) -> dict[str, str]:
    """Create a user with only this policy, and return its credentials."""
    iam = local_aws.client("iam")
    iam.create_user(UserName="router")
    iam.put_user_policy(
        UserName="router", PolicyName="routes", PolicyDocument=json.dumps(document)
    )
    key = iam.create_access_key(UserName="router")["AccessKey"]
    local_aws.control(Control(iam=True))
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def grant(local_aws: Sandbox, document: dict[str, Any]) -> None:
    """Replace the user's policy."""
    local_aws.client("iam").put_user_policy(
        UserName="router", PolicyName="routes", PolicyDocument=json.dumps(document)
    )
