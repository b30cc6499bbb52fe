"""The commands in the documentation work, and print what the pages show."""

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
from tests.e2e.cli_user import CliUser, kill
from tests.e2e.moments import Moments, with_a_stack, with_routes
from tests.e2e.watching import delay, until
from tests.pages import Step, stages

UP: Final = "pulumi up --yes --skip-preview"
_SKIP_PREVIEWS: Final = """
pulumi() {
  case "$1" in up | refresh) set -- "$@" --skip-preview ;; esac
  command pulumi "$@"
}
"""
"""Changes without their previews take half the time."""
_PROGRESS: Final = re.compile(r" [ +~=-]  [\w-]+:\w+:\w+ .*")
_ROUTE: Final = re.compile(r" [+~-]  aws:ec2:Route .* (create|update|delete)d? .*")
_IDS: Final = re.compile(
    r"\b(acl|eni|i|igw|pl|rtb|sg|subnet|vpc)-[0-9a-f]{17}(?![0-9a-f])"
)
_TIMES: Final = re.compile(
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\dZ)?|^\d\d:\d\d:\d\d(?= )", re.MULTILINE
)
_SECONDS: Final = re.compile(r"\(\d+(\.\d+)?m?s\)|\b\d+\.\d s\b")


def the_projects_folder(user: CliUser, _: Sandbox) -> None:
    (user.workspace.path / "Makefile").symlink_to(TOP / "Makefile")


def routes_made_by_hand(user: CliUser, _: Sandbox) -> None:
    for index, instance_id in enumerate(user.lab.workers.values()):
        user.ec2.create_route(
            RouteTableId=user.lab.table_id,
            DestinationCidrBlock=labs.pod_cidr(index),
            InstanceId=instance_id,
        )


def a_wildcard(user: CliUser, _: Sandbox) -> None:
    user.configure(workers="worker-*")


def one_route_made_by_hand(user: CliUser, _: Sandbox) -> None:
    user.ec2.create_route(
        RouteTableId=user.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        InstanceId=user.lab.workers["worker-1"],
    )


def a_route_is_deleted(user: CliUser, _: Sandbox) -> None:
    user.ec2.delete_route(
        RouteTableId=user.lab.table_id, DestinationCidrBlock="10.200.1.0/24"
    )


def a_worker_is_stopped(user: CliUser, _: Sandbox) -> None:
    user.ec2.stop_instances(InstanceIds=[user.lab.workers["worker-1"]])


def a_new_worker_of_the_same_name(user: CliUser, _: Sandbox) -> None:
    labs.add_worker(
        user.ec2,
        user.lab,
        "worker-1",
        address="10.0.1.41",
        user_data=labs.user_data(1),
    )


def the_old_worker_is_terminated(user: CliUser, _: Sandbox) -> None:
    user.ec2.terminate_instances(InstanceIds=[user.lab.workers["worker-1"]])


def a_killed_update(user: CliUser, local_aws: Sandbox) -> None:
    """Kill an update that waits for the answer to one CreateRoute."""
    delay(local_aws, "CreateRoute", "10.200.1.0")
    update = user.begins(UP)
    until(lambda: len(user.pod_routes()) >= 2)
    time.sleep(1)  # the two are in the state
    kill(update)
    local_aws.control(Control())
    assert len(user.pod_routes()) == 3


def room_for_two_routes(_: CliUser, local_aws: Sandbox) -> None:
    local_aws.control(Control(quota=3))


def a_higher_quota(_: CliUser, local_aws: Sandbox) -> None:
    local_aws.control(Control())


def routes_in_a_table_that_is_deleted(user: CliUser, _: Sandbox) -> None:
    table_id = labs.create_table(user.ec2, user.lab.vpc_id, "private-b")
    user.configure(routeTables="private-b")
    user.does(UP)
    user.ec2.delete_route_table(RouteTableId=table_id)


def workers_with_a_new_range(user: CliUser, _: Sandbox) -> None:
    for index in range(3):
        labs.add_worker(
            user.ec2,
            user.lab,
            f"worker-{3 + index}",
            address=f"10.0.1.{30 + index}",
            user_data=f"name=worker-{3 + index}|pod-cidr=10.201.{index}.0/24",
        )


def tags_with_a_new_range(user: CliUser, _: Sandbox) -> None:
    for index, instance_id in enumerate(user.lab.workers.values()):
        user.ec2.create_tags(
            Resources=[instance_id],
            Tags=[{"Key": "next-pod-cidr", "Value": f"172.20.{index}.0/24"}],
        )


def another_stack_with_worker_2(user: CliUser, _: Sandbox) -> None:
    user.does("pulumi stack init other")
    user.does("pulumi config cp --stack dev --dest other")
    user.does("pulumi config set pod-routes:workers worker-2")
    user.does(UP)
    user.does("pulumi stack select dev")


def an_api_server_in_another_subnet(user: CliUser, _: Sandbox) -> None:
    subnet = user.ec2.create_subnet(VpcId=user.lab.vpc_id, CidrBlock="10.0.64.0/24")[
        "Subnet"
    ]
    there = replace(user.lab, subnet_id=subnet["SubnetId"])
    labs.add_worker(user.ec2, there, "controller-0", address="10.0.64.10")


def a_throttled_account(user: CliUser, local_aws: Sandbox) -> None:
    user.does("pulumi config set aws:maxRetries 3")
    busy = Fault(action="DescribeVpcs", code="RequestLimitExceeded", status=503)
    local_aws.control(Control(faults=(busy,)))


def an_empty_bucket_and_a_key(_: CliUser, local_aws: Sandbox) -> None:
    local_aws.client("s3").create_bucket(Bucket="pod-routes-state")
    kms = local_aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/pod-routes", TargetKeyId=key)


EVENTS: Final[dict[str, Callable[[CliUser, Sandbox], None]]] = {
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
"""The initial state of a stage; that of others is a stack without any other routes."""


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(steps, id=f"{page.name}: {steps[0].event}")
        for page in (TOP / "README.md", *sorted(TOP.glob("docs/*.md")))
        for steps in stages(page.read_text())
    ],
)
def test_a_page_shows_the_commands_and_their_output(
    moments: Moments, local_aws: Sandbox, steps: list[Step]
) -> None:
    user = moments.after(*MOMENTS.get(steps[0].event, (with_a_stack,)))
    for step in steps:
        if step.event:
            if step.event not in MOMENTS:
                EVENTS[step.event](user, local_aws)
            continue
        names = {"PULUMI_SKIP_CONFIRMATIONS": "true"}
        outcome = user.runs("bash", "-ec", _SKIP_PREVIEWS + step.commands, **names)
        assert outcome.code == step.code, f"{step.commands}{outcome.text}"
        if step.shown is not None:
            shown, printed = _tidy(step.shown), _tidy(outcome.text)
            assert _agree(shown, printed), (
                f"{step.commands}The page shows:\n{shown}\nIt printed:\n{printed}"
            )


def _tidy(text: str) -> str:
    """Leave out everything that differs from run to run.

    Pulumi changes resources in parallel, so the lines about their progress are in any
    order. Of those, the last ones about each route stay, sorted.
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
    """Compare word by word; `...` stands for any words."""
    parts = [re.escape(" ".join(part.split())) for part in shown.split("...")]
    return bool(re.fullmatch(".*".join(parts), " ".join(printed.split())))
