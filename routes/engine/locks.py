"""The locks that dead child processes of a watcher left on a stack.

The CLI identifies the holder of a lock by host, process id and time, which doesn't show
whether the process is still running: containers count processes separately, process ids
are reused, and clocks step. So a watcher starts each CLI that takes a lock through this
file, which writes a record and locks that in the kernel as long as the process lives.
A lock is released only if its record is unlocked.

"Record locks are not inherited by a child created via fork(2), but are preserved
across an execve(2)" (fcntl(2), "Advisory record locking"): the CLI's children don't
extend it, and no restart, process id or PID namespace matters.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

_HELD: Final = re.compile(
    r"^ *(?P<url>\S.*): created by (?P<user>.+)@(?P<host>\S+)"
    r" \(pid (?P<pid>\d+)\) at (?P<since>\S+)$",
    re.MULTILINE,
)
"""A lock in the CLI's output (pulumi 3.250, pkg/backend/diy/lock.go, checkForLock)."""
_COUNT: Final = re.compile(r"currently locked by (\d+) lock\(s\)")
_WINDOW: Final = 60.0
"""Seconds from a child's start within which it takes its lock.

The CLI does so before it runs the program: in a second or two, or a few times that on a
busy machine. It isn't longer because a container reuses its small process ids.
"""
_ROUNDED: Final = 1.0
"""The CLI reports a lock's time in whole seconds, rounded down."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A lock as the CLI reports it: its holder and its time."""

    url: str
    user: str
    host: str
    pid: int
    since: str

    @property
    def file(self) -> PurePosixPath:
        """Its path; the folder is named after the stack, the file by a UUID."""
        return PurePosixPath(self.url.partition("?")[0])

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (pid {self.pid})"


@dataclass(frozen=True, kw_only=True)
class Child:
    """A CLI process that a watcher started.

    Attributes:
        record: its file.
        folder: of the project.
        stack: its name without organization and project.
        started: seconds since 1970.
    """

    record: Path
    folder: str
    stack: str
    host: str
    pid: int
    started: float

    def took(self, lock: Lock) -> bool:
        """Return whether a lock is this child's."""
        age = datetime.fromisoformat(lock.since).timestamp() - self.started
        return (
            (lock.file.parent.name, lock.host, lock.pid)
            == (self.stack, self.host, self.pid)
            and -_ROUNDED <= age <= _WINDOW
        )  # fmt: skip


def parse_locks(output: str) -> tuple[Lock, ...]:
    """Return the locks in the CLI's output, none if it lists only some of them."""
    by_url = {
        each["url"]: Lock(
            url=each["url"],
            user=each["user"],
            host=each["host"],
            pid=int(each["pid"]),
            since=each["since"],
        )
        for each in _HELD.finditer(output)
    }
    count = _COUNT.search(output)
    return tuple(by_url.values()) if count and len(by_url) == int(count[1]) else ()


def record_folder() -> Path:
    """Return the folder of the records, inside a folder that the CLI writes to."""
    home = os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi"
    return Path(home, "pod-routes", "children")


def recording_command(record: Path, stack: str, command: list[str]) -> list[str]:
    """Return the command that writes a record, and becomes another command."""
    return [sys.executable, "-IS", __file__, str(record), stack, *command]


@contextmanager
def dead_children(folder: Path) -> Iterator[tuple[Child, ...]]:
    """Yield the recorded children that have ended; their records stay locked."""
    children = []
    with ExitStack() as stack:
        for record in sorted(folder.glob("*.json")):
            with suppress(OSError):  # it is running, or another watcher has it
                file = stack.enter_context(record.open("r+"))
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not record.exists():
                    continue
                try:
                    children.append(Child(record=record, **json.load(file)))
                except (ValueError, TypeError):  # empty after a power loss
                    record.unlink()
        yield tuple(children)


def _become(record: Path, stack: str, command: list[str]) -> NoReturn:
    """Write a record of this process, and become the command.

    Without a record, as on a full disk, only a person can release its lock.
    """
    with suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        draft = record.with_suffix(".draft")
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child = {
            "folder": str(Path.cwd()),
            "stack": stack,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": time.time(),
        }
        os.write(file, json.dumps(child).encode())
        os.set_inheritable(file, True)  # noqa: FBT003 - as it is defined
        draft.rename(record)
    os.execvp(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    _become(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
