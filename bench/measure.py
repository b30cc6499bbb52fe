"""Measure a command: wall time, calls to AWS, and memory with all its children."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from sandbox.ec2.client import Sandbox

_SAMPLE_SECONDS: Final = 0.2


class CommandFailedError(Exception):
    """A command failed; the message is the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The cost of one run of a command.

    Attributes:
        seconds: wall time.
        peak: bytes; the largest sum of resident memory over the command and all that it
            started, sampled five times a second. Shared pages count in each process.
        calls: how often each EC2 and STS action was called.
    """

    seconds: float
    peak: int
    calls: Mapping[str, int]


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], box: Sandbox
) -> Measurement:
    """Run a command that must succeed.

    Raises:
        CommandFailedError: it failed.
    """
    box.clear_calls()
    log = cwd / "output.txt"
    with log.open("w") as output:
        start = time.monotonic()
        process = psutil.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        peak = 0
        while True:
            try:
                code = process.wait(_SAMPLE_SECONDS)
                break
            except psutil.TimeoutExpired:
                peak = max(peak, _resident(process))
        seconds = time.monotonic() - start
    if code:
        raise CommandFailedError(f"{' '.join(command[:3])}: {log.read_text()[-2000:]}")
    return Measurement(
        seconds=seconds,
        peak=peak,
        calls=Counter(call.action for call in box.calls()),
    )


def _resident(process: psutil.Process) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += each.memory_info().rss
    return total
