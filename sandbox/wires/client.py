"""The wires, seen from the process that has them laid and sends packets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sandbox import TOP
from sandbox.wires.account import Account
from sandbox.wires.layout import layout
from sandbox.wires.packets import Probe

_SBIN: Final = "/usr/sbin"
"""Where nft is; a user's PATH may lack it."""
_UBUNTU: Final = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


class NoWiresError(Exception):
    """Namespaces are not to be had here; the message says why, and what to do."""


class Wires:
    """A process in namespaces of its own, for as long as the `with` block runs.

    Attributes:
        filters: whether checks, network ACLs and security groups are laid.
    """

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            NoWiresError: this machine does not let it.
        """
        command = ["unshare", "--user", "--net", "--map-root-user"]
        try:
            self._process = subprocess.Popen(
                [*command, sys.executable, "-m", "sandbox.wires"],
                cwd=TOP,
                env={**os.environ, "PATH": f"{os.environ['PATH']}:{_SBIN}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError:
            raise NoWiresError(
                "network namespaces are Linux's. Try it on a Linux machine."
            ) from None
        try:
            self.filters = bool(self._answer())
        except RuntimeError as error:
            raise NoWiresError(_advice(str(error))) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def lay(self, account: Account) -> None:
        """Lay an account in place of what was laid before."""
        self._order(asdict(layout(account)))

    def send(self, probes: Sequence[Probe], seconds: float) -> list[bool]:
        """Return which of the probes were answered, within so many seconds."""
        found: list[bool] = self._order({"probes": probes, "seconds": seconds})
        return found

    def _order(self, order: object) -> Any:  # noqa: ANN401 - as JSON has it
        assert self._process.stdin  # noqa: S101
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401 - as JSON has it
        assert self._process.stdout  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            _, words = self._process.communicate()
            raise RuntimeError(words.strip())
        return json.loads(line)


def _advice(words: str) -> str:
    """Say what to do where namespaces are refused."""
    reason = words.splitlines()[-1] if words else "no reason given"
    if _UBUNTU.exists() and _UBUNTU.read_text().strip() == "1":
        return f"{reason}. Allow namespaces: sudo sysctl -w kernel.{_UBUNTU.name}=0"
    return f"{reason}. In Docker, allow namespaces: --security-opt seccomp=unconfined"
