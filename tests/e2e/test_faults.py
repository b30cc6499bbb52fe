"""Failing calls and killed processes: the state stays correct, and can be repaired."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.rules import DEFAULT_QUOTA
from sandbox.ec2.server import Control, Fault
from tests.e2e.cli_user import CliUser, kill
from tests.e2e.moments import PREFIX_LIST_ENTRIES
from tests.e2e.watching import delay

UP = "pulumi up --yes --skip-preview"


def fail(local_aws: Sandbox, *faults: Fault, quota: int = DEFAULT_QUOTA) -> None:
    local_aws.control(Control(faults=faults, quota=quota))


def test_a_lookup_that_is_throttled_for_a_while_succeeds(
    user: CliUser, local_aws: Sandbox
) -> None:
    fail(
        local_aws, Fault(action="*", code="RequestLimitExceeded", status=503, rate=0.4)
    )

    user.does("pulumi preview")


def test_a_denied_lookup_names_the_permission(
    user: CliUser, local_aws: Sandbox
) -> None:
    fail(
        local_aws,
        Fault(action="DescribeInstances", code="UnauthorizedOperation", status=403),
    )

    text = user.is_refused("pulumi up --yes")

    assert "ec2:DescribeInstances" in text
    assert "UnauthorizedOperation" in text


def test_an_expired_token_says_to_log_in_again(
    user: CliUser, local_aws: Sandbox
) -> None:
    fail(local_aws, Fault(action="GetCallerIdentity", code="ExpiredToken", status=403))

    text = user.is_refused("pulumi preview")

    assert "ExpiredToken" in text
    assert "aws sso login" in text


def test_an_endpoint_that_is_not_reachable_is_named(user: CliUser) -> None:
    user.does("pulumi config set aws:maxRetries 2")

    text = user.is_refused("pulumi preview", AWS_ENDPOINT_URL="http://127.0.0.1:9")

    assert "http://127.0.0.1:9" in text
    assert "AWS_ENDPOINT_URL" in text


def twenty(user: CliUser) -> list[str]:
    """Grow the lab to 20 workers, and return their destinations."""
    user.grow(20)
    return [labs.pod_cidr(index) for index in range(20)]


def managed(user: CliUser) -> set[str]:
    """Return the destinations of the routes in the stack's state."""
    return {
        resource["inputs"]["destinationCidrBlock"]
        for resource in user.state()
        if resource["type"] == "aws:ec2/route:Route"
    }


def test_one_create_of_twenty_fails_and_a_second_up_finishes(
    user: CliUser, local_aws: Sandbox
) -> None:
    destinations = twenty(user)
    fail(
        local_aws,
        Fault(action="CreateRoute", match="10.200.7.0", code="InternalFailure"),
    )

    failed = user.types(UP)
    assert failed.code != 0
    assert "10.200.7.0/24" in failed.text
    assert managed(user) == user.pod_routes().keys()

    continued = user.types(f"{UP} --continue-on-error")
    assert continued.code != 0
    assert managed(user) == set(destinations) - {"10.200.7.0/24"}
    assert user.pod_routes().keys() == managed(user)

    fail(local_aws)
    user.does(UP)
    assert user.pod_routes().keys() == set(destinations)


def test_a_quota_reached_midway_is_an_error_for_each_route_that_does_not_fit(
    user: CliUser, local_aws: Sandbox
) -> None:
    destinations = twenty(user)
    static = [r for r in user.routes().values() if r["Origin"] == "CreateRoute"]
    used = len(static) - 1 + PREFIX_LIST_ENTRIES
    fail(local_aws, quota=used + 12)

    up = user.types(f"{UP} --continue-on-error")
    assert up.code != 0
    assert len(user.pod_routes()) == 12
    assert managed(user) == user.pod_routes().keys()
    for destination in set(destinations) - user.pod_routes().keys():
        assert f"with destination ({destination})" in up.text

    fail(local_aws)
    user.does(UP)
    assert user.pod_routes().keys() == set(destinations)


def sidecar(user: CliUser) -> Path:
    """Return the file that a file backend keeps beside the stack's state."""
    state = user.workspace.path / "state" / ".pulumi"
    return state / "stacks" / "pod-routes" / "dev.json.attrs"


def recover(user: CliUser) -> None:
    """Recover from an interrupted update as docs/operations.md says."""
    cancel = user.types("pulumi cancel --yes")
    if "failed to load checkpoint: EOF" in cancel.text:
        sidecar(user).unlink()
        user.types("pulumi cancel --yes")
    user.does("pulumi refresh --yes --clear-pending-creates")
    user.pastes("python -m routes import-file --stack dev > import.json")
    document = json.loads((user.workspace.path / "import.json").read_text())
    if document["resources"]:
        user.does(
            "pulumi import --file import.json --yes --generate-code=false"
            " --protect=false"
        )
    user.does(UP)


def interrupt(
    user: CliUser, local_aws: Sandbox, how: signal.Signals, calls: int
) -> None:
    """Start an update, and end it with its descendants after so many calls."""
    local_aws.clear_calls()
    update = user.begins(UP)
    while len(local_aws.calls()) < calls:
        assert update.poll() is None
        time.sleep(0.01)
    if how == signal.SIGKILL:
        kill(update)
    else:
        update.send_signal(how)
        update.wait()


@pytest.mark.parametrize(
    "seed",
    [0, *(pytest.param(s, marks=pytest.mark.soak) for s in range(1, 20))],
)
def test_after_a_kill_the_documented_recovery_makes_state_and_table_equal(
    user: CliUser, local_aws: Sandbox, seed: int
) -> None:
    destinations = twenty(user)
    local_aws.control(Control(latency=0.05))
    calls = random.Random(seed).randint(20, 110)  # noqa: S311 - repeatable

    interrupt(user, local_aws, signal.SIGKILL, calls)
    local_aws.control(Control())
    recover(user)

    assert user.pod_routes().keys() == set(destinations)
    assert managed(user) == set(destinations)
    user.does("pulumi preview --expect-no-changes --refresh")


def test_an_empty_sidecar_after_a_kill_can_be_removed(settled: CliUser) -> None:
    sidecar(settled).write_bytes(b"")
    assert "failed to load checkpoint: EOF" in settled.is_refused("pulumi preview")

    recover(settled)

    assert managed(settled) == settled.pod_routes().keys()
    settled.does("pulumi preview --expect-no-changes")


def test_an_interrupted_update_is_finished_by_the_next(
    user: CliUser, local_aws: Sandbox
) -> None:
    destinations = twenty(user)
    local_aws.control(Control(latency=0.05))

    interrupt(user, local_aws, signal.SIGINT, 40)
    local_aws.control(Control())
    recover(user)

    assert user.pod_routes().keys() == set(destinations)
    assert managed(user) == set(destinations)


@pytest.mark.parametrize("backend", ["file", "s3"])
def test_of_two_concurrent_updates_the_second_is_refused_by_the_lock(
    user: CliUser, local_aws: Sandbox, backend: str
) -> None:
    extra = {}
    if backend == "s3":
        local_aws.client("s3").create_bucket(Bucket="state")
        address = local_aws.endpoint.removeprefix("http://")
        extra["PULUMI_BACKEND_URL"] = (
            f"s3://state?region=us-east-1&endpoint={address}"
            "&disableSSL=true&s3ForcePathStyle=true"
        )
        user.does("pulumi stack init dev", **extra)
    delay(local_aws, "CreateRoute")
    first = subprocess.Popen(
        UP.split(),
        cwd=user.workspace.path,
        env={**user.workspace.environment, **extra},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    while not is_locked(user, local_aws, backend):
        time.sleep(0.05)
        assert first.poll() is None

    second = user.types(UP, **extra)

    assert second.code != 0
    assert "locked" in second.text
    local_aws.control(Control())
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert user.pod_routes() == user.desired()
    user.does("pulumi preview --expect-no-changes", **extra)


def is_locked(user: CliUser, local_aws: Sandbox, backend: str) -> bool:
    """Return whether an update holds the backend's lock."""
    if backend == "file":
        locks = user.workspace.path / "state" / ".pulumi" / "locks"
        return any(file.is_file() for file in locks.rglob("*.json"))
    answer = local_aws.client("s3").list_objects_v2(
        Bucket="state", Prefix=".pulumi/locks"
    )
    return answer["KeyCount"] > 0
