"""The updates of one stack that nobody types, by Pulumi's Automation API."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pulumi.automation import (
    CommandResult,
    LocalWorkspace,
    PulumiCommand,
    Stack,
)
from pulumi.automation.errors import (
    CommandError,
    ConcurrentUpdateError,
    create_command_error,
)

from routes.errors import RoutesError

_HOLDER: Final = re.compile(r"created by (\S+@(\S+) \(pid (\d+)\)) at (\S+)")
"""Who holds a lock since when, in the words of the CLI about a backend of its own."""
_ATTEMPTS: Final = 3
"""One that meets a dead lock, one alone that does again, and one without it."""
_SETTLED: Final = 1.0
"""Seconds after which a file that is still empty is not just being written."""


class UpdateError(RoutesError):
    """An update failed; the message is all that the engine said."""


class LockedError(RoutesError):
    """Somebody else's update holds the stack."""


class _Cli(PulumiCommand):
    """The CLI in a session of its own: a Ctrl-C for the watcher is none for it."""

    process: subprocess.Popen[str] | None = None

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,  # noqa: ARG002 - the signature
        on_error: Callable[[str], Any] | None = None,  # noqa: ARG002 - is Pulumi's
    ) -> CommandResult:
        with subprocess.Popen(
            [self.command, "--non-interactive", *args],
            cwd=cwd,
            env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        ) as self.process:
            stdout, stderr = self.process.communicate()
        result = CommandResult(stdout, stderr, self.process.returncode)
        if result.code:
            raise create_command_error(result)
        return result


class _Workspace(LocalWorkspace):
    """The project here; which of its stacks is selected stays as people left it."""

    def select_stack(self, stack_name: str) -> None:
        """Select nothing: each command names its stack."""


class Updates:
    """What may be done to one stack of the project in the working directory."""

    def __init__(self, name: str) -> None:
        self.cli = _Cli()
        self._workspace = _Workspace(work_dir=".", pulumi_command=self.cli)
        self._stack = Stack.select(name, self._workspace)

    def up(
        self, refresh: Collection[str], environment: Mapping[str, str]
    ) -> Mapping[str, int]:
        """Run the stack's program, and return how many resources were changed how.

        One change that fails stops no other, least of all what makes room in a table.

        Args:
            refresh: URNs of the resources to read from AWS first. No other one is, for
                what EC2 answers of it may be older than its last change.
            environment: variables for the program, beside this process's own.

        Raises:
            LockedError: somebody else's update holds the stack; nothing was done.
            UpdateError: the program refused, or a change failed.
        """
        self._workspace.env_vars = environment
        if refresh:
            self._does(self._stack.refresh, target=[*refresh], color="never")
        result = self._does(
            self._stack.up,
            continue_on_error=True,
            color="never",
            suppress_outputs=True,
        )
        return dict(result.summary.resource_changes or {})

    def import_routes(self, document: Mapping[str, Any]) -> None:
        """Import what the import file lists; AWS is not changed.

        Raises:
            LockedError, UpdateError: as for `up`.
        """
        self._does(
            self._stack.import_resources,
            resources=document["resources"],
            name_table=document["nameTable"],
            protect=False,
            generate_code=False,
        )

    def recover(self) -> None:
        """Bring the state to what EC2 holds after an update that was interrupted.

        Raises:
            LockedError: that update still runs.
            UpdateError: as for `up`.
        """
        self._does(self._stack.refresh, clear_pending_creates=True, color="never")

    def interrupt(self) -> None:
        """Ask a running update to end after the change that it is at."""
        if self.cli.process and self.cli.process.poll() is None:
            self.cli.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End a command that only reads, with all that it started."""
        if self.cli.process and self.cli.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.cli.process.pid, signal.SIGKILL)

    def mend_checkpoint(self) -> bool:
        """Remove the empty file that a kill can leave beside the state in files.

        The state itself is written in one step and is whole.
        """
        with suppress(CommandError, OSError):
            url = self._workspace.who_am_i().url or ""
            if not url.startswith("file://"):
                return False
            project = self._workspace.project_settings().name
            root = Path(url.removeprefix("file://")).expanduser()
            beside = root / f".pulumi/stacks/{project}/{self._stack.name}.json.attrs"
            before = beside.stat()
            time.sleep(_SETTLED)
            after = beside.stat()
            if not after.st_size and after.st_mtime_ns == before.st_mtime_ns:
                beside.unlink()
                return True
        return False

    def _does(self, change: Callable[..., Any], **options: Any) -> Any:  # noqa: ANN401
        """Change the stack; drop a lock that a dead process of this machine left.

        `pulumi cancel` drops all locks. So that it meets nobody's who has just dropped
        the dead one too, only one process of this folder drops and changes at a time.
        """
        with Path("Pulumi.yaml").open("rb") as folder:
            is_alone = False
            for _ in range(_ATTEMPTS):
                try:
                    return change(**options)
                except ConcurrentUpdateError as error:
                    holders = [*_HOLDER.finditer(str(error))]
                except CommandError as error:
                    raise UpdateError(_said(error)) from None
                who = " and ".join(each[1] for each in holders) or "Another update"
                locked = LockedError(f"{who} holds the stack.")
                if not holders or any(_may_run(*each.groups()[1:]) for each in holders):
                    break
                if is_alone:
                    self._cancel(who)
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    break
                is_alone = True
            raise locked

    def _cancel(self, who: str) -> None:
        try:
            self._stack.cancel()
        except CommandError as error:
            raise UpdateError(
                f"{who} is gone, and its lock cannot be dropped.\n{_said(error)}"
            ) from None


def _said(error: CommandError) -> str:
    """Return what the CLI wrote, out of everything that the Automation API quotes."""
    _, _, said = str(error).partition("\n stdout: ")
    return said.replace("\n stderr: ", "\n").strip()


def _may_run(host: str, process: str, since: str) -> bool:
    """Return whether a process may still run: on another machine, nobody knows.

    One of before this machine's last start does not, whoever has its number now.
    """
    if host != socket.gethostname():
        return True
    if sys.platform == "linux":
        started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        if datetime.fromisoformat(since).timestamp() < started:
            return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
