"""What the pages tell a reader to type works, and prints what they show."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from sandbox import TOP
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.e2e.moments import Moments, with_a_stack, with_routes
from tests.e2e.person import Person, kill
from tests.e2e.watching import hold
from tests.pages import Step, stages

UP: Final = "pulumi up --yes --skip-preview"
_HASTE: Final = """
pulumi() {
  case "$1" in up | refresh) set -- "$@" --skip-preview ;; esac
  command pulumi "$@"
}
"""
"""A reader who does not wait for the preview of a change, to halve the time."""
_PROGRESS: Final = re.compile(r" [ +~=-]  [\w-]+:\w+:\w+ .*")
_ROUTE: Final = re.compile(r" [+~-]  aws:ec2:Route .* (create|update|delete)d? .*")
_IDS: Final = re.compile(
    r"\b(acl|eni|i|igw|pl|rtb|sg|subnet|vpc)-[0-9a-f]{17}(?![0-9a-f])"
)
_TIMES: Final = re.compile(
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\dZ)?|^\d\d:\d\d:\d\d(?= )", re.MULTILINE
)
_SECONDS: Final = re.compile(r"\(\d+(\.\d+)?m?s\)|\b\d+\.\d s\b")


def the_projects_folder(person: Person, _: Sandbox) -> None:
    (person.workspace.path / "Makefile").symlink_to(TOP / "Makefile")


def routes_made_by_hand(person: Person, _: Sandbox) -> None:
    for index, instance_id in enumerate(person.lab.workers.values()):
        person.ec2.create_route(
            RouteTableId=person.lab.table_id,
            DestinationCidrBlock=labs.pod_cidr(index),
            InstanceId=instance_id,
        )


def a_wildcard(person: Person, _: Sandbox) -> None:
    person.configure(workers="worker-*")


def one_route_made_by_hand(person: Person, _: Sandbox) -> None:
    person.ec2.create_route(
        RouteTableId=person.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        InstanceId=person.lab.workers["worker-1"],
    )


def a_route_is_deleted(person: Person, _: Sandbox) -> None:
    person.ec2.delete_route(
        RouteTableId=person.lab.table_id, DestinationCidrBlock="10.200.1.0/24"
    )


def a_worker_is_stopped(person: Person, _: Sandbox) -> None:
    person.ec2.stop_instances(InstanceIds=[person.lab.workers["worker-1"]])


def a_new_worker_of_the_same_name(person: Person, _: Sandbox) -> None:
    labs.add_worker(
        person.ec2,
        person.lab,
        "worker-1",
        address="10.0.1.41",
        user_data=labs.user_data(1),
    )


def the_old_worker_is_terminated(person: Person, _: Sandbox) -> None:
    person.ec2.terminate_instances(InstanceIds=[person.lab.workers["worker-1"]])


def a_killed_update(person: Person, box: Sandbox) -> None:
    """Kill an update that waits for the answer to one CreateRoute."""
    hold(box, "CreateRoute", "10.200.1.0")
    update = person.begins(UP)
    _wait_for_routes(person, 2)
    time.sleep(1)  # the two are in the state
    kill(update)
    box.control(Control())
    assert len(person.pod_routes()) == 3


def _wait_for_routes(person: Person, count: int) -> None:
    end = time.monotonic() + 30
    while len(person.pod_routes()) < count:
        assert time.monotonic() < end
        time.sleep(0.05)


def room_for_two_routes(_: Person, box: Sandbox) -> None:
    box.control(Control(quota=3))


def a_higher_quota(_: Person, box: Sandbox) -> None:
    box.control(Control())


def routes_in_a_table_that_is_deleted(person: Person, _: Sandbox) -> None:
    table_id = labs.create_table(person.ec2, person.lab.vpc_id, "private-b")
    person.configure(routeTables="private-b")
    person.does(UP)
    person.ec2.delete_route_table(RouteTableId=table_id)


def workers_with_a_new_range(person: Person, _: Sandbox) -> None:
    for index in range(3):
        labs.add_worker(
            person.ec2,
            person.lab,
            f"worker-{3 + index}",
            address=f"10.0.1.{30 + index}",
            user_data=f"name=worker-{3 + index}|pod-cidr=10.201.{index}.0/24",
        )


def tags_with_a_new_range(person: Person, _: Sandbox) -> None:
    for index, instance_id in enumerate(person.lab.workers.values()):
        person.ec2.create_tags(
            Resources=[instance_id],
            Tags=[{"Key": "next-pod-cidr", "Value": f"172.20.{index}.0/24"}],
        )


def another_stack_with_worker_2(person: Person, _: Sandbox) -> None:
    person.does("pulumi stack init other")
    person.does("pulumi config cp --stack dev --dest other")
    person.does("pulumi config set pod-routes:workers worker-2")
    person.does(UP)
    person.does("pulumi stack select dev")


def an_api_server_in_another_subnet(person: Person, _: Sandbox) -> None:
    subnet = person.ec2.create_subnet(
        VpcId=person.lab.vpc_id, CidrBlock="10.0.64.0/24"
    )["Subnet"]
    there = replace(person.lab, subnet_id=subnet["SubnetId"])
    labs.add_worker(person.ec2, there, "controller-0", address="10.0.64.10")


def a_throttled_account(person: Person, box: Sandbox) -> None:
    person.does("pulumi config set aws:maxRetries 3")
    busy = Fault(action="DescribeVpcs", code="RequestLimitExceeded", status=503)
    box.control(Control(faults=(busy,)))


def an_empty_bucket_and_a_key(_: Person, box: Sandbox) -> None:
    box.client("s3").create_bucket(Bucket="pod-routes-state")
    kms = box.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/pod-routes", TargetKeyId=key)


EVENTS: Final[dict[str, Callable[[Person, Sandbox], None]]] = {
    function.__name__.replace("_", " "): function
    for function in (
        the_projects_folder,
        routes_made_by_hand,
        one_route_made_by_hand,
        a_route_is_deleted,
        a_worker_is_stopped,
        a_new_worker_of_the_same_name,
        the_old_worker_is_terminated,
        a_killed_update,
        room_for_two_routes,
        a_higher_quota,
        routes_in_a_table_that_is_deleted,
        workers_with_a_new_range,
        tags_with_a_new_range,
        another_stack_with_worker_2,
        an_api_server_in_another_subnet,
        a_throttled_account,
        an_empty_bucket_and_a_key,
        a_wildcard,
    )
}

MOMENTS: Final = {
    "no stack": (),
    "every route in place": (with_a_stack, with_routes),
}
"""What stages begin with; the others, with a stack, without anybody else's routes."""


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(steps, id=f"{page.name}: {steps[0].event}")
        for page in (TOP / "README.md", *sorted(TOP.glob("docs/*.md")))
        for steps in stages(page.read_text())
    ],
)
def test_a_page_says_what_to_type_and_what_comes_of_it(
    moments: Moments, box: Sandbox, steps: list[Step]
) -> None:
    person = moments.after(*MOMENTS.get(steps[0].event, (with_a_stack,)))
    for step in steps:
        if step.event:
            if step.event not in MOMENTS:
                EVENTS[step.event](person, box)
            continue
        names = {"PULUMI_SKIP_CONFIRMATIONS": "true"}
        outcome = person.runs("bash", "-ec", _HASTE + step.commands, **names)
        assert outcome.code == step.code, f"{step.commands}{outcome.text}"
        if step.shown is not None:
            shown, printed = _tidy(step.shown), _tidy(outcome.text)
            assert _agree(shown, printed), (
                f"{step.commands}The page shows:\n{shown}\nIt printed:\n{printed}"
            )


def _tidy(text: str) -> str:
    """Leave out what differs from one run to the next.

    Pulumi works on resources side by side, so what it says of their progress comes in
    any order: of that the routes' last lines are kept, sorted.
    """
    lines: list[str] = []
    progress: list[str] = []
    for line in text.splitlines():
        if _PROGRESS.fullmatch(line):
            progress += [line.rstrip()] if _ROUTE.fullmatch(line + " ") else []
        elif not line.startswith(("@ ", "Duration: ")):
            lines += [*sorted(progress), line]
            progress = []
    text = "\n".join([*lines, *sorted(progress)])
    text = _TIMES.sub("(time)", _IDS.sub(r"\1-id", text))
    return _SECONDS.sub("(seconds)", text)


def _agree(shown: str, printed: str) -> bool:
    """Compare word by word; `...` stands for any."""
    parts = [re.escape(" ".join(part.split())) for part in shown.split("...")]
    return bool(re.fullmatch(".*".join(parts), " ".join(printed.split())))
