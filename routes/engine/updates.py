"""The updates of one stack that nobody types, by Pulumi's Automation API."""

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
    PulumiCommand,
    Stack,
)
from pulumi.automation.errors import (
    CommandError,
    ConcurrentUpdateError,
    create_command_error,
)

from routes import remedies
from routes.engine import files, locks
from routes.engine.locks import Lock
from routes.errors import LookupFailedError, RoutesError

_LOG: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 3
"""Two that may meet what is in the way, and the last."""
_LOCKING: Final = {"up", "import", "refresh"}
"""The commands that lock a stack."""
_ENDED: Final = {*range(128)} - {2}
"""Exit codes of a CLI that released its lock: not by a signal, nor as 2, by a panic."""


class UpdateError(RoutesError):
    """An update failed; the message is all that the engine said."""


class LockedError(RoutesError):
    """Somebody else's update holds the stack."""


class _Cli(PulumiCommand):
    """The CLI in a session of its own: a Ctrl-C for the watcher is none for it."""

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
        record = locks.records() / f"{uuid4()}.json"
        if args[0] in _LOCKING:
            command = locks.recorded(record, self.stack, command)
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
    """The project here; which of its stacks is selected stays as people left it."""

    def select_stack(self, stack_name: str) -> None:
        """Select nothing: each command names its stack."""


class Updates:
    """What may be done to one stack of the project in the working directory."""

    def __init__(self, name: str) -> None:
        self.cli = _Cli(name.rpartition("/")[2])
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

    def repair_files(self) -> bool:
        """Repair what a kill or a full disk left empty in a backend of files.

        Returns:
            whether anything was.

        Raises:
            LookupFailedError: the state is empty, and no whole copy is beside it.
        """
        stored = self._files()
        empties = stored.empty() if stored else ()
        for each in empties:
            try:
                each.repair()
            except (OSError, subprocess.CalledProcessError):
                raise LookupFailedError(files.refused((each,))) from None
            if not each.commands:
                raise LookupFailedError(str(each))
            _LOG.warning("Repaired: %s", each)
        return bool(empties)

    def _does(self, change: Callable[..., Any], **options: Any) -> Any:  # noqa: ANN401
        """Change the stack, whatever a watcher that was killed has left in the way."""
        for _ in range(_ATTEMPTS):
            try:
                result = change(**options)
            except ConcurrentUpdateError as error:
                held = locks.named(str(error))
                locked = LockedError(_locked(self._stack.name, held))
                if not self._release(held):
                    break
            except CommandError as error:
                try:
                    is_repaired = self.repair_files()
                except LookupFailedError as empty:
                    raise UpdateError(str(empty)) from None
                if not is_repaired:
                    raise UpdateError(_said(error)) from None
                locked = LockedError(_said(error))
            else:
                self._release(())
                return result
        raise locked

    def _release(self, held: tuple[Lock, ...]) -> bool:
        """Release the locks of dead children, out of all that the stack has now.

        Records of dead children that left none are removed. A record is removed after
        its lock while it is held against other watchers, so that no two of them act on
        one lock, and none by what it read before the other's next update.

        Returns:
            whether any was.
        """
        with locks.gone(locks.records()) as children:
            dead = {
                lock: child for lock in held for child in children if child.took(lock)
            }
            if dead and not self._drop(dead, is_all=len(dead) == len(held)):
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
        """Remove the files of locks; elsewhere only `cancel` does, and it removes all.

        A lock that another update takes meanwhile finds the dead one, and ends.
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
                    f"A dead update's lock cannot be released.\n{_said(error)}"
                ) from None
        return is_all

    def _files(self) -> files.Files | None:
        with suppress(CommandError, OSError):
            url = self._workspace.who_am_i().url or ""
            return files.of_stack(url, self._stack.name, self.cli)
        return None


def _locked(stack: str, held: tuple[Lock, ...]) -> str:
    """Return who holds a stack; Pulumi Cloud names nobody, and ends a dead update."""
    if not held:
        return "Another update holds the stack."
    who = " and ".join(f"{lock} since {lock.since}" for lock in held)
    return (
        f"{who} holds the stack."
        "\n  If that process no longer runs, release the stack's locks:"
        f"\n  {remedies.release(stack)}"
    )


def _said(error: CommandError) -> str:
    """Return what the CLI wrote, out of everything that the Automation API quotes."""
    _, _, said = str(error).partition("\n stdout: ")
    return said.replace("\n stderr: ", "\n").strip()
