"""How many calls a preview costs: budgets, whatever the machine."""

from __future__ import annotations

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.cli_user import CliUser


def count(user: CliUser, local_aws: Sandbox, **extra: str) -> int:
    local_aws.clear_calls()
    user.does("pulumi preview", **extra)
    return len(local_aws.calls())


@pytest.mark.parametrize("workers", [1, 3])
def test_a_preview_costs_one_call_per_worker_and_six(
    user: CliUser, local_aws: Sandbox, workers: int
) -> None:
    user.configure(workers=[f"worker-{index}" for index in range(workers)])

    assert count(user, local_aws) <= workers + 6


def test_a_wildcard_over_40_workers_costs_no_more(
    user: CliUser, local_aws: Sandbox
) -> None:
    user.grow(40)  # more than are read at once

    assert count(user, local_aws) <= 40 + 6


def test_a_cached_worker_costs_no_call(user: CliUser, local_aws: Sandbox) -> None:
    user.grow(20)
    user.does("pulumi up --yes --skip-preview")
    assert count(user, local_aws) <= 6
    new = labs.add_worker(
        user.ec2,
        user.lab,
        "worker-20",
        address="10.0.3.10",
        user_data=labs.user_data(20),
    )
    again = user.lab.workers["worker-1"]
    user.ec2.stop_instances(InstanceIds=[again])
    user.ec2.start_instances(InstanceIds=[again])

    assert count(user, local_aws) <= 6 + 2
    user.ec2.terminate_instances(InstanceIds=[new])
    local_aws.clear_calls()
    user.does("python -m routes verify --stack dev")
    assert local_aws.count()["DescribeInstanceAttribute"] == 1


def test_a_refused_update_keeps_the_cache(settled: CliUser, local_aws: Sandbox) -> None:
    settled.configure(workers="worker-9")
    settled.is_refused("pulumi up --yes --skip-preview")
    settled.configure()

    assert count(settled, local_aws) <= 6


def test_with_tags_the_cost_does_not_grow_with_the_workers(
    user: CliUser, local_aws: Sandbox
) -> None:
    for index, instance_id in enumerate(user.lab.workers.values()):
        user.ec2.create_tags(
            Resources=[instance_id],
            Tags=[{"Key": "pod-cidr", "Value": labs.pod_cidr(index)}],
        )
    user.configure(podCidrFrom="tag")

    assert count(user, local_aws) <= 6


def test_ids_and_names_mixed_cost_one_call_more_each(
    user: CliUser, local_aws: Sandbox
) -> None:
    second = labs.create_table(user.ec2, user.lab.vpc_id, "private-b")
    pinned = user.lab.workers["worker-0"]
    user.configure(
        workers=[pinned, "worker-1", "worker-2"], routeTables=["kubernetes", second]
    )

    assert count(user, local_aws) <= 3 + 6 + 2


def test_an_assumed_role_costs_three_calls_more(
    user: CliUser, local_aws: Sandbox
) -> None:
    user.does(
        "pulumi config set --path aws:assumeRoles[0].roleArn"
        " arn:aws:iam::123456789012:role/router"
    )

    assert count(user, local_aws) <= 3 + 6 + 3
    assert local_aws.count()["AssumeRole"] == 3
