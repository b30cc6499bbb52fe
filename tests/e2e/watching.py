"""Start, observe and kill watchers."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Self

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.e2e.cli_user import CliUser

WATCHED = {"workers": "worker-*", "unready": "skip", "maxRemovals": "50%"}
WATCH = "python -m routes watch --stack dev --interval 1"
TIMEOUT = 150.0
"""Seconds for something that takes ten on an idle machine."""


class Watch:
    """A running watcher, and its log.

    Its engine makes eight changes at a time, four for each processor that Go may use.
    The statements `before` run first, in its process. With its `own` provider, killing
    it kills that as well.
    """

    def __init__(
        self,
        user: CliUser,
        log: Path,
        options: str = "",
        before: str = "",
        *,
        own: bool = False,
    ) -> None:
        self.log = log
        command = f"{WATCH} {options}".split()
        if before:
            program = f"{before}\nfrom routes.cli import run\nrun()"
            command[1:3] = ["-c", program]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=user.workspace.path,
                env={
                    **user.workspace.environment,
                    **({} if own else user.attached),
                    "GOMAXPROCS": "2",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def lines(self) -> list[dict[str, str]]:
        """The complete lines of its log."""
        complete = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    @property
    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]

    def count(self, text: str) -> int:
        """Return how many messages contain this text."""
        return sum(text in message for message in self.messages)

    def logs(self, text: str, times: int = 1) -> None:
        """Wait until so many messages contain this text."""
        until(lambda: self.count(text) >= times, self)

    def ends(self) -> None:
        """Stop it as systemd does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(TIMEOUT) == 0, self.messages


def until(condition: Callable[[], bool], watch: Watch | None = None) -> None:
    """Wait until a condition is met; the watcher, if it is given, must keep running."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        log = watch.log.read_text() if watch else ""
        assert time.monotonic() < end, log
        assert not watch or watch.process.poll() is None, log
        time.sleep(0.2)


def delay(
    local_aws: Sandbox, action: str, match: str = "", seconds: float = 12
) -> None:
    """Delay calls until the controls are set again, or by so many seconds.

    The default is less than the 15 seconds after which a client calls again.
    """
    local_aws.control(
        Control(faults=(Fault(action=action, match=match, delay=seconds),))
    )


def add(user: CliUser, index: int, name: str = "", user_data: str = "") -> str:
    """Start a worker with this number, and return its instance id."""
    return labs.add_worker(
        user.ec2,
        user.lab,
        name or f"worker-{index}",
        address=f"10.0.2.{index + 10}",
        user_data=user_data or labs.user_data(index),
    )


def target(user: CliUser, instance_id: str) -> str:
    """Return an instance's network interface."""
    return labs.interface_of(user.ec2, instance_id)


class Poll(Thread):
    """Reads the table all the time: when it had each route, and when it lacked it."""

    def __init__(self, local_aws: Sandbox, table_id: str) -> None:
        super().__init__(daemon=True)
        self.first: dict[tuple[str, str], float] = {}
        """When each destination first had each target."""
        self.unlisted: dict[tuple[str, str], list[float]] = {}
        """When it no longer had that target."""
        self.reads = 0
        self._ec2 = local_aws.client("ec2")
        self._table_id = table_id
        self._done = Event()

    def run(self) -> None:
        while not self._done.is_set():
            now = time.time()
            routes = labs.routes(self._ec2, self._table_id)
            present = {
                (destination, str(route.get("NetworkInterfaceId")))
                for destination, route in routes.items()
            }
            for each in present - self.first.keys():
                self.first[each] = now
            for each in self.first.keys() - present:
                self.unlisted.setdefault(each, []).append(now)
            self.reads += 1
            time.sleep(0.03)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join(TIMEOUT)
