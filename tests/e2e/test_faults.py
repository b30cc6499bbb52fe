"""Calls that fail, processes that die: nothing half-declared, and a way back."""

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
from tests.e2e.moments import PREFIX_LIST_ENTRIES
from tests.e2e.person import Person, kill
from tests.e2e.watching import hold

UP = "pulumi up --yes --skip-preview"


def fail(box: Sandbox, *faults: Fault, quota: int = DEFAULT_QUOTA) -> None:
    box.control(Control(faults=faults, quota=quota))


def test_a_lookup_that_fails_for_a_while_comes_through(
    person: Person, box: Sandbox
) -> None:
    fail(box, Fault(action="*", code="RequestLimitExceeded", status=503, rate=0.4))

    person.does("pulumi preview")


def test_a_denied_lookup_names_the_permission(person: Person, box: Sandbox) -> None:
    fail(
        box,
        Fault(action="DescribeInstances", code="UnauthorizedOperation", status=403),
    )

    text = person.is_refused("pulumi up --yes")

    assert "ec2:DescribeInstances" in text
    assert "UnauthorizedOperation" in text


def test_an_expired_token_says_to_log_in_again(person: Person, box: Sandbox) -> None:
    fail(box, Fault(action="GetCallerIdentity", code="ExpiredToken", status=403))

    text = person.is_refused("pulumi preview")

    assert "ExpiredToken" in text
    assert "aws sso login" in text


def test_an_endpoint_that_does_not_answer_is_named(person: Person) -> None:
    person.does("pulumi config set aws:maxRetries 2")

    text = person.is_refused("pulumi preview", AWS_ENDPOINT_URL="http://127.0.0.1:9")

    assert "http://127.0.0.1:9" in text
    assert "AWS_ENDPOINT_URL" in text


def twenty(person: Person) -> list[str]:
    """Let the lab have 20 workers, and return their destinations."""
    person.grow(20)
    return [labs.pod_cidr(index) for index in range(20)]


def held(person: Person) -> set[str]:
    """Return the destinations of the routes in the stack's state."""
    return {
        resource["inputs"]["destinationCidrBlock"]
        for resource in person.state()
        if resource["type"] == "aws:ec2/route:Route"
    }


def test_one_create_of_twenty_fails_and_a_second_up_finishes(
    person: Person, box: Sandbox
) -> None:
    destinations = twenty(person)
    fail(
        box,
        Fault(action="CreateRoute", match="10.200.7.0", code="InternalFailure"),
    )

    stopped = person.types(UP)
    assert stopped.code != 0
    assert "10.200.7.0/24" in stopped.text
    assert held(person) == person.pod_routes().keys()

    went_on = person.types(f"{UP} --continue-on-error")
    assert went_on.code != 0
    assert held(person) == set(destinations) - {"10.200.7.0/24"}
    assert person.pod_routes().keys() == held(person)

    fail(box)
    person.does(UP)
    assert person.pod_routes().keys() == set(destinations)


def test_a_quota_reached_midway_leaves_what_fits_and_an_error_for_each_other(
    person: Person, box: Sandbox
) -> None:
    destinations = twenty(person)
    static = [r for r in person.routes().values() if r["Origin"] == "CreateRoute"]
    standing = len(static) - 1 + PREFIX_LIST_ENTRIES
    fail(box, quota=standing + 12)

    up = person.types(f"{UP} --continue-on-error")
    assert up.code != 0
    assert len(person.pod_routes()) == 12
    assert held(person) == person.pod_routes().keys()
    for destination in set(destinations) - person.pod_routes().keys():
        assert f"with destination ({destination})" in up.text

    fail(box)
    person.does(UP)
    assert person.pod_routes().keys() == set(destinations)


def sidecar(person: Person) -> Path:
    """Return the file that a file backend keeps beside the stack's state."""
    state = person.workspace.path / "state" / ".pulumi"
    return state / "stacks" / "pod-routes" / "dev.json.attrs"


def recover(person: Person) -> None:
    """Do what docs/operations.md says after an interrupted update."""
    cancel = person.types("pulumi cancel --yes")
    if "failed to load checkpoint: EOF" in cancel.text:
        sidecar(person).unlink()
        person.types("pulumi cancel --yes")
    person.does("pulumi refresh --yes --clear-pending-creates")
    person.pastes("python -m routes import-file --stack dev > import.json")
    document = json.loads((person.workspace.path / "import.json").read_text())
    if document["resources"]:
        person.does(
            "pulumi import --file import.json --yes --generate-code=false"
            " --protect=false"
        )
    person.does(UP)


def interrupt(person: Person, box: Sandbox, how: signal.Signals, calls: int) -> None:
    """Start an update and end it, with all that it started, after so many calls."""
    box.clear_calls()
    update = person.begins(UP)
    while len(box.calls()) < calls:
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
    person: Person, box: Sandbox, seed: int
) -> None:
    destinations = twenty(person)
    box.control(Control(latency=0.05))
    calls = random.Random(seed).randint(20, 110)  # noqa: S311 - repeatable

    interrupt(person, box, signal.SIGKILL, calls)
    box.control(Control())
    recover(person)

    assert person.pod_routes().keys() == set(destinations)
    assert held(person) == set(destinations)
    person.does("pulumi preview --expect-no-changes --refresh")


def test_a_sidecar_left_empty_by_a_kill_can_be_removed(settled: Person) -> None:
    sidecar(settled).write_bytes(b"")
    assert "failed to load checkpoint: EOF" in settled.is_refused("pulumi preview")

    recover(settled)

    assert held(settled) == settled.pod_routes().keys()
    settled.does("pulumi preview --expect-no-changes")


def test_after_an_interrupt_an_up_finishes(person: Person, box: Sandbox) -> None:
    destinations = twenty(person)
    box.control(Control(latency=0.05))

    interrupt(person, box, signal.SIGINT, 40)
    box.control(Control())
    recover(person)

    assert person.pod_routes().keys() == set(destinations)
    assert held(person) == set(destinations)


@pytest.mark.parametrize("backend", ["file", "s3"])
def test_of_two_updates_at_once_the_second_meets_the_lock(
    person: Person, box: Sandbox, backend: str
) -> None:
    extra = {}
    if backend == "s3":
        box.client("s3").create_bucket(Bucket="state")
        address = box.endpoint.removeprefix("http://")
        extra["PULUMI_BACKEND_URL"] = (
            f"s3://state?region=us-east-1&endpoint={address}"
            "&disableSSL=true&s3ForcePathStyle=true"
        )
        person.does("pulumi stack init dev", **extra)
    hold(box, "CreateRoute")
    first = subprocess.Popen(
        UP.split(),
        cwd=person.workspace.path,
        env={**person.workspace.environment, **extra},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    while not is_locked(person, box, backend):
        time.sleep(0.05)
        assert first.poll() is None

    second = person.types(UP, **extra)

    assert second.code != 0
    assert "locked" in second.text
    box.control(Control())
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert person.pod_routes() == person.wanted()
    person.does("pulumi preview --expect-no-changes", **extra)


def is_locked(person: Person, box: Sandbox, backend: str) -> bool:
    """Return whether an update holds the backend's lock."""
    if backend == "file":
        locks = person.workspace.path / "state" / ".pulumi" / "locks"
        return any(file.is_file() for file in locks.rglob("*.json"))
    answer = box.client("s3").list_objects_v2(Bucket="state", Prefix=".pulumi/locks")
    return answer["KeyCount"] > 0
