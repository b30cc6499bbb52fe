"""Two environments side by side, with their committed configuration files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sandbox import TOP
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control
from tests.e2e.cli_user import CliUser

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

POLICIES = TOP / "policies"
UP = "pulumi up --yes --skip-preview"
ROLE = "pod-routes"


@pytest.fixture
def production(ec2: EC2Client, user: CliUser) -> dict[str, str]:
    """A VPC with two private subnets, each with its table; return the tables' ids.

    Each subnet has two workers; one has another environment's worker as well.
    """
    del user
    vpc_id = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    tables = {}
    for number, zone in enumerate("ab"):
        table_id = labs.create_table(ec2, vpc_id, f"prod-private-{zone}")
        tables[f"prod-private-{zone}"] = table_id
        subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.1.{number}.0/24")
        subnet_id = subnet["Subnet"]["SubnetId"]
        ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
        group_id = ec2.create_security_group(
            GroupName=f"workers-{zone}", Description="workers", VpcId=vpc_id
        )["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=group_id,
            IpPermissions=[
                {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.201.0.0/16"}]}
            ],
        )
        here = labs.Lab(
            vpc_id=vpc_id,
            subnet_id=subnet_id,
            gateway_id="",
            security_group_id=group_id,
            table_id=table_id,
            workers={},
        )
        for index in (2 * number, 2 * number + 1):
            labs.add_worker(
                ec2,
                here,
                f"worker-{index}",
                address=f"10.1.{number}.{20 + index}",
                user_data=f"pod-cidr=10.201.{index}.0/24",
                tags={"environment": "prod"},
            )
    labs.add_worker(
        ec2,
        here,
        "worker-9",
        address="10.1.1.29",
        user_data="pod-cidr=10.201.9.0/24",
        tags={"environment": "trial"},
    )
    return tables


def allowing(action: str, **rest: object) -> str:
    """Return a policy of one statement."""
    statement = {"Effect": "Allow", "Action": action, **rest}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def pipeline(local_aws: Sandbox, production: dict[str, str]) -> dict[str, str]:
    """Return the keys of a user whose only permission is to assume the role."""
    del production
    iam = local_aws.client("iam")
    trust = allowing("sts:AssumeRole", Principal={"AWS": "*"})
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)
    for name in ("up", "verify"):
        policy = (POLICIES / f"{name}.json").read_text()
        iam.put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=policy)
    assume = allowing("sts:AssumeRole", Resource=role["Role"]["Arn"])
    iam.create_user(UserName="pipeline")
    iam.put_user_policy(UserName="pipeline", PolicyName="assume", PolicyDocument=assume)
    key = iam.create_access_key(UserName="pipeline")["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def test_production_is_deployed_with_its_role_and_dev_stays_unchanged(
    settled: CliUser,
    local_aws: Sandbox,
    production: dict[str, str],
    pipeline: dict[str, str],
) -> None:
    dev = settled.routes()
    local_aws.control(Control(iam=True))
    local_aws.clear_calls()

    settled.does("pulumi stack init prod")
    settled.does(f"{UP} --stack prod", **pipeline)

    assert local_aws.count()["AssumeRole"] == 3
    for table_id in production.values():
        assert [d for d in settled.routes(table_id) if d.startswith("10.201.")] == [
            f"10.201.{index}.0/24" for index in range(4)
        ]
    assert settled.routes() == dev
    settled.does("pulumi preview --expect-no-changes --stack prod", **pipeline)
    settled.does("python -m routes verify --stack prod", **pipeline)
    settled.does("pulumi preview --expect-no-changes --stack dev")

    settled.does("pulumi destroy --yes --stack dev")
    for table_id in production.values():
        assert len(settled.routes(table_id)) == 5


def test_production_has_guards_that_dev_lacks(
    user: CliUser,
    local_aws: Sandbox,
    production: dict[str, str],
    pipeline: dict[str, str],
) -> None:
    local_aws.control(Control(iam=True))
    user.does("pulumi stack init prod")
    user.does(UP, **pipeline)
    table_id = production["prod-private-a"]
    before = user.routes(table_id)

    user.does("pulumi config set pod-routes:routeTables prod-private-b")
    text = user.is_refused("pulumi up --yes", **pipeline)
    assert (
        "would delete 4 of the 8 routes of stack prod; maxRemovals allows 25%:" in text
    )
    assert f"{table_id} 10.201.3.0/24" in text
    user.does("pulumi config set pod-routes:routeTables prod-private-a,prod-private-b")
    workers = user.ec2.describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": ["worker-3"]},
            {"Name": "tag:environment", "Values": ["prod"]},
        ]
    )
    fourth = workers["Reservations"][0]["Instances"][0]["InstanceId"]
    user.ec2.terminate_instances(InstanceIds=[fourth])
    text = user.is_refused("pulumi up --yes", **pipeline)
    assert "expected at least 4 distinct workers" in text
    user.does("pulumi config set --path aws:allowedAccountIds[0] 111122223333")
    text = user.is_refused("pulumi preview", **pipeline)
    assert "AWS account ID not allowed: 123456789012" in text

    assert user.routes(table_id).keys() == before.keys()


def test_the_role_of_the_nightly_check_detects_drift_and_cannot_write(
    user: CliUser,
    local_aws: Sandbox,
    production: dict[str, str],
    pipeline: dict[str, str],
) -> None:
    local_aws.control(Control(iam=True))
    user.does("pulumi stack init prod")
    user.does(UP, **pipeline)
    iam = local_aws.client("iam")
    trust = allowing("sts:AssumeRole", Principal={"AWS": "*"})
    role = iam.create_role(RoleName="check", AssumeRolePolicyDocument=trust)["Role"]
    policy = (POLICIES / "verify.json").read_text()
    iam.put_role_policy(RoleName="check", PolicyName="verify", PolicyDocument=policy)
    assume = allowing("sts:AssumeRole", Resource=role["Arn"])
    iam.put_user_policy(UserName="pipeline", PolicyName="check", PolicyDocument=assume)
    path = "aws:assumeRoles[0].roleArn"
    user.does(f"pulumi config set --path {path} {role['Arn']}")
    check = "pulumi preview --refresh --expect-no-changes"

    user.does(check, **pipeline)
    user.does("python -m routes verify --stack prod", **pipeline)
    user.ec2.delete_route(
        RouteTableId=production["prod-private-a"], DestinationCidrBlock="10.201.0.0/24"
    )

    assert user.types(check, **pipeline).code == 7  # changes were proposed
    text = user.is_refused("pulumi up --refresh --yes --skip-preview", **pipeline)
    assert "UnauthorizedOperation" in text


def test_a_preview_and_a_verification_write_nothing_into_the_bucket(
    user: CliUser, local_aws: Sandbox
) -> None:
    """So the role for pull requests needs read access only."""
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="pod-routes-state")
    backend = {"PULUMI_BACKEND_URL": "s3://pod-routes-state?region=us-east-1"}
    user.does("pulumi stack init dev", **backend)
    user.does(f"{UP} --stack dev", **backend)

    def content() -> dict[str, object]:
        listed = s3.list_objects_v2(Bucket="pod-routes-state")["Contents"]
        return {one["Key"]: (one["ETag"], one["LastModified"]) for one in listed}

    before = content()
    user.does("pulumi preview --refresh --stack dev", **backend)
    user.does("python -m routes verify --stack dev", **backend)
    assert content() == before


@pytest.mark.parametrize(
    ("provider", "needs_passphrase"),
    [("passphrase", True), ("awskms://alias/pod-routes?region=us-east-1", False)],
)
def test_secrets_in_a_bucket_are_encrypted(
    user: CliUser, local_aws: Sandbox, provider: str, *, needs_passphrase: bool
) -> None:
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="pod-routes-state")
    kms = local_aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/pod-routes", TargetKeyId=key)
    backend = {"PULUMI_BACKEND_URL": "s3://pod-routes-state?region=us-east-1"}
    user.does(f"pulumi stack init dev --secrets-provider {provider}", **backend)
    user.does("pulumi config set --secret aws:secretKey not-to-be-seen", **backend)
    user.does("pulumi config set aws:accessKey somebody", **backend)
    user.does(f"{UP} --stack dev", **backend)

    state = s3.get_object(
        Bucket="pod-routes-state", Key=".pulumi/stacks/pod-routes/dev.json"
    )["Body"].read()
    assert b"10.200.2.0/24" in state
    assert b"not-to-be-seen" not in state
    wrong = user.types(f"{UP} --stack dev", **backend, PULUMI_CONFIG_PASSPHRASE="wrong")
    assert (wrong.code != 0) == needs_passphrase
    assert ("incorrect passphrase" in wrong.text) == needs_passphrase
    user.does("pulumi destroy --yes --skip-preview --stack dev", **backend)
