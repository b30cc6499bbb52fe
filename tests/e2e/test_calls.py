"""How many calls a preview costs: budgets, whatever the machine."""

from __future__ import annotations

import pytest

from sandbox import lab as labs
from sandbox.aws import Sandbox
from tests.e2e.conftest import Person


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


def test_a_wildcard_over_60_workers_costs_no_more(person: Person, box: Sandbox) -> None:
    person.grow(60)

    assert count(person, box) <= 60 + 6


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


def test_an_assumed_role_costs_two_calls_more(person: Person, box: Sandbox) -> None:
    person.does(
        "pulumi config set --path aws:assumeRoles[0].roleArn"
        " arn:aws:iam::123456789012:role/router"
    )

    assert count(person, box) <= 3 + 6 + 2
    assert box.count()["AssumeRole"] == 2
