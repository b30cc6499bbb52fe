"""The locks of a stack that a watcher's own dead children left.

The CLI names who holds a lock by host, process number and time. Nobody else can know
from that whether the process still runs: a container counts processes by itself, a
number is used again, and clocks step. So a watcher starts each CLI that takes a lock
through this file, which records it and locks that record in the kernel for as long as
this one process lives. Only a lock whose record is free is released.

"Record locks are not inherited by a child created via fork(2), but are preserved
across an execve(2)" (fcntl(2), "Advisory record locking"): what the CLI starts does not
prolong it, and no restart, process number or PID namespace matters.
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
"""A lock in the CLI's words (pulumi 3.250, pkg/backend/diy/lock.go, checkForLock)."""
_COUNT: Final = re.compile(r"currently locked by (\d+) lock\(s\)")
_WINDOW: Final = 60.0
"""Seconds from a child's start within which it takes its lock.

The CLI does so before it runs the program: in a second or two, or in a few times that
on a busy machine. A container uses its small process numbers again, so it is no longer.
"""
_ROUNDED: Final = 1.0
"""The CLI reports a lock's time in whole seconds, rounded down."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A lock as the CLI names it, and who holds it since when."""

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
    """A CLI that a watcher started.

    Attributes:
        record: the file that says so.
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


def named(said: str) -> tuple[Lock, ...]:
    """Return the locks that the CLI names, none if it names only some of them."""
    found = {
        each["url"]: Lock(
            url=each["url"],
            user=each["user"],
            host=each["host"],
            pid=int(each["pid"]),
            since=each["since"],
        )
        for each in _HELD.finditer(said)
    }
    count = _COUNT.search(said)
    return tuple(found.values()) if count and len(found) == int(count[1]) else ()


def records() -> Path:
    """Return the folder of the records, in one that the CLI itself writes to."""
    home = os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi"
    return Path(home, "pod-routes", "children")


def recorded(record: Path, stack: str, command: list[str]) -> list[str]:
    """Return the command that records itself, and becomes another one."""
    return [sys.executable, "-IS", __file__, str(record), stack, *command]


@contextmanager
def gone(folder: Path) -> Iterator[tuple[Child, ...]]:
    """Yield the recorded children that have ended; meanwhile nobody else gets them."""
    children = []
    with ExitStack() as stack:
        for record in sorted(folder.glob("*.json")):
            with suppress(OSError):  # it runs, or another watcher was faster
                file = stack.enter_context(record.open("r+"))
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not record.exists():
                    continue
                try:
                    children.append(Child(record=record, **json.load(file)))
                except (ValueError, TypeError):  # a power loss left it empty
                    record.unlink()
        yield tuple(children)


def _become(record: Path, stack: str, command: list[str]) -> NoReturn:
    """Record this process, and become the command.

    Without a record, as on a full disk, its lock is nobody's but a person's to release.
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
