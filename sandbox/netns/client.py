"""The client of the process with the namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

from sandbox import TOP
from sandbox.netns.account import Account
from sandbox.netns.layout import layout
from sandbox.netns.packets import Probe

_SBIN: Final = "/usr/sbin"
"""The folder of nft; a user's PATH may lack it."""
_UBUNTU: Final = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


class NoNamespacesError(Exception):
    """This machine allows no namespaces; the message says why, and what to do."""


class Network:
    """A process with its own namespaces, for as long as the `with` block runs.

    Attributes:
        has_filters: whether nft is installed, for checks, network ACLs and security
            groups.
    """

    def __enter__(self) -> Self:
        """Start the process.

        Raises:
            NoNamespacesError: this machine doesn't allow it.
        """
        command = ["unshare", "--user", "--net", "--map-root-user"]
        try:
            self._process = subprocess.Popen(
                [*command, sys.executable, "-m", "sandbox.netns"],
                cwd=TOP,
                env={**os.environ, "PATH": f"{os.environ['PATH']}:{_SBIN}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError:
            raise NoNamespacesError("network namespaces need Linux.") from None
        try:
            self.has_filters = bool(self._answer())
        except RuntimeError as error:
            raise NoNamespacesError(_advice(str(error))) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def create(self, account: Account) -> None:
        """Create the network of an account, in place of the last one."""
        self._request(asdict(layout(account)))

    def send(self, probes: Sequence[Probe], seconds: float) -> list[bool]:
        """Return which of the probes are answered within so many seconds."""
        answered: list[bool] = self._request({"probes": probes, "seconds": seconds})
        return answered

    def _request(self, request: object) -> Any:  # noqa: ANN401 - any JSON
        assert self._process.stdin  # noqa: S101
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401 - any JSON
        assert self._process.stdout  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            raise RuntimeError(errors.strip())
        return json.loads(line)


def _advice(errors: str) -> str:
    """Return the last error, and what to do about it."""
    reason = errors.splitlines()[-1] if errors else "no reason given"
    if _UBUNTU.exists() and _UBUNTU.read_text().strip() == "1":
        return f"{reason}. Allow namespaces: sudo sysctl -w kernel.{_UBUNTU.name}=0"
    return f"{reason}. In Docker, allow namespaces: --security-opt seccomp=unconfined"
