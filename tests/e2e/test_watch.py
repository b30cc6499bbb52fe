"""`python -m routes watch`: real updates, while workers come and go."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.e2e.cli_user import CliUser, kill
from tests.e2e.test_faults import sidecar
from tests.e2e.watching import (
    TIMEOUT,
    WATCH,
    WATCHED,
    Watch,
    add,
    delay,
    target,
    until,
)


def test_a_stack_that_is_not_configured_to_be_watched_is_refused(user: CliUser) -> None:
    user.configure(workers="worker-*", protect=True)

    refused = user.types(f"{WATCH} --once")

    assert refused.code == 2
    commands = [line.strip() for line in refused.text.splitlines() if "--stack" in line]
    assert len(commands) == 3
    for command in commands:
        user.does(command)
    user.does(f"{WATCH} --once")
    assert user.pod_routes() == user.desired()


def test_a_poll_in_sync_takes_two_calls_and_runs_no_update(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Account and VPC are read once per connection, and by each update."""
    add(watched, 3, user_data="no pod CIDR")
    watched.types(f"{WATCH} --once")
    history = len(json.loads(watched.does("pulumi stack history --json").text))
    local_aws.clear_calls()
    watch = watching()
    until(lambda: local_aws.count()["DescribeInstances"] > 1, watch)
    local_aws.clear_calls()
    until(lambda: local_aws.count()["DescribeInstances"] > 4, watch)
    watch.ends()

    counted = local_aws.count()
    assert {*counted} == {"DescribeRouteTables", "DescribeInstances"}
    assert abs(counted["DescribeRouteTables"] - counted["DescribeInstances"]) <= 1
    after = json.loads(watched.does("pulumi stack history --json").text)
    assert len(after) == history
    assert watch.count("worker-3") == 1


def retarget(user: CliUser, index: int, worker: str) -> str:
    """Retarget a route to another worker by hand, and return its interface."""
    interface = user.interface(worker)
    user.ec2.replace_route(
        RouteTableId=user.lab.table_id,
        DestinationCidrBlock=labs.pod_cidr(index),
        NetworkInterfaceId=interface,
    )
    return interface


def test_repairs_of_a_route_that_somebody_keeps_changing_are_deferred_and_no_others(
    served: CliUser, watching: Callable[..., Watch]
) -> None:
    watch = watching()
    watch.logs("3 of 3 routes are in place.")
    other = retarget(served, 1, "worker-2")
    route = f"{served.lab.table_id} {labs.pod_cidr(1)} (to {other})"
    watch.logs(f"Updating: 1 drifted: {route}.")
    watch.logs("3 of 3 routes are in place.", times=2)

    retarget(served, 1, "worker-2")

    watch.logs(f"Somebody keeps changing {route}: repaired 1 time(s)")
    served.ec2.delete_route(
        RouteTableId=served.lab.table_id, DestinationCidrBlock=labs.pod_cidr(0)
    )
    watch.logs(f"{labs.pod_cidr(0)} (deleted)")
    until(lambda: labs.pod_cidr(0) in served.pod_routes(), watch)
    fourth = add(served, 3)
    watch.logs("1 to add")
    watch.logs("1 create")
    desired = served.desired() | {labs.pod_cidr(3): target(served, fourth)}
    until(lambda: served.pod_routes() == desired, watch)
    watch.ends()
    assert watch.count("keeps changing") == 1


def test_a_list_that_shrinks_slowly_is_limited_for_an_hour(
    served: CliUser, watching: Callable[..., Watch]
) -> None:
    """Half of three routes is one; half of the remaining two would be another.

    A worker that joins then gets its route at once.
    """
    watch = watching()
    watch.logs("3 of 3 routes are in place.")
    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-2"]])
    watch.logs("2 of 2 routes are in place.")

    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-1"]])

    watch.logs("pod-routes:maxRemovals: this update would delete 1 of the 2 routes")
    watch.logs("50% of the 3 routes an hour: 1")
    third = add(served, 3)
    route = labs.pod_cidr(3), target(served, third)
    until(lambda: route in served.pod_routes().items(), watch)
    watch.ends()
    kept = {labs.pod_cidr(0), labs.pod_cidr(1)}
    assert served.pod_routes().keys() == {*kept, labs.pod_cidr(3)}


def test_a_destroyed_stack_is_left_alone_until_somebody_updates_it(
    served: CliUser, watching: Callable[..., Watch]
) -> None:
    port = free_port()
    watch = watching(f"--listen 127.0.0.1:{port}")
    watch.logs("3 of 3 routes are in place.")

    served.does("pulumi destroy --yes --skip-preview")

    watch.logs("Stack dev was destroyed.")
    time.sleep(3)  # three polls
    assert served.pod_routes() == {}
    assert served.state() == []
    assert fetch(f"http://127.0.0.1:{port}/healthz")[0] == 200
    assert watch.count("pulumi up --stack dev") == 1

    served.does("pulumi up --yes --skip-preview")
    watch.logs("3 of 3 routes are in place.", times=2)
    watch.ends()


def test_an_update_for_a_stack_with_routes_is_refused_if_it_was_destroyed_meanwhile(
    watched: CliUser,
) -> None:
    """The destroy may end just before the watcher's update takes the lock."""
    extra = {"POD_ROUTES_EXPECT_ROUTES": "1"}

    text = watched.is_refused("pulumi up --yes --skip-preview", **extra)

    assert "Stack dev was destroyed before this update began" in text
    watched.does("pulumi up --yes --skip-preview")
    watched.does("pulumi up --yes --skip-preview", **extra)


SHORT_DEADLINES = """
from routes.watch import deadlines
deadlines.READING = 3
deadlines._AFTER_STOP = 1
deadlines._INTERRUPT_AGAIN = 3
"""


@pytest.mark.usefixtures("served")
def test_a_watcher_ends_at_once_even_if_ec2_hangs(
    local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    watch = watching()
    watch.logs("3 of 3 routes are in place.")
    delay(local_aws, "*", seconds=600)
    time.sleep(2)

    watch.process.send_signal(signal.SIGTERM)

    assert watch.process.wait(60) == 0  # a poll would be abandoned after 180
    assert watch.messages[-1] == "Stopped watching stack dev."


@pytest.mark.usefixtures("served")
def test_a_poll_that_hangs_fails(
    local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    port = free_port()
    watch = watching(f"--listen 127.0.0.1:{port}", SHORT_DEADLINES)
    watch.logs("3 of 3 routes are in place.")

    delay(local_aws, "*", seconds=600)

    watch.logs("EC2: it didn't answer within 3 s.")
    watch.logs("Trying again in")
    assert fetch(f"http://127.0.0.1:{port}/healthz")[0] == 503
    watch.process.send_signal(signal.SIGTERM)
    assert watch.process.wait(TIMEOUT) == 0


def test_an_update_that_hangs_after_a_signal_is_cancelled(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    delay(local_aws, "CreateRoute", seconds=600)
    watch = watching("", SHORT_DEADLINES, own=True)
    watch.logs("Updating")
    until_locked(watched)

    watch.process.send_signal(signal.SIGTERM)

    assert watch.process.wait(TIMEOUT) == 0
    assert watch.count("The update hangs") > 0
    assert watched.pod_routes() == {}


def test_a_fault_is_reported_once_when_it_appears_and_when_it_clears(
    served: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    served.configure(**WATCHED | {"workers": "worker-*,spare"})
    watch = watching()
    watch.logs("spare: expected a live instance")
    local_aws.clear_calls()
    until(lambda: local_aws.count()["DescribeInstances"] > 2, watch)

    spare = add(served, 3, name="spare")

    desired = served.desired() | {labs.pod_cidr(3): target(served, spare)}
    until(lambda: served.pod_routes() == desired, watch)
    watch.logs("No longer blocked: spare.")
    assert watch.count("spare: expected") == 1
    refusal = next(line for line in watch.lines if "spare: expected" in line["message"])
    assert refusal["level"] == "ERROR"


def test_each_outcome_of_a_single_run_has_its_exit_code(
    watched: CliUser, local_aws: Sandbox
) -> None:
    once = f"{WATCH} --once --log-format text"
    assert "3 to add" in watched.does(once).text
    assert watched.does(once).text.endswith(" 3 of 3 routes are in place.\n")

    watched.configure(**WATCHED | {"minWorkers": 4})
    assert watched.types(once).code == 1

    local_aws.control(Control(faults=(Fault(action="DescribeVpcs", code="Broken"),)))
    failed = watched.types(once)
    assert failed.code == 2
    assert "Broken" in failed.text


def test_a_route_handed_over_is_never_deleted(
    served: CliUser, watching: Callable[..., Watch]
) -> None:
    watch = watching()
    destination = labs.pod_cidr(2)
    gateway = served.routes()["0.0.0.0/0"]["GatewayId"]
    served.ec2.replace_route(
        RouteTableId=served.lab.table_id,
        DestinationCidrBlock=destination,
        GatewayId=gateway,
    )
    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-2"]])
    watch.logs(f"now leads to {gateway}")
    refusal = next(line for line in watch.messages if "an update would delete" in line)

    served.does(" ".join(shlex.split(refusal.splitlines()[-1])) + " --yes")
    fourth = add(served, 3)

    route = labs.pod_cidr(3), target(served, fourth)
    until(lambda: route in served.pod_routes().items(), watch)
    watch.ends()
    assert served.routes()[destination]["GatewayId"] == gateway


NO_SECOND_ATTEMPT = """
from routes.watch import backoff
backoff._FIRST = backoff._LONGEST = 10_000
"""


def test_a_route_that_cannot_be_created_blocks_no_other_change(
    served: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Deletions make room in a full table: "Add more routes than the maximum number".

    A change that becomes due before the next attempt isn't delayed either; it includes
    another attempt.
    """
    new = labs.pod_cidr(3)
    full = Fault(action="CreateRoute", match=new, code="RouteLimitExceeded")
    local_aws.control(Control(faults=(full,)))
    add(served, 3)
    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-2"]])
    port = free_port()

    watch = watching(f"--listen 127.0.0.1:{port}", NO_SECOND_ATTEMPT)

    until(lambda: labs.pod_cidr(2) not in served.pod_routes(), watch)
    watch.logs("RouteLimitExceeded")
    watch.logs("Trying again in")
    add(served, 4)
    until(lambda: labs.pod_cidr(4) in served.pod_routes(), watch)
    watch.logs("Trying again in", times=2)
    local_aws.clear_calls()
    until(lambda: local_aws.count()["DescribeInstances"] > 2, watch)
    assert not local_aws.count()["CreateRoute"]
    assert fetch(f"http://127.0.0.1:{port}/healthz")[0] == 200

    local_aws.control(Control())
    add(served, 5)
    until(lambda: {new, labs.pod_cidr(5)} <= served.pod_routes().keys(), watch)
    watch.ends()


def test_user_data_of_a_worker_that_ec2_does_not_know_yet_is_read_again(
    served: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Right after RunInstances "it may return an InvalidInstanceID.NotFound error".

    EC2 Developer Guide, "Eventual consistency in the Amazon EC2 API".
    """
    unknown = Fault(
        action="DescribeInstanceAttribute",
        code="InvalidInstanceID.NotFound",
        status=400,
        times=2,
    )
    local_aws.control(Control(faults=(unknown,)))
    watch = watching()

    fourth = add(served, 3)

    route = labs.pod_cidr(3), target(served, fourth)
    until(lambda: route in served.pod_routes().items(), watch)
    watch.ends()
    assert {line["level"] for line in watch.lines} == {"INFO", "WARNING"}
    assert watch.count("returned NotFound for its user data") == 1


def test_a_watcher_waits_for_an_unavailable_backend(
    served: CliUser, watching: Callable[..., Watch]
) -> None:
    watch = watching()
    watch.logs("3 of 3 routes are in place.")
    state = served.workspace.path / "state"
    moved = state.rename(state.with_name("moved"))
    added = add(served, 3)
    watch.logs("cannot be read")
    moved.rename(state)

    desired = served.desired() | {labs.pod_cidr(3): target(served, added)}
    until(lambda: served.pod_routes() == desired, watch)
    watch.ends()


@pytest.mark.parametrize("name", ["dev.json", "dev.json.attrs"])
def test_a_file_that_a_full_disk_left_empty_is_repaired(
    served: CliUser, name: str
) -> None:
    file = sidecar(served).with_name(name)
    if name == "dev.json":
        served.does("pulumi refresh --yes")  # so that the backup has the same content
    file.write_bytes(b"")
    assert "failed to load checkpoint" in served.is_refused("pulumi preview")

    text = served.does(f"{WATCH} --once").text

    assert text.count(f"{name} is empty") == 1
    served.does("pulumi preview --expect-no-changes")


def test_an_empty_state_without_a_backup_is_reported(watched: CliUser) -> None:
    state = sidecar(watched).with_name("dev.json")
    state.write_bytes(b"")
    state.with_name("dev.json.bak").unlink()

    once = watched.types(f"{WATCH} --once")

    assert once.code == 2
    assert "there is no complete dev.json.bak" in once.text
    assert not state.stat().st_size


def test_a_running_update_is_completed_before_the_watcher_stops(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    delay(local_aws, "CreateRoute")
    watch = watching(own=True)
    watch.logs("Updating")
    until_locked(watched)

    watch.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # it has received the signal
    local_aws.control(Control())

    assert watch.process.wait(TIMEOUT) == 0, watch.messages
    assert watched.pod_routes() == watched.desired()
    assert watched.does("pulumi preview").changes() == {"unchange": 5}


def test_a_second_signal_cancels_the_update(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    watched.grow(24)
    watched.configure(**WATCHED)
    delay(local_aws, "CreateRoute", seconds=2)
    local_aws.clear_calls()
    watch = watching(own=True)
    until(lambda: bool(local_aws.count()["CreateRoute"]), watch)
    watch.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    watch.process.send_signal(signal.SIGINT)

    assert watch.process.wait(TIMEOUT) == 0
    assert 0 < len(watched.pod_routes()) < 24

    local_aws.control(Control())
    watched.does(f"{WATCH} --once")
    assert len(watched.pod_routes()) == 24


def test_a_watcher_waits_for_another_update_and_reports_its_process(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    delay(local_aws, "CreateRoute")
    update = watched.begins("pulumi up --yes --skip-preview")
    until_locked(watched)
    watch = watching()

    watch.logs("holds the stack")
    local_aws.control(Control())
    assert update.wait(TIMEOUT) == 0
    until(lambda: watched.pod_routes() == watched.desired(), watch)
    watch.ends()
    assert watch.count("holds the stack") == 1


def until_locked(user: CliUser) -> list[Path]:
    """Wait for locks, and return their files."""
    state = user.workspace.path / "state"
    until(lambda: any(state.rglob("locks/**/*.json")))
    return [*state.rglob("locks/**/*.json")]


def free_port() -> int:
    """Return a port below those that systems assign, so that nobody takes it first."""
    while True:
        port = random.randint(10_000, 30_000)  # noqa: S311 - not secret
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


def fetch(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - our own
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_a_watcher_serves_its_health_and_metrics(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    port = free_port()
    watch = watching(f"--listen 127.0.0.1:{port}")
    base = f"http://127.0.0.1:{port}"
    until(lambda: watched.pod_routes() == watched.desired(), watch)
    watch.logs("Updated")

    def metrics() -> dict[str, float]:
        lines = fetch(f"{base}/metrics")[1].splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")
        }

    in_sync = 'pod_routes_reconcile_total{result="in_sync"}'
    until(lambda: metrics().get(in_sync, 0) > 0, watch)
    values = metrics()
    assert values['pod_routes_updates_total{result="succeeded"}'] == 1
    assert values["pod_routes_reconcile_duration_seconds_count"] > 0
    assert values["pod_routes_workers"] == 3
    assert values["pod_routes_workers_pending"] == 0
    assert values["pod_routes_routes_desired"] == 3
    assert values["pod_routes_routes_in_place"] == 3
    assert values["pod_routes_last_success_timestamp_seconds"] > time.time() - 60
    assert values["pod_routes_update_duration_seconds_count"] == 1
    assert fetch(f"{base}/healthz")[0] == 200
    assert fetch(f"{base}/else")[0] == 404
    second = watched.types(f"{WATCH} --listen 127.0.0.1:{port}")
    assert second.code == 2
    assert f"--listen 127.0.0.1:{port}: Address already in use" in second.text

    local_aws.control(
        Control(faults=(Fault(action="DescribeRouteTables", code="Broken"),))
    )
    until(lambda: fetch(f"{base}/healthz")[0] == 503, watch)
    watch.logs("Trying again in")


@pytest.mark.parametrize("is_terminated", [False, True])
def test_a_route_that_a_killed_update_created_is_imported(
    watched: CliUser,
    local_aws: Sandbox,
    watching: Callable[..., Watch],
    *,
    is_terminated: bool,
) -> None:
    """EC2's answer to the last CreateRoute is lost, so the state lacks the route.

    Its worker may be terminated before the next watcher starts.
    """
    delay(local_aws, "CreateRoute", "10.200.1.0")
    watch = watching(own=True)
    until(lambda: len(watched.pod_routes()) == 2, watch)
    time.sleep(1)  # the two are in the state
    kill(watch.process)
    local_aws.control(Control())
    assert len(watched.pod_routes()) == 3
    if is_terminated:
        worker = watched.lab.workers["worker-1"]
        watched.ec2.terminate_instances(InstanceIds=[worker])

    again = watching()

    again.logs("An update was interrupted, or is still running: creating")
    count = 2 if is_terminated else 3
    again.logs(f"{count} of {count} routes are in place.")
    again.ends()
    assert len(watched.pod_routes()) == count
    watched.does("pulumi preview --expect-no-changes --refresh")


def test_a_route_that_a_killed_update_retargeted_is_recorded(
    served: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    """A refresh updates the state, and leaves the outputs as they were."""
    old = served.lab.workers["worker-1"]
    new = labs.add_worker(
        served.ec2,
        served.lab,
        "worker-1",
        address="10.0.2.30",
        user_data=labs.user_data(1),
    )
    served.ec2.terminate_instances(InstanceIds=[old])
    retargeted = labs.pod_cidr(1), target(served, new)
    delay(local_aws, "ReplaceRoute")
    watch = watching(own=True)
    (state,) = (served.workspace.path / "state").rglob("stacks/**/dev.json")
    until(lambda: '"updating"' in state.read_text(), watch)
    time.sleep(2)  # EC2 has received the call, and hasn't answered
    kill(watch.process)
    local_aws.control(Control())
    assert retargeted in served.pod_routes().items()

    again = watching()

    again.logs("1 to record")
    again.logs("3 of 3 routes are in place.")
    again.ends()
    recorded = served.outputs()["routes"]
    assert retargeted in {
        (each["destinationCidr"], each["networkInterfaceId"]) for each in recorded
    }


def test_the_lock_of_a_killed_watcher_is_released_by_the_next(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    """No other lock is: that of an unknown process is reported with a command.

    A third one, which a full disk left empty, is removed as well.
    """
    delay(local_aws, "CreateRoute")
    watch = watching(own=True)
    (lock,) = until_locked(watched)
    kill(watch.process)
    local_aws.control(Control())
    unknown = lock.with_name("unknown.json")
    unknown.write_text(json.dumps(json.loads(lock.read_text()) | {"pid": 10**9}))
    lock.with_name("full.json.1.tmp").touch()

    again = watching()
    again.logs("(pid 1000000000) since")
    time.sleep(2)  # two polls
    assert [*lock.parent.glob("*.json*")] == [unknown]
    (message,) = (line for line in again.messages if "pid 1000000000" in line)
    watched.does(message.splitlines()[-1])

    until(lambda: watched.pod_routes() == watched.desired(), again)
    again.ends()
    assert again.count("Released the lock") == 1
    assert not [*(watched.workspace.path / "home/pod-routes/children").iterdir()]


def test_a_watcher_keeps_the_lock_of_a_running_update_that_it_cannot_see(
    watched: CliUser, local_aws: Sandbox
) -> None:
    """It runs in another PID namespace and project folder, with the same hostname."""
    delay(local_aws, "CreateRoute")
    update = watched.begins("pulumi up --yes --skip-preview")
    (lock,) = until_locked(watched)
    other = watched.workspace.path.with_name("other")
    without_state = shutil.ignore_patterns("state", "home")
    shutil.copytree(watched.workspace.path, other, symlinks=True, ignore=without_state)

    apart = "unshare --user --map-root-user --pid --fork --mount-proc"
    once = subprocess.run(
        f"{apart} {WATCH} --once".split(),
        cwd=other,
        env=watched.workspace.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert lock.exists(), once.stdout
    local_aws.control(Control())
    assert once.returncode == 2, once.stdout + once.stderr
    assert f"(pid {update.pid}) since" in once.stdout
    assert update.wait(TIMEOUT) == 0
    assert watched.pod_routes() == watched.desired()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_it_recovers_by_itself_from_a_kill(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch], seed: int
) -> None:
    """Watcher and engine are killed together, after a random number of calls."""
    watched.grow(12)
    watched.configure(**WATCHED)
    destinations = {labs.pod_cidr(index) for index in range(12)}
    local_aws.control(Control(latency=0.2))
    watch = watching(own=True)
    watch.logs("Updating")
    local_aws.clear_calls()
    last = random.Random(seed).randint(12, 40)  # noqa: S311 - repeatable
    until(lambda: len(local_aws.calls()) >= last, watch)
    kill(watch.process)
    local_aws.control(Control())

    again = watching()

    until(lambda: watched.pod_routes().keys() == destinations, again)
    until(lambda: has_settled(again), again)
    again.ends()
    watched.does("pulumi preview --expect-no-changes --refresh")


def has_settled(watch: Watch) -> bool:
    """Return whether its last message isn't the start of something."""
    return not watch.messages[-1].startswith(("Watching", "Updating", "An update was"))


POLLS = """
import gc
import psutil
from routes.watch import connection, watcher
from routes.watch.telemetry import Telemetry

connection._RECONNECT = 5
watched = watcher.Watcher("dev", 1, Telemetry(1))
watched.check()
for polls in (1_000, 10_000):
    for _ in range(polls):
        assert watched.run_once() is watcher.Outcome.IN_SYNC
    gc.collect()
    print(psutil.Process().memory_info().rss)
"""


@pytest.mark.soak
def test_ten_thousand_polls_need_no_more_memory(served: CliUser) -> None:
    """They run without a pause; the first ones fill caches.

    Credentials are resolved again about every hundred polls.
    """

    text = served.runs(sys.executable, "-c", POLLS).text

    before, after = map(int, text.split())
    assert after - before < 5 * 2**20
