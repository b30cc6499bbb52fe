"""Run a stack's updates with Pulumi's Automation API."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pulumi.automation import (
    CommandResult,
    LocalWorkspace,
    OutputMap,
    PulumiCommand,
    Stack,
)
from pulumi.automation.errors import (
    CommandError,
    ConcurrentUpdateError,
    create_command_error,
)

from routes import commands
from routes.engine import files, locks
from routes.engine.locks import Lock
from routes.errors import LookupFailedError, RoutesError

_LOG: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 3
"""The first two may find a dead lock or an empty file."""
_LOCKING: Final = {"up", "import", "refresh"}
"""The commands that lock a stack."""
_ENDED: Final = {*range(128)} - {2}
"""Exit codes of a CLI that released its lock: no signal, and no panic (2)."""


class UpdateError(RoutesError):
    """An update failed; the message is the engine's output."""


class LockedError(RoutesError):
    """Somebody else's update holds the stack's lock."""


class _Cli(PulumiCommand):
    """The CLI in its own session, so that a Ctrl-C doesn't reach it."""

    process: subprocess.Popen[str] | None = None

    def __init__(self, stack: str) -> None:
        super().__init__()
        self.stack = stack

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,  # noqa: ARG002 - the signature
        on_error: Callable[[str], Any] | None = None,  # noqa: ARG002 - is Pulumi's
    ) -> CommandResult:
        command = [self.command, "--non-interactive", *args]
        record = locks.record_folder() / f"{uuid4()}.json"
        if args[0] in _LOCKING:
            command = locks.recording_command(record, self.stack, command)
        with subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        ) as self.process:
            stdout, stderr = self.process.communicate()
        if self.process.returncode in _ENDED:
            record.unlink(missing_ok=True)
        result = CommandResult(stdout, stderr, self.process.returncode)
        if result.code:
            raise create_command_error(result)
        return result


class _Workspace(LocalWorkspace):
    """The project in the working directory, without the commands that aren't needed."""

    def select_stack(self, stack_name: str) -> None:
        """Do nothing: each command names its stack."""

    def stack_outputs(self, stack_name: str) -> OutputMap:  # noqa: ARG002 - Pulumi's
        """Return none: `up` would run two commands for them, and nothing uses them."""
        return {}


class Updates:
    """The updates of one stack of the project in the working directory."""

    def __init__(self, name: str) -> None:
        self.cli = _Cli(name.rpartition("/")[2])
        self._workspace = _Workspace(work_dir=".", pulumi_command=self.cli)
        self._stack = Stack.select(name, self._workspace)

    def up(
        self, refresh: Collection[str], environment: Mapping[str, str]
    ) -> Mapping[str, int]:
        """Run the stack's program, and return the number of each kind of change.

        After a failed change the others continue: a deletion may make room for them.

        Args:
            refresh: URNs of the resources to read from AWS first. No others are read:
                EC2's answers may be older than their last change.
            environment: variables for the program, besides this process's own.

        Raises:
            LockedError: somebody else's update holds the lock; nothing was changed.
            UpdateError: the program refused, or a change failed.
        """
        self._workspace.env_vars = environment
        if refresh:
            self._run(self._stack.refresh, target=[*refresh], color="never")
        result = self._run(
            self._stack.up,
            continue_on_error=True,
            color="never",
            suppress_outputs=True,
        )
        return dict(result.summary.resource_changes or {})

    def import_routes(self, document: Mapping[str, Any]) -> None:
        """Import what the import file lists, without a change in AWS.

        Raises:
            LockedError, UpdateError: as for `up`.
        """
        self._run(
            self._stack.import_resources,
            resources=document["resources"],
            name_table=document["nameTable"],
            protect=False,
            generate_code=False,
        )

    def recover(self) -> None:
        """Refresh the state after an interrupted update.

        Raises:
            LockedError: that update is still running.
            UpdateError: as for `up`.
        """
        self._run(self._stack.refresh, clear_pending_creates=True, color="never")

    def interrupt(self) -> None:
        """Ask a running update to end after the changes in progress."""
        if self.cli.process and self.cli.process.poll() is None:
            self.cli.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill a read-only command and its children."""
        if self.cli.process and self.cli.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.cli.process.pid, signal.SIGKILL)

    def repair_files(self) -> bool:
        """Repair the files that a kill or a full disk left empty in a file backend.

        Returns:
            whether there were any.

        Raises:
            LookupFailedError: the state is empty, and there is no complete copy.
        """
        stored = self._files()
        empties = stored.empty() if stored else ()
        for each in empties:
            try:
                each.repair()
            except (OSError, subprocess.CalledProcessError):
                raise LookupFailedError(files.repair_message((each,))) from None
            if not each.commands:
                raise LookupFailedError(str(each))
            _LOG.warning("Repaired: %s", each)
        return bool(empties)

    def _run(self, change: Callable[..., Any], **options: Any) -> Any:  # noqa: ANN401
        """Change the stack; clear the dead lock or empty file of a killed watcher."""
        for _ in range(_ATTEMPTS):
            try:
                result = change(**options)
            except ConcurrentUpdateError as error:
                holders = locks.parse_locks(str(error))
                locked = LockedError(_locked(self._stack.name, holders))
                if not self._release(holders):
                    break
            except CommandError as error:
                try:
                    is_repaired = self.repair_files()
                except LookupFailedError as empty:
                    raise UpdateError(str(empty)) from None
                if not is_repaired:
                    raise UpdateError(_output(error)) from None
                locked = LockedError(_output(error))
            else:
                self._release(())
                return result
        raise locked

    def _release(self, holders: tuple[Lock, ...]) -> bool:
        """Release those of the stack's locks that dead children hold.

        Records of dead children without a lock are removed. A record stays locked until
        the stack's lock is released, so that no two watchers release one lock, and none
        releases the lock of another's next update.

        Returns:
            whether there were any.
        """
        with locks.dead_children(locks.record_folder()) as children:
            dead = {
                lock: child
                for lock in holders
                for child in children
                if child.took(lock)
            }
            if dead and not self._drop(dead, is_all=len(dead) == len(holders)):
                return False
            for lock in dead:
                _LOG.warning(
                    "Released the lock of %s since %s, of a watcher that was killed.",
                    lock,
                    lock.since,
                )
            here = str(Path.cwd()), self.cli.stack
            for child in children:
                if child in dead.values() or (child.folder, child.stack) == here:
                    child.record.unlink(missing_ok=True)
        return bool(dead)

    def _drop(self, dead: Iterable[Lock], *, is_all: bool) -> bool:
        """Remove the files of locks; in other backends `cancel` removes all locks.

        An update that starts in between finds the dead lock, and fails.
        """
        if stored := self._files():
            for lock in dead:
                stored.release(lock.file.name)
            return True
        if is_all:
            try:
                self._stack.cancel()
            except CommandError as error:
                raise UpdateError(
                    f"The lock of a dead update can't be released.\n{_output(error)}"
                ) from None
        return is_all

    def _files(self) -> files.Files | None:
        with suppress(CommandError, OSError):
            url = self._workspace.who_am_i().url or ""
            return files.of_stack(url, self._stack.name, self.cli)
        return None


def _locked(stack: str, holders: tuple[Lock, ...]) -> str:
    """Describe who holds a stack's lock; Pulumi Cloud doesn't report it."""
    if not holders:
        return "Another update holds the stack's lock."
    who = " and ".join(f"{lock} since {lock.since}" for lock in holders)
    return (
        f"{who} holds the stack's lock."
        "\n  If that process is no longer running, release the stack's locks:"
        f"\n  {commands.cancel(stack)}"
    )


def _output(error: CommandError) -> str:
    """Return the CLI's output, without what the Automation API adds."""
    _, _, output = str(error).partition("\n stdout: ")
    return output.replace("\n stderr: ", "\n").strip()
