"""The shipped IAM policies: enough for their step, and nothing in them too much."""

from __future__ import annotations

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.person import Person
from tests.policies import acting_with, grant, policy, without

READ = [
    "ec2:DescribeRouteTables",
    "ec2:DescribeVpcs",
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceAttribute",
]
WRITE = ["ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DeleteRoute"]


def test_the_policies_name_what_the_steps_need() -> None:
    preview = policy("preview")["Statement"]
    up = policy("up")["Statement"]

    assert [statement["Action"] for statement in preview] == [READ]
    assert [statement["Action"] for statement in up] == [READ, WRITE]
    assert up[1]["Resource"] == "arn:aws:ec2:*:*:route-table/*"


def test_the_preview_policy_is_enough_for_a_preview_and_not_for_an_up(
    person: Person, box: Sandbox
) -> None:
    keys = acting_with(box, policy("preview"))

    person.does("pulumi preview", **keys)
    up = person.types("pulumi up --yes --skip-preview", **keys)

    assert up.code != 0
    assert "UnauthorizedOperation" in up.text
    assert person.pod_routes() == {}


def test_the_up_policy_is_enough_for_a_routes_whole_life(
    person: Person, box: Sandbox
) -> None:
    keys = acting_with(box, policy("up"))

    person.does("pulumi up --yes --skip-preview", **keys)
    person.ec2.terminate_instances(InstanceIds=[person.lab.workers["worker-1"]])
    labs.add_worker(
        person.ec2,
        person.lab,
        "worker-1",
        address="10.0.1.99",
        user_data=labs.user_data(1),
    )
    person.does("pulumi up --yes --skip-preview", **keys)
    person.does("pulumi refresh --yes", **keys)
    person.does("pulumi destroy --yes --skip-preview", **keys)

    assert person.pod_routes() == {}


def test_the_up_policy_is_enough_for_a_watcher_and_its_writes_are_needed(
    person: Person, box: Sandbox
) -> None:
    person.configure(workers="worker-*", unready="skip", maxRemovals="50%")
    watch = "python -m routes watch --stack dev --once"
    keys = acting_with(box, without(policy("up"), "ec2:CreateRoute"))
    refused = person.types(watch, **keys)
    assert refused.code == 2
    assert "CreateRoute" in refused.text

    grant(box, policy("up"))
    person.does(watch, **keys)

    assert person.pod_routes() == person.wanted()


def test_each_right_to_write_is_needed_by_its_step(
    person: Person, box: Sandbox
) -> None:
    keys = acting_with(box, without(policy("up"), "ec2:CreateRoute"))
    up = "pulumi up --yes --skip-preview"
    assert "CreateRoute" in person.is_refused(up, **keys)
    grant(box, policy("up"))
    person.does(up, **keys)

    person.configure(workers=f"{person.lab.workers['worker-0']},worker-1,spare")
    person.ec2.terminate_instances(InstanceIds=[person.lab.workers["worker-2"]])
    labs.add_worker(
        person.ec2,
        person.lab,
        "spare",
        address="10.0.1.98",
        user_data=labs.user_data(2),
    )
    grant(box, without(policy("up"), "ec2:ReplaceRoute"))
    assert "ReplaceRoute" in person.is_refused(up, **keys)

    grant(box, without(policy("up"), "ec2:DeleteRoute"))
    destroy = "pulumi destroy --yes --skip-preview"
    assert "DeleteRoute" in person.is_refused(destroy, **keys)


def test_the_verify_policy_is_enough_and_what_it_lacks_is_named(
    settled: Person, box: Sandbox
) -> None:
    verify = "python -m routes verify --stack dev"
    keys = acting_with(box, policy("verify"))
    settled.does(verify, **keys)

    grant(box, without(policy("verify"), "ec2:GetManagedPrefixListEntries"))
    outcome = settled.types(verify, **keys)

    assert outcome.code == 2, outcome.text
    needed = "Allow ec2:GetManagedPrefixListEntries for this identity"
    assert needed in " ".join(outcome.text.split())
