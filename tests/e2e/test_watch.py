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
from tests.e2e.person import Person, kill
from tests.e2e.test_faults import sidecar
from tests.e2e.watching import (
    PATIENCE,
    WATCH,
    WATCHED,
    Watch,
    add,
    hold,
    target,
    until,
)


def test_a_stack_that_is_not_set_up_to_be_watched_is_refused(person: Person) -> None:
    person.configure(workers="worker-*", protect=True)

    text = person.types(f"{WATCH} --once")

    assert text.code == 2
    commands = [line.strip() for line in text.text.splitlines() if "--stack" in line]
    assert len(commands) == 3
    for command in commands:
        person.does(command)
    person.does(f"{WATCH} --once")
    assert person.pod_routes() == person.wanted()


def test_a_quiet_look_costs_four_calls_and_runs_no_update(
    watched: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Of the program: its three lookups, and GetCallerIdentity, which is not EC2's."""
    add(watched, 3, user_data="no pod CIDR")
    watched.types(f"{WATCH} --once")
    history = len(json.loads(watched.does("pulumi stack history --json").text))
    box.clear_calls()
    watch = watching()
    until(lambda: box.count()["DescribeInstances"] > 1, watch)
    box.clear_calls()
    until(lambda: box.count()["DescribeInstances"] > 4, watch)
    watch.ends()

    counted = box.count()
    looks = counted.pop("GetCallerIdentity")
    assert counted == dict.fromkeys(
        ("DescribeRouteTables", "DescribeVpcs", "DescribeInstances"), looks
    )
    after = json.loads(watched.does("pulumi stack history --json").text)
    assert len(after) == history
    assert sum("worker-3" in line for line in watch.said) == 1


def retarget(person: Person, index: int, worker: str) -> str:
    """Point a route at another worker by hand, and return its interface."""
    interface = person.interface(worker)
    person.ec2.replace_route(
        RouteTableId=person.lab.table_id,
        DestinationCidrBlock=labs.pod_cidr(index),
        NetworkInterfaceId=interface,
    )
    return interface


def test_a_route_that_somebody_keeps_changing_waits_and_nothing_else_does(
    served: Person, watching: Callable[..., Watch]
) -> None:
    watch = watching()
    watch.says("3 of 3 routes are in place.")
    other = retarget(served, 1, "worker-2")
    route = f"{served.lab.table_id} {labs.pod_cidr(1)} (to {other})"
    watch.says(f"Updating: 1 drifted: {route}.")
    watch.says("3 of 3 routes are in place.", times=2)

    retarget(served, 1, "worker-2")

    watch.says(f"Somebody keeps changing {route}: repaired 1 time(s)")
    served.ec2.delete_route(
        RouteTableId=served.lab.table_id, DestinationCidrBlock=labs.pod_cidr(0)
    )
    watch.says(f"{labs.pod_cidr(0)} (deleted)")
    until(lambda: labs.pod_cidr(0) in served.pod_routes(), watch)
    fourth = add(served, 3)
    watch.says("1 to add")
    watch.says("1 create")
    wanted = served.wanted() | {labs.pod_cidr(3): target(served, fourth)}
    until(lambda: served.pod_routes() == wanted, watch)
    watch.ends()
    assert sum("keeps changing" in line for line in watch.said) == 1


def test_a_list_that_shrinks_slowly_is_limited_for_an_hour(
    served: Person, watching: Callable[..., Watch]
) -> None:
    """Half of three routes is one; half of the two that are left would be another.

    A worker that joins then does not wait.
    """
    watch = watching()
    watch.says("3 of 3 routes are in place.")
    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-2"]])
    watch.says("2 of 2 routes are in place.")

    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-1"]])

    watch.says("pod-routes:maxRemovals: this update would delete 1 of the 2 routes")
    watch.says("50% of the 3 routes an hour: 1")
    third = add(served, 3)
    route = labs.pod_cidr(3), target(served, third)
    until(lambda: route in served.pod_routes().items(), watch)
    watch.ends()
    kept = {labs.pod_cidr(0), labs.pod_cidr(1)}
    assert served.pod_routes().keys() == {*kept, labs.pod_cidr(3)}


def test_a_stack_that_is_destroyed_stays_so_until_somebody_updates_it(
    served: Person, watching: Callable[..., Watch]
) -> None:
    port = free_port()
    watch = watching(f"--listen 127.0.0.1:{port}")
    watch.says("3 of 3 routes are in place.")

    served.does("pulumi destroy --yes --skip-preview")

    watch.says("Stack dev was destroyed.")
    time.sleep(3)  # three polls
    assert served.pod_routes() == {}
    assert served.state() == []
    assert fetch(f"http://127.0.0.1:{port}/healthz")[0] == 200
    assert sum("pulumi up --stack dev" in line for line in watch.said) == 1

    served.does("pulumi up --yes --skip-preview")
    watch.says("3 of 3 routes are in place.", times=2)
    watch.ends()


def test_an_update_that_was_begun_for_a_stack_with_routes_creates_none_without(
    watched: Person,
) -> None:
    """The destroy may end just before the watcher's update takes the lock."""
    extra = {"POD_ROUTES_EXPECT_ROUTES": "1"}

    said = watched.is_refused("pulumi up --yes --skip-preview", **extra)

    assert "Stack dev was destroyed before this update began" in said
    watched.does("pulumi up --yes --skip-preview")
    watched.does("pulumi up --yes --skip-preview", **extra)


HASTE = """
from routes.watch import deadlines
deadlines.READING = 3
deadlines._AFTER_STOP = 1
deadlines._INSISTING = 3
"""


@pytest.mark.usefixtures("served")
def test_a_watcher_ends_at_once_although_ec2_hangs(
    box: Sandbox, watching: Callable[..., Watch]
) -> None:
    watch = watching()
    watch.says("3 of 3 routes are in place.")
    hold(box, "*", seconds=600)
    time.sleep(2)

    watch.process.send_signal(signal.SIGTERM)

    assert watch.process.wait(60) == 0  # a look would be given up after 180
    assert watch.said[-1] == "Stopped watching stack dev."


@pytest.mark.usefixtures("served")
def test_a_look_that_hangs_has_failed(
    box: Sandbox, watching: Callable[..., Watch]
) -> None:
    port = free_port()
    watch = watching(f"--listen 127.0.0.1:{port}", HASTE)
    watch.says("3 of 3 routes are in place.")

    hold(box, "*", seconds=600)

    watch.says("EC2: expected an answer within 3 s, found none.")
    watch.says("Trying again in")
    assert fetch(f"http://127.0.0.1:{port}/healthz")[0] == 503
    watch.process.send_signal(signal.SIGTERM)
    assert watch.process.wait(PATIENCE) == 0


def test_an_update_that_hangs_after_a_signal_is_cancelled(
    watched: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    hold(box, "CreateRoute", seconds=600)
    watch = watching("", HASTE, own=True)
    watch.says("Updating")
    until_locked(watched)

    watch.process.send_signal(signal.SIGTERM)

    assert watch.process.wait(PATIENCE) == 0
    assert sum("The update hangs" in line for line in watch.said) > 0
    assert watched.pod_routes() == {}


def test_a_fault_is_reported_once_when_it_appears_and_when_it_clears(
    served: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    served.configure(**WATCHED | {"workers": "worker-*,spare"})
    watch = watching()
    watch.says("spare: expected a live instance")
    box.clear_calls()
    until(lambda: box.count()["DescribeInstances"] > 2, watch)

    spare = add(served, 3, name="spare")

    wanted = served.wanted() | {labs.pod_cidr(3): target(served, spare)}
    until(lambda: served.pod_routes() == wanted, watch)
    watch.says("No longer held back: spare.")
    assert sum("spare: expected" in line for line in watch.said) == 1
    refusal = next(line for line in watch.lines if "spare: expected" in line["message"])
    assert refusal["level"] == "ERROR"


def test_a_single_run_says_by_its_exit_code_how_it_ended(
    watched: Person, box: Sandbox
) -> None:
    once = f"{WATCH} --once --log-format text"
    assert "3 to add" in watched.does(once).text
    assert watched.does(once).text.endswith(" 3 of 3 routes are in place.\n")

    watched.configure(**WATCHED | {"minWorkers": 4})
    assert watched.types(once).code == 1

    box.control(Control(faults=(Fault(action="DescribeVpcs", code="Broken"),)))
    failed = watched.types(once)
    assert failed.code == 2
    assert "Broken" in failed.text


def test_a_route_that_was_handed_over_is_never_deleted(
    served: Person, watching: Callable[..., Watch]
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
    watch.says(f"leads to {gateway} now")
    refusal = next(line for line in watch.said if "an update would delete" in line)

    served.does(" ".join(shlex.split(refusal.splitlines()[-1])) + " --yes")
    fourth = add(served, 3)

    route = labs.pod_cidr(3), target(served, fourth)
    until(lambda: route in served.pod_routes().items(), watch)
    watch.ends()
    assert served.routes()[destination]["GatewayId"] == gateway


NO_SECOND_ATTEMPT = """
from routes.watch import watcher
watcher._FIRST_WAIT = watcher._LONGEST_WAIT = 10_000
"""


def test_a_route_that_cannot_be_made_holds_up_no_other_change(
    served: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    """So a full table gets room again: "Add more routes than the maximum number".

    Nor does it hold up one that comes up while it waits for its next attempt, which
    it then is part of.
    """
    joins = labs.pod_cidr(3)
    full = Fault(action="CreateRoute", match=joins, code="RouteLimitExceeded")
    box.control(Control(faults=(full,)))
    add(served, 3)
    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-2"]])
    port = free_port()

    watch = watching(f"--listen 127.0.0.1:{port}", NO_SECOND_ATTEMPT)

    until(lambda: labs.pod_cidr(2) not in served.pod_routes(), watch)
    watch.says("RouteLimitExceeded")
    watch.says("Trying again in")
    add(served, 4)
    until(lambda: labs.pod_cidr(4) in served.pod_routes(), watch)
    watch.says("Trying again in", times=2)
    box.clear_calls()
    until(lambda: box.count()["DescribeVpcs"] > 2, watch)
    assert not box.count()["CreateRoute"]
    assert fetch(f"http://127.0.0.1:{port}/healthz")[0] == 200

    box.control(Control())
    add(served, 5)
    until(lambda: {joins, labs.pod_cidr(5)} <= served.pod_routes().keys(), watch)
    watch.ends()


def test_a_worker_that_is_not_known_everywhere_yet_is_asked_for_again(
    served: Person, box: Sandbox, watching: Callable[..., Watch]
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
    box.control(Control(faults=(unknown,)))
    watch = watching()

    fourth = add(served, 3)

    route = labs.pod_cidr(3), target(served, fourth)
    until(lambda: route in served.pod_routes().items(), watch)
    watch.ends()
    assert {line["level"] for line in watch.lines} == {"INFO", "WARNING"}
    assert sum("did not know it" in said for said in watch.said) == 1


def test_a_backend_that_is_away_is_waited_for(
    served: Person, watching: Callable[..., Watch]
) -> None:
    watch = watching()
    watch.says("3 of 3 routes are in place.")
    state = served.workspace.path / "state"
    away = state.rename(state.with_name("away"))
    added = add(served, 3)
    watch.says("cannot be read")
    away.rename(state)

    wanted = served.wanted() | {labs.pod_cidr(3): target(served, added)}
    until(lambda: served.pod_routes() == wanted, watch)
    watch.ends()


@pytest.mark.parametrize("name", ["dev.json", "dev.json.attrs"])
def test_what_a_full_disk_left_empty_is_repaired(served: Person, name: str) -> None:
    file = sidecar(served).with_name(name)
    if name == "dev.json":
        served.does("pulumi refresh --yes")  # so that the copy is as good
    file.write_bytes(b"")
    assert "failed to load checkpoint" in served.is_refused("pulumi preview")

    said = served.does(f"{WATCH} --once").text

    assert said.count(f"{name} is empty") == 1
    served.does("pulumi preview --expect-no-changes")


def test_an_empty_state_without_a_copy_is_reported(watched: Person) -> None:
    state = sidecar(watched).with_name("dev.json")
    state.write_bytes(b"")
    state.with_name("dev.json.bak").unlink()

    said = watched.types(f"{WATCH} --once")

    assert said.code == 2
    assert "no whole dev.json.bak is beside it" in said.text
    assert not state.stat().st_size


def test_a_running_update_is_finished_before_the_end(
    watched: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    hold(box, "CreateRoute")
    watch = watching(own=True)
    watch.says("Updating")
    until_locked(watched)

    watch.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # it has heard it
    box.control(Control())

    assert watch.process.wait(PATIENCE) == 0, watch.said

    assert watched.pod_routes() == watched.wanted()
    assert watched.does("pulumi preview").changes() == {"unchange": 5}


def test_a_second_signal_cancels_the_update(
    watched: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    watched.grow(24)
    watched.configure(**WATCHED)
    hold(box, "CreateRoute", seconds=2)
    box.clear_calls()
    watch = watching(own=True)
    until(lambda: bool(box.count()["CreateRoute"]), watch)
    watch.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    watch.process.send_signal(signal.SIGINT)

    assert watch.process.wait(PATIENCE) == 0
    assert 0 < len(watched.pod_routes()) < 24

    box.control(Control())
    watched.does(f"{WATCH} --once")
    assert len(watched.pod_routes()) == 24


def test_a_watcher_that_meets_an_update_waits_and_says_for_whom(
    watched: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    hold(box, "CreateRoute")
    update = watched.begins("pulumi up --yes --skip-preview")
    until_locked(watched)
    watch = watching()

    watch.says("holds the stack")
    box.control(Control())
    assert update.wait(PATIENCE) == 0
    until(lambda: watched.pod_routes() == watched.wanted(), watch)
    watch.ends()
    assert sum("holds the stack" in line for line in watch.said) == 1


def until_locked(person: Person) -> list[Path]:
    """Wait for locks, and return their files."""
    end = time.monotonic() + PATIENCE
    while not (locks := [*(person.workspace.path / "state").rglob("locks/**/*.json")]):
        assert time.monotonic() < end
        time.sleep(0.05)
    return locks


def free_port() -> int:
    """Return one below those that systems give out, so that nobody takes it first."""
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


def test_it_can_be_probed_and_measured(
    watched: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    port = free_port()
    watch = watching(f"--listen 127.0.0.1:{port}")
    base = f"http://127.0.0.1:{port}"
    until(lambda: watched.pod_routes() == watched.wanted(), watch)
    watch.says("Updated")

    def metrics() -> dict[str, float]:
        lines = fetch(f"{base}/metrics")[1].splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")
        }

    until(lambda: metrics().get('pod_routes_looks_total{result="quiet"}', 0) > 0, watch)
    seen = metrics()
    assert seen['pod_routes_updates_total{result="succeeded"}'] == 1
    assert seen["pod_routes_workers"] == 3
    assert seen["pod_routes_wanted"] == seen["pod_routes_in_place"] == 3
    assert seen["pod_routes_last_success_timestamp_seconds"] > time.time() - 60
    assert seen["pod_routes_update_duration_seconds_count"] == 1
    assert fetch(f"{base}/healthz")[0] == 200
    assert fetch(f"{base}/else")[0] == 404
    second = watched.types(f"{WATCH} --listen 127.0.0.1:{port}")
    assert second.code == 2
    assert f"--listen 127.0.0.1:{port}: Address already in use" in second.text

    box.control(Control(faults=(Fault(action="DescribeVpcs", code="Broken"),)))
    until(lambda: fetch(f"{base}/healthz")[0] == 503, watch)
    watch.says("Trying again in")


@pytest.mark.parametrize("is_gone", [False, True])
def test_what_a_killed_update_made_is_taken_over(
    watched: Person, box: Sandbox, watching: Callable[..., Watch], *, is_gone: bool
) -> None:
    """EC2 answers the last CreateRoute to nobody, so that the state lacks the route.

    Its worker may be gone by the time that somebody looks again.
    """
    hold(box, "CreateRoute", "10.200.1.0")
    watch = watching(own=True)
    until(lambda: len(watched.pod_routes()) == 2, watch)
    time.sleep(1)  # the two are in the state
    kill(watch.process)
    box.control(Control())
    assert len(watched.pod_routes()) == 3
    if is_gone:
        worker = watched.lab.workers["worker-1"]
        watched.ec2.terminate_instances(InstanceIds=[worker])

    again = watching()

    again.says("An update was interrupted, or still runs: creating")
    left = 2 if is_gone else 3
    again.says(f"{left} of {left} routes are in place.")
    again.ends()
    assert len(watched.pod_routes()) == left
    watched.does("pulumi preview --expect-no-changes --refresh")


def test_what_a_killed_update_turned_is_recorded(
    served: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    """A refresh brings the state up to date, and leaves the outputs as they were."""
    old = served.lab.workers["worker-1"]
    new = labs.add_worker(
        served.ec2,
        served.lab,
        "worker-1",
        address="10.0.2.30",
        user_data=labs.user_data(1),
    )
    served.ec2.terminate_instances(InstanceIds=[old])
    turned = labs.pod_cidr(1), target(served, new)
    hold(box, "ReplaceRoute")
    watch = watching(own=True)
    (state,) = (served.workspace.path / "state").rglob("stacks/**/dev.json")
    until(lambda: '"updating"' in state.read_text(), watch)
    time.sleep(2)  # EC2 has been asked, and is not done
    kill(watch.process)
    box.control(Control())
    assert turned in served.pod_routes().items()

    again = watching()

    again.says("1 to record")
    again.says("3 of 3 routes are in place.")
    again.ends()
    recorded = served.outputs()["routes"]
    assert turned in {
        (each["destinationCidr"], each["networkInterfaceId"]) for each in recorded
    }


def test_the_lock_of_a_killed_watcher_is_released_by_the_next(
    watched: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Its own, and no other: one whose process nobody knows is named, with a command.

    A third, that a full disk left empty, is removed as well.
    """
    hold(box, "CreateRoute")
    watch = watching(own=True)
    (lock,) = until_locked(watched)
    kill(watch.process)
    box.control(Control())
    unknown = lock.with_name("unknown.json")
    unknown.write_text(json.dumps(json.loads(lock.read_text()) | {"pid": 10**9}))
    lock.with_name("full.json.1.tmp").touch()

    again = watching()
    again.says("(pid 1000000000) since")
    time.sleep(2)  # two polls
    assert [*lock.parent.glob("*.json*")] == [unknown]
    (told,) = (line for line in again.said if "pid 1000000000" in line)
    watched.does(told.splitlines()[-1])

    until(lambda: watched.pod_routes() == watched.wanted(), again)
    again.ends()
    assert sum("Released the lock" in line for line in again.said) == 1
    assert not [*(watched.workspace.path / "home/pod-routes/children").iterdir()]


def test_the_lock_of_an_update_that_runs_is_kept_by_a_watcher_that_cannot_see_it(
    watched: Person, box: Sandbox
) -> None:
    """From another PID namespace and project folder, with the host's name."""
    hold(box, "CreateRoute")
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
    box.control(Control())
    assert once.returncode == 2, once.stdout + once.stderr
    assert f"(pid {update.pid}) since" in once.stdout
    assert update.wait(PATIENCE) == 0
    assert watched.pod_routes() == watched.wanted()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_it_recovers_by_itself_from_a_kill(
    watched: Person, box: Sandbox, watching: Callable[..., Watch], seed: int
) -> None:
    """Watcher and engine die together, after as many calls as the seed draws."""
    watched.grow(12)
    watched.configure(**WATCHED)
    destinations = {labs.pod_cidr(index) for index in range(12)}
    box.control(Control(latency=0.2))
    watch = watching(own=True)
    watch.says("Updating")
    box.clear_calls()
    last = random.Random(seed).randint(12, 40)  # noqa: S311 - repeatable
    until(lambda: len(box.calls()) >= last, watch)
    kill(watch.process)
    box.control(Control())

    again = watching()

    until(lambda: watched.pod_routes().keys() == destinations, again)
    until(lambda: is_settled(again), again)
    again.ends()
    watched.does("pulumi preview --expect-no-changes --refresh")


def is_settled(watch: Watch) -> bool:
    """Return whether the last thing it logged was no beginning of anything."""
    return not watch.said[-1].startswith(("Watching", "Updating", "An update was"))


LOOKS = """
import gc
import psutil
from routes.watch import watcher
from routes.watch.operation import Gauges

watcher._RECONNECT = 5
watched = watcher.Watcher("dev", 1, Gauges(1))
watched.check()
for looks in (1_000, 10_000):
    for _ in range(looks):
        assert watched.run_once() is watcher.Outcome.QUIET
    gc.collect()
    print(psutil.Process().memory_info().rss)
"""


@pytest.mark.soak
def test_ten_thousand_looks_need_no_more_memory(served: Person) -> None:
    """Without waiting in between; the first looks fill caches.

    Credentials are asked for anew every hundred looks or so.
    """

    said = served.runs(sys.executable, "-c", LOOKS).text

    before, after = map(int, said.split())
    assert after - before < 5 * 2**20
