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
from tests.e2e.person import Person

WATCHED = {"workers": "worker-*", "unready": "skip", "maxRemovals": "50%"}
WATCH = "python -m routes watch --stack dev --interval 1"
PATIENCE = 150.0
"""Seconds for what takes ten on an idle machine."""


class Watch:
    """A watcher that runs, and what it has logged.

    Its engine makes eight changes at a time, four for each processor that Go may use.
    Statements that are given run before it, in its process. With its `own` provider,
    killing it kills that as well.
    """

    def __init__(
        self,
        person: Person,
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
                cwd=person.workspace.path,
                env={
                    **person.workspace.environment,
                    **({} if own else person.attached),
                    "GOMAXPROCS": "2",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def lines(self) -> list[dict[str, str]]:
        """What it logged, whole lines alone."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def said(self) -> list[str]:
        return [line["message"] for line in self.lines]

    def says(self, words: str, times: int = 1) -> None:
        """Wait until it has logged these words so often."""
        until(lambda: sum(words in line for line in self.said) >= times, self)

    def ends(self) -> None:
        """Stop it as systemd does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.said


def until(is_so: Callable[[], bool], watch: Watch | None = None) -> None:
    """Wait, while the watcher runs if it is given."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        log = watch.log.read_text() if watch else ""
        assert time.monotonic() < end, log
        assert not watch or watch.process.poll() is None, log
        time.sleep(0.2)


def hold(box: Sandbox, action: str, match: str = "", seconds: float = 12) -> None:
    """Hold calls back until the controls are set again, at most so long.

    By default that is less than the 15 seconds after which a client asks again.
    """
    box.control(Control(faults=(Fault(action=action, match=match, delay=seconds),)))


def add(person: Person, index: int, name: str = "", user_data: str = "") -> str:
    """Start a worker of this number, and return its instance id."""
    return labs.add_worker(
        person.ec2,
        person.lab,
        name or f"worker-{index}",
        address=f"10.0.2.{index + 10}",
        user_data=user_data or labs.user_data(index),
    )


def target(person: Person, instance_id: str) -> str:
    return labs.interface_of(person.ec2, instance_id)


class Poll(Thread):
    """Reads the table all the time: when each target was seen, and missed."""

    def __init__(self, box: Sandbox, table_id: str) -> None:
        super().__init__(daemon=True)
        self.first: dict[tuple[str, str], float] = {}
        """Destination and target to when they were first seen."""
        self.missed: dict[tuple[str, str], list[float]] = {}
        """And to when they were not, afterwards."""
        self.reads = 0
        self._ec2 = box.client("ec2")
        self._table_id = table_id
        self._done = Event()

    def run(self) -> None:
        while not self._done.is_set():
            now = time.time()
            routes = labs.routes(self._ec2, self._table_id)
            seen = {
                (destination, str(route.get("NetworkInterfaceId")))
                for destination, route in routes.items()
            }
            for each in seen - self.first.keys():
                self.first[each] = now
            for each in self.first.keys() - seen:
                self.missed.setdefault(each, []).append(now)
            self.reads += 1
            time.sleep(0.03)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join(PATIENCE)
