"""The shipped IAM policies: sufficient for their commands, and no larger."""

from __future__ import annotations

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.cli_user import CliUser
from tests.policies import acting_with, grant, policy, without

READ = [
    "ec2:DescribeRouteTables",
    "ec2:DescribeVpcs",
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceAttribute",
]
WRITE = ["ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DeleteRoute"]


def test_the_policies_have_the_actions_that_the_commands_need() -> None:
    preview = policy("preview")["Statement"]
    up = policy("up")["Statement"]

    assert [statement["Action"] for statement in preview] == [READ]
    assert [statement["Action"] for statement in up] == [READ, WRITE]
    assert up[1]["Resource"] == "arn:aws:ec2:*:*:route-table/*"


def test_the_preview_policy_is_sufficient_for_a_preview_and_not_for_an_update(
    user: CliUser, local_aws: Sandbox
) -> None:
    keys = acting_with(local_aws, policy("preview"))

    user.does("pulumi preview", **keys)
    up = user.types("pulumi up --yes --skip-preview", **keys)

    assert up.code != 0
    assert "UnauthorizedOperation" in up.text
    assert user.pod_routes() == {}


def test_the_up_policy_is_sufficient_for_the_whole_life_of_a_route(
    user: CliUser, local_aws: Sandbox
) -> None:
    keys = acting_with(local_aws, policy("up"))

    user.does("pulumi up --yes --skip-preview", **keys)
    user.ec2.terminate_instances(InstanceIds=[user.lab.workers["worker-1"]])
    labs.add_worker(
        user.ec2,
        user.lab,
        "worker-1",
        address="10.0.1.99",
        user_data=labs.user_data(1),
    )
    user.does("pulumi up --yes --skip-preview", **keys)
    user.does("pulumi refresh --yes", **keys)
    user.does("pulumi destroy --yes --skip-preview", **keys)

    assert user.pod_routes() == {}


def test_the_up_policy_is_needed_and_sufficient_for_a_watcher(
    user: CliUser, local_aws: Sandbox
) -> None:
    user.configure(workers="worker-*", unready="skip", maxRemovals="50%")
    watch = "python -m routes watch --stack dev --once"
    keys = acting_with(local_aws, without(policy("up"), "ec2:CreateRoute"))
    refused = user.types(watch, **keys)
    assert refused.code == 2
    assert "CreateRoute" in refused.text

    grant(local_aws, policy("up"))
    user.does(watch, **keys)

    assert user.pod_routes() == user.desired()


def test_each_write_permission_is_needed_by_its_command(
    user: CliUser, local_aws: Sandbox
) -> None:
    keys = acting_with(local_aws, without(policy("up"), "ec2:CreateRoute"))
    up = "pulumi up --yes --skip-preview"
    assert "CreateRoute" in user.is_refused(up, **keys)
    grant(local_aws, policy("up"))
    user.does(up, **keys)

    user.configure(workers=f"{user.lab.workers['worker-0']},worker-1,spare")
    user.ec2.terminate_instances(InstanceIds=[user.lab.workers["worker-2"]])
    labs.add_worker(
        user.ec2,
        user.lab,
        "spare",
        address="10.0.1.98",
        user_data=labs.user_data(2),
    )
    grant(local_aws, without(policy("up"), "ec2:ReplaceRoute"))
    assert "ReplaceRoute" in user.is_refused(up, **keys)

    grant(local_aws, without(policy("up"), "ec2:DeleteRoute"))
    destroy = "pulumi destroy --yes --skip-preview"
    assert "DeleteRoute" in user.is_refused(destroy, **keys)


def test_the_verify_policy_is_sufficient_and_a_missing_permission_is_named(
    settled: CliUser, local_aws: Sandbox
) -> None:
    verify = "python -m routes verify --stack dev"
    keys = acting_with(local_aws, policy("verify"))
    settled.does(verify, **keys)

    grant(local_aws, without(policy("verify"), "ec2:GetManagedPrefixListEntries"))
    outcome = settled.types(verify, **keys)

    assert outcome.code == 2, outcome.text
    needed = "Allow ec2:GetManagedPrefixListEntries for this identity"
    assert needed in " ".join(outcome.text.split())
