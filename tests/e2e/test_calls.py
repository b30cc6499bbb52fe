"""How many calls a preview costs: budgets, whatever the machine."""

from __future__ import annotations

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.person import Person


def count(person: Person, box: Sandbox, **extra: str) -> int:
    box.clear_calls()
    person.does("pulumi preview", **extra)
    return len(box.calls())


@pytest.mark.parametrize("workers", [1, 3])
def test_a_preview_costs_one_call_per_worker_and_six(
    person: Person, box: Sandbox, workers: int
) -> None:
    person.configure(workers=[f"worker-{index}" for index in range(workers)])

    assert count(person, box) <= workers + 6


def test_a_wildcard_over_40_workers_costs_no_more(person: Person, box: Sandbox) -> None:
    person.grow(40)  # more than are read at once

    assert count(person, box) <= 40 + 6


def test_a_worker_that_an_update_has_read_costs_no_call(
    person: Person, box: Sandbox
) -> None:
    person.grow(20)
    person.does("pulumi up --yes --skip-preview")
    assert count(person, box) <= 6
    new = labs.add_worker(
        person.ec2,
        person.lab,
        "worker-20",
        address="10.0.3.10",
        user_data=labs.user_data(20),
    )
    again = person.lab.workers["worker-1"]
    person.ec2.stop_instances(InstanceIds=[again])
    person.ec2.start_instances(InstanceIds=[again])

    assert count(person, box) <= 6 + 2
    person.ec2.terminate_instances(InstanceIds=[new])
    box.clear_calls()
    person.does("python -m routes verify --stack dev")
    assert box.count()["DescribeInstanceAttribute"] == 1


def test_an_update_that_is_refused_forgets_nothing(
    settled: Person, box: Sandbox
) -> None:
    settled.configure(workers="worker-9")
    settled.is_refused("pulumi up --yes --skip-preview")
    settled.configure()

    assert count(settled, box) <= 6


def test_with_tags_the_cost_does_not_grow_with_the_workers(
    person: Person, box: Sandbox
) -> None:
    for index, instance_id in enumerate(person.lab.workers.values()):
        person.ec2.create_tags(
            Resources=[instance_id],
            Tags=[{"Key": "pod-cidr", "Value": labs.pod_cidr(index)}],
        )
    person.configure(podCidrFrom="tag")

    assert count(person, box) <= 6


def test_ids_and_names_mixed_cost_one_call_more_each(
    person: Person, box: Sandbox
) -> None:
    second = labs.create_table(person.ec2, person.lab.vpc_id, "private-b")
    pinned = person.lab.workers["worker-0"]
    person.configure(
        workers=[pinned, "worker-1", "worker-2"], routeTables=["kubernetes", second]
    )

    assert count(person, box) <= 3 + 6 + 2


def test_an_assumed_role_costs_three_calls_more(person: Person, box: Sandbox) -> None:
    person.does(
        "pulumi config set --path aws:assumeRoles[0].roleArn"
        " arn:aws:iam::123456789012:role/router"
    )

    assert count(person, box) <= 3 + 6 + 3
    assert box.count()["AssumeRole"] == 3
