"""Report the progress of long commands. Standard library only: setup needs it."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 15


def say(part: str, text: str) -> None:
    """Print a line of one part of the setup; parts run at the same time."""
    print(f"{part}: {text}\n", end="", flush=True)  # noqa: T201 - in one write


@contextmanager
def alive(part: str, so_far: Callable[[], str]) -> Iterator[None]:
    """Report every 15 seconds that a step still runs, and its progress."""
    start = time.monotonic()
    done = threading.Event()

    def report() -> None:
        while not done.wait(_SECONDS):
            say(part, f"{so_far()}, {time.monotonic() - start:.0f} s ...")

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def run(
    part: str, command: list[str], so_far: str, step: str, folder: Path | None = None
) -> tuple[int, str]:
    """Run a command, and return its exit code and its output without steps.

    A line that matches `step` is one step; `so_far` reports their number, such as
    "{} of 20 packages".
    """
    done = 0
    rest = []
    with (
        alive(part, lambda: so_far.format(done)),
        subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running,
    ):
        for line in running.stdout or ():
            if re.match(step, line):
                done += 1
            else:
                rest.append(line)
    return running.returncode, "".join(rest)
