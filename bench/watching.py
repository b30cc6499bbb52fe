"""The watcher: the time to a new worker's route, and its cost when nothing changes."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench.measure import CommandFailedError
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control
from sandbox.pulumi.engine import Engine
from sandbox.workspace import Workspace

_INTERVAL: Final = 10
"""Seconds, the default of `watch`."""
_NEWCOMERS: Final = 5
_QUIET: Final = 60
"""Seconds for which calls are counted."""
_PATIENCE: Final = 120
_QUOTA: Final = 1100


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The results of one watcher.

    Attributes:
        first_poll: seconds from its start to its first call.
        delays: seconds from RunInstances to an active route, for each newcomer.
        calls: to EC2, in a minute without changes.
        resident: the watcher's own memory at the end, in bytes.
    """

    workers: int
    first_poll: float
    delays: Sequence[float]
    calls: int
    resident: int


def watch(size: int, engine: Engine) -> Watched:
    """Watch a stack with this many workers, and let some more join."""
    chance = random.Random(size)  # noqa: S311 - repeatable
    with Sandbox() as box, tempfile.TemporaryDirectory() as folder:
        box.control(Control(quota=_QUOTA))
        ec2 = box.client("ec2")
        lab = labs.create_lab(ec2, workers=size)
        workspace = _stack(Path(folder) / "project", engine, box)
        box.clear_calls()
        began = time.time()
        watcher = psutil.Popen(
            ["python", "-m", "routes", "watch", "--stack", "bench"],
            cwd=workspace.path,
            env=dict(workspace.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait(lambda: box.count()["DescribeInstances"] > 0)
            first_poll = min(call.seconds for call in box.calls()) - began
            delays = []
            for index in range(size, size + _NEWCOMERS):
                time.sleep(chance.uniform(0, _INTERVAL))
                began = time.monotonic()
                labs.add_worker(
                    ec2,
                    lab,
                    f"worker-{index}",
                    address=f"10.0.32.{index - size + 10}",
                    user_data=labs.user_data(index),
                )
                _wait(lambda: labs.pod_cidr(index) in labs.routes(ec2, lab.table_id))  # noqa: B023
                delays.append(time.monotonic() - began)
            time.sleep(2 * _INTERVAL)
            box.clear_calls()
            time.sleep(_QUIET)
            counted = box.count()
            return Watched(
                workers=size,
                first_poll=first_poll,
                delays=delays,
                calls=sum(counted.values()) - counted["GetCallerIdentity"],
                resident=watcher.memory_info().rss,
            )
        finally:
            watcher.terminate()
            watcher.wait()


def _stack(path: Path, engine: Engine, box: Sandbox) -> Workspace:
    workspace = Workspace.create(path, engine, box.environment)
    workspace.configure(
        "bench",
        {
            "aws:region": "us-east-1",
            "pod-routes:routeTables": "kubernetes",
            "pod-routes:workers": "worker-*",
            "pod-routes:clusterCidr": "10.200.0.0/14",
            "pod-routes:unready": "skip",
            "pod-routes:maxRemovals": "25%",
        },
    )
    workspace.run("pulumi", "stack", "init", "bench")
    up = workspace.run(*("pulumi", "up", "--yes", "--skip-preview", "--stack", "bench"))
    if up.returncode:
        raise CommandFailedError(up.stdout[-2000:])
    return workspace


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise CommandFailedError(f"the watcher took more than {_PATIENCE} s")
        time.sleep(0.05)
