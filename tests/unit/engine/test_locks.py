"""Which lock is released: that of a recorded child that has ended, and no other."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from routes.engine import locks
from routes.engine.locks import Child, Lock

OUTPUT = """error: the stack is currently locked by {count} lock(s). Either wait ...
  file:///state/.pulumi/locks/organization/pod-routes/dev/{name}.json?no_tmp_dir=true:\
 created by root@{host} (pid {pid}) at {since}
"""
UUID = "0b7b0c5e-0000-4000-8000-000000000001"
SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]


def timestamp(seconds: float) -> str:
    """Format a time as the CLI does."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def lock(child: Child, after: float = 0) -> Lock:
    """Return a lock that a child took, some seconds after it started."""
    output = OUTPUT.format(
        count=1,
        name=UUID,
        host=child.host,
        pid=child.pid,
        since=timestamp(child.started + after),
    )
    (only,) = locks.parse_locks(output)
    return only


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a child that records itself."""
    command = locks.recording_command(tmp_path / "records/one.json", "dev", SLEEP)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        yield child
        child.kill()


def recorded(folder: Path, **fields: object) -> None:
    """Write a record that no process locks: its id may be another program's."""
    record: Mapping[str, object] = {
        "folder": "/project",
        "stack": "dev",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": time.time(),
    }
    (folder / "one.json").write_text(json.dumps({**record, **fields}))


def test_a_running_child_is_not_dead(
    tmp_path: Path, running: subprocess.Popen[bytes]
) -> None:
    assert running.poll() is None
    with locks.dead_children(tmp_path / "records") as children:
        assert children == ()


def test_a_killed_child_is_dead(
    tmp_path: Path, running: subprocess.Popen[bytes]
) -> None:
    running.kill()
    running.wait()

    with locks.dead_children(tmp_path / "records") as (child,):
        assert child.pid == running.pid
        assert (child.folder, child.stack) == (str(Path.cwd()), "dev")
        assert child.took(lock(child))


def test_a_child_is_dead_although_its_own_child_is_running(tmp_path: Path) -> None:
    """The engine's plugins outlive it for a while."""
    script = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    command = locks.recording_command(
        tmp_path / "one.json", "dev", [sys.executable, "-c", ""]
    )
    command[-1] = script.replace("])", "], stdout=-3, close_fds=False)")
    ended = subprocess.run(command, check=True, stdout=-1, text=True)

    with locks.dead_children(tmp_path) as children:
        assert len(children) == 1
    os.kill(int(ended.stdout), 9)


def test_a_child_is_dead_although_another_program_has_its_process_id(
    tmp_path: Path,
) -> None:
    recorded(tmp_path)

    with locks.dead_children(tmp_path) as (child,):
        assert child.pid == os.getpid()


def test_no_two_watchers_release_the_same_lock(tmp_path: Path) -> None:
    recorded(tmp_path)
    code = (
        "import pathlib, sys; from routes.engine import locks\n"
        "with locks.dead_children(pathlib.Path(sys.argv[1])) as children:\n"
        "    print(len(children))"
    )
    other = [sys.executable, "-c", code, str(tmp_path)]

    with locks.dead_children(tmp_path):
        assert subprocess.check_output(other) == b"0\n"
    assert subprocess.check_output(other) == b"1\n"


def test_a_record_that_a_power_loss_left_empty_is_removed(tmp_path: Path) -> None:
    (tmp_path / "one.json").touch()

    with locks.dead_children(tmp_path) as children:
        assert children == ()
    assert not [*tmp_path.iterdir()]


def test_a_command_runs_although_it_cannot_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = locks.recording_command(
        tmp_path / "file/one.json", "dev", ["echo", "it runs"]
    )

    assert subprocess.check_output(command) == b"it runs\n"


CHILD = Child(
    record=Path("one.json"),
    folder="/project",
    stack="dev",
    host="here",
    pid=7,
    started=1_800_000_000.9,
)


@pytest.mark.parametrize(
    ("lock", "took"),
    [
        pytest.param(lock(CHILD), True, id="at once"),
        pytest.param(lock(CHILD, after=55), True, id="on a busy machine"),
        pytest.param(lock(CHILD, after=65), False, id="too late"),
        pytest.param(lock(CHILD, after=-2), False, id="before it started"),
        pytest.param(lock(replace(CHILD, host="there")), False, id="another host's"),
        pytest.param(lock(replace(CHILD, pid=8)), False, id="another process's"),
        pytest.param(
            replace(lock(CHILD), url="file:///s/locks/a/b/prod/x.json"),
            False,
            id="another stack's",
        ),
    ],
)
def test_a_lock_is_a_childs_by_host_process_id_stack_and_time(
    lock: Lock, *, took: bool
) -> None:
    assert CHILD.took(lock) is took


def test_all_locks_that_the_cli_names_are_parsed() -> None:
    first = OUTPUT.format(count=2, name="a", host="h", pid=1, since=timestamp(1))
    second = OUTPUT.format(count=2, name="b", host="i", pid=2, since=timestamp(2))
    output = first + second.partition("\n")[2]

    assert [(each.file.name, str(each)) for each in locks.parse_locks(output)] == [
        ("a.json", "root@h (pid 1)"),
        ("b.json", "root@i (pid 2)"),
    ]


def test_if_not_all_locks_can_be_parsed_none_is_returned() -> None:
    output = OUTPUT.format(count=2, name="a", host="h", pid=1, since=timestamp(1))

    assert locks.parse_locks(output) == ()
    assert locks.parse_locks("[409] Conflict: Another update is in progress") == ()
