"""IAM in the sandbox: users and roles have the permissions of their policies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest

from sandbox.ec2.client import REGION, Sandbox
from sandbox.ec2.server import Control
from sandbox.lab import Lab, interface_of, routes
from tests.sandbox.conftest import refused

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sts import STSClient


class Keys(NamedTuple):
    """The credentials of a user or a role."""

    access_key: str
    secret_key: str
    token: str | None = None


ACCOUNT = "123456789012"
SESSION = boto3.Session(region_name=REGION)
READ = {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}


@pytest.fixture
def guarded(local_aws: Sandbox) -> Sandbox:
    local_aws.control(Control(iam=True))
    return local_aws


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def user(local_aws: Sandbox, *statements: dict[str, Any]) -> Keys:
    """Create a user with these permissions, and return the keys."""
    iam = local_aws.client("iam")
    iam.create_user(UserName="router")
    if statements:
        iam.put_user_policy(
            UserName="router", PolicyName="p", PolicyDocument=document(*statements)
        )
    key = iam.create_access_key(UserName="router")["AccessKey"]
    return Keys(key["AccessKeyId"], key["SecretAccessKey"])


def ec2_of(local_aws: Sandbox, keys: Keys) -> EC2Client:
    return SESSION.client(
        "ec2",
        endpoint_url=local_aws.endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
    )


def sts_of(local_aws: Sandbox, keys: Keys) -> STSClient:
    return SESSION.client(
        "sts",
        endpoint_url=local_aws.endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
    )


def role(local_aws: Sandbox, principal: str, *statements: dict[str, Any]) -> str:
    iam = local_aws.client("iam")
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": principal},
    }
    arn = iam.create_role(
        RoleName="deployer", AssumeRolePolicyDocument=document(trust)
    )["Role"]["Arn"]
    policy = iam.create_policy(
        PolicyName="deploy", PolicyDocument=document(*statements)
    )["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="deployer", PolicyArn=policy)
    return arn


def test_the_sandboxs_own_key_has_every_permission(guarded: Sandbox) -> None:
    assert guarded.client("ec2").describe_vpcs()["Vpcs"]


def test_without_iam_every_key_has_every_permission(local_aws: Sandbox) -> None:
    assert ec2_of(local_aws, user(local_aws)).describe_vpcs()["Vpcs"]


def test_a_user_without_a_policy_may_only_get_the_caller_identity(
    guarded: Sandbox,
) -> None:
    keys_of_user = user(guarded)

    sts_of(guarded, keys_of_user).get_caller_identity()
    with refused(
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. User:"
        f" arn:aws:iam::{ACCOUNT}:user/router is not authorized to perform:"
        " ec2:DescribeVpcs because no identity-based policy allows the"
        " ec2:DescribeVpcs action",
    ):
        ec2_of(guarded, keys_of_user).describe_vpcs()


def test_an_unknown_key_is_refused(guarded: Sandbox) -> None:
    stranger = Keys("AKIAUNKNOWN", "x")

    with refused("AuthFailure"):
        ec2_of(guarded, stranger).describe_vpcs()
    with refused("InvalidClientTokenId"):
        sts_of(guarded, stranger).get_caller_identity()


@pytest.mark.parametrize(
    ("table", "allowed"),
    [
        pytest.param("{table}", True, id="this table"),
        pytest.param("*", True, id="any table"),
        pytest.param("rtb-0123456789abcdef0", False, id="another table"),
    ],
)
@pytest.mark.parametrize("action", ["CreateRoute", "ReplaceRoute", "DeleteRoute"])
def test_a_permission_on_a_route_table_is_for_that_table_alone(  # noqa: PLR0913, PLR0917
    guarded: Sandbox,
    ec2: EC2Client,
    lab: Lab,
    action: str,
    table: str,
    allowed: bool,  # noqa: FBT001 - a table of both
) -> None:
    name = table.format(table=lab.table_id)
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:route-table/{name}"
    permission = {"Effect": "Allow", "Action": [f"ec2:{action}"], "Resource": [arn]}
    theirs = ec2_of(guarded, user(guarded, READ, permission))
    target = interface_of(ec2, lab.workers["worker-0"])
    where: dict[str, Any] = {
        "RouteTableId": lab.table_id,
        "DestinationCidrBlock": "10.200.0.0/24",
    }
    if action != "CreateRoute":
        ec2.create_route(**where, NetworkInterfaceId=target)
    before = routes(ec2, lab.table_id)

    def act() -> None:
        match action:
            case "CreateRoute":
                theirs.create_route(**where, NetworkInterfaceId=target)
            case "ReplaceRoute":
                other = interface_of(ec2, lab.workers["worker-1"])
                theirs.replace_route(**where, NetworkInterfaceId=other)
            case _:
                theirs.delete_route(**where)

    if allowed:
        act()
    else:
        with refused("UnauthorizedOperation", f"ec2:{action} on resource: .*/rtb-"):
            act()
    assert (routes(ec2, lab.table_id) != before) is allowed


def test_a_deny_overrides_an_allow(guarded: Sandbox) -> None:
    deny = {"Effect": "Deny", "Action": "EC2:describevpc?", "Resource": "*"}
    theirs = ec2_of(guarded, user(guarded, READ, deny))

    theirs.describe_subnets()
    with refused("UnauthorizedOperation", "with an explicit deny in an identity-"):
        theirs.describe_vpcs()


def test_an_action_without_resources_needs_a_permission_on_all(
    guarded: Sandbox,
) -> None:
    narrow = {**READ, "Resource": f"arn:aws:ec2:{REGION}:{ACCOUNT}:route-table/*"}

    with refused("UnauthorizedOperation"):
        ec2_of(guarded, user(guarded, narrow)).describe_vpcs()


def test_an_assumed_role_has_the_permissions_of_the_role_alone(
    guarded: Sandbox,
) -> None:
    keys_of_user = user(
        guarded, {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}
    )
    arn = role(guarded, f"arn:aws:iam::{ACCOUNT}:root", READ)

    given = sts_of(guarded, keys_of_user).assume_role(
        RoleArn=arn, RoleSessionName="session"
    )
    keys = given["Credentials"]
    theirs = Keys(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    assumed = ec2_of(guarded, theirs)

    assumed.describe_vpcs()
    with refused(
        "UnauthorizedOperation", "assumed-role/deployer/session is not authorized"
    ):
        assumed.create_vpc(CidrBlock="10.9.0.0/16")
    with refused("UnauthorizedOperation"):
        ec2_of(guarded, keys_of_user).describe_vpcs()


@pytest.mark.parametrize(
    ("principal", "actions"),
    [
        pytest.param("arn:aws:iam::999999999999:root", "sts:*", id="not trusted"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:root", "ec2:*", id="not allowed"),
    ],
)
def test_assuming_a_role_needs_its_trust_and_a_permission(
    guarded: Sandbox, principal: str, actions: str
) -> None:
    allowed = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    keys_of_user = user(guarded, allowed)
    arn = role(guarded, principal, READ)

    with refused("AccessDenied", "sts:AssumeRole"):
        sts_of(guarded, keys_of_user).assume_role(
            RoleArn=arn, RoleSessionName="session"
        )


def test_a_user_whom_the_role_names_needs_no_permission(guarded: Sandbox) -> None:
    keys_of_user = user(guarded)
    arn = role(guarded, f"arn:aws:iam::{ACCOUNT}:user/router", READ)

    sts_of(guarded, keys_of_user).assume_role(RoleArn=arn, RoleSessionName="session")
