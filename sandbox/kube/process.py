"""A child process that ends when its parent does, however that ends."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

_TIED: Final = """
exec 3<&0
"$@" 3<&- &
child=$!
exec 2> /dev/null
{ read -r _ <&3; kill -9 $child; } &
wait $child
kill $!
"""
"""A shell that kills its command at the end of its input, a pipe from the parent."""
_LINES: Final = 10
"""Lines of a log in an error."""
_SECONDS: Final = 60
"""Enough for any step, on a busy machine too."""
_POLL_SECONDS: Final = 0.05

_T = TypeVar("_T")


class ProcessError(Exception):
    """A process doesn't do its work; the message ends with its log's last lines."""


class Process:
    """A running program.

    Attributes:
        name: the program's file name.
        log: the file with its output.
    """

    def __init__(
        self,
        program: Path,
        options: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a program; its output is appended to a log."""
        self.name = program.name
        self.log = log
        with log.open("a") as output:
            self._shell = subprocess.Popen(
                ["sh", "-c", _TIED, "sh", program, *options],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Kill the program, if it is still running."""
        self._shell.communicate()

    def wait_for(self, result: Callable[[], _T], expected: str) -> _T:
        """Poll until there is a result of the program's work, and return it.

        Raises:
            ProcessError: the program ended, or there is none in time.
        """
        deadline = time.monotonic() + _SECONDS
        while not (found := result()):
            ended = self._shell.poll() is not None
            if ended or time.monotonic() > deadline:
                problem = "ended" if ended else f"not after {_SECONDS} s"
                lines = self.log.read_text().splitlines()[-_LINES:]
                log = "\n  ".join(lines)
                raise ProcessError(
                    f"{self.name} should {expected}: {problem}. {self.log.name}"
                    f" ends with:\n  {log}"
                )
            time.sleep(_POLL_SECONDS)
        return found
