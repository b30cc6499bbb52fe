"""The files of a stack in a file backend, and those that were left empty.

A full disk, a kill or a power loss can do that: the CLI writes a temporary file and
renames it, but neither flushes it to the disk first, nor removes what it could not
write (gocloud.dev v0.46, fileblob's `setAttrs`, blob's `Writer.Close`).
Every command on the stack then fails with "EOF" or "unexpected end of JSON input".
"""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from pulumi.automation import PulumiCommand

_SETTLED: Final = 1.0
"""Seconds; a file that stays empty that long isn't just being written."""
_STATE: Final = re.compile(r"\.json(\.gz|\.zst)?$")


@dataclass(frozen=True)
class Empty:
    """A file that is empty and must not be.

    Attributes:
        commands: they repair it; none without a complete copy.
    """

    path: Path
    problem: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def command(self) -> str:
        """The commands as one line for a shell."""
        return " && ".join(shlex.join(each) for each in self.commands)

    def repair(self) -> None:
        """Run the commands.

        Raises:
            OSError, CalledProcessError: one failed.
        """
        for command in self.commands:
            subprocess.run(command, check=True, capture_output=True)

    def __str__(self) -> str:
        return f"{self.path} is empty: {self.problem}"


@dataclass(frozen=True)
class Files:
    """The files of one stack, or, with the stack `*`, of all stacks of a project."""

    root: Path
    project: str
    stack: str

    @property
    def locks(self) -> Path:
        """The folder of the stack's locks."""
        of_project = ("organization", *self._folder) if self._folder else ()
        return self.root.joinpath("locks", *of_project, self.stack)

    @property
    def _folder(self) -> tuple[str, ...]:
        """The project's folder; the legacy layout has none.

        It has no meta.yaml either (pulumi/pulumi, pkg/backend/diy/backend.go).
        """
        return (self.project,) if (self.root / "meta.yaml").exists() else ()

    def release(self, lock: str) -> None:
        """Remove one lock by the name of its file, a unique UUID."""
        (self.locks / lock).unlink(missing_ok=True)
        (self.locks / f"{lock}.attrs").unlink(missing_ok=True)

    def empty(self) -> tuple[Empty, ...]:
        """Return the files that are empty and stay so for a moment.

        No running update holds an empty lock: it takes its lock with a rename, after
        writing the content. If one is just writing when its file is removed, its rename
        fails, and the update ends.
        """
        before = dict(self._empty())
        if not before:
            return ()
        time.sleep(_SETTLED)
        after = dict(self._empty())
        return tuple(
            self._examined(path)
            for path, written in before.items()
            if after.get(path) == written
        )

    def _empty(self) -> Iterator[tuple[Path, int]]:
        """Yield each file that is empty now, and when it was written, in ns."""
        states = [
            path
            for path in self._at("stacks", *self._folder, f"{self.stack}.json*")
            if _STATE.search(str(path).removesuffix(".attrs"))
        ]
        for path in (*states, *self._at(*self.locks.relative_to(self.root).parts, "*")):
            with suppress(OSError):
                stat = path.stat()
                if path.is_file() and not stat.st_size:
                    yield path, stat.st_mtime_ns

    def _at(self, *pattern: str) -> list[Path]:
        return sorted(self.root.glob("/".join(pattern)))

    def _examined(self, path: Path) -> Empty:
        remove = (("rm", "-f", "--", str(path)),)
        if self.root / "locks" in path.parents:
            return Empty(path, "no running update can hold such a lock.", remove)
        if path.suffix == ".attrs":
            return Empty(path, "the state beside it is complete without it.", remove)
        backup = path.with_name(f"{path.name}.bak")
        if not _is_complete(backup):
            kept = self.root.joinpath("backups", *self._folder)
            old = kept / _STATE.sub("", path.name)
            return Empty(
                path,
                f"it was the state, and there is no complete {backup.name}."
                f" Replace it with the newest complete file of {old}.",
                (),
            )
        return Empty(
            path,
            f"it was the state; {backup.name} has the version before.",
            (
                ("cp", "--", str(path), f"{path}.empty"),
                ("cp", "--", str(backup), f"{path}.new"),
                ("mv", "-f", "--", f"{path}.new", str(path)),
            ),
        )


def of_stack(
    url: str, name: str | None, cli: PulumiCommand | None = None
) -> Files | None:
    """Return a stack's files; None in another backend.

    Args:
        url: of the backend, as `pulumi whoami` reports it.
        name: of the stack; None for all stacks of the project in the working directory.
        cli: the CLI to use; finding it takes a command of its own.

    Raises:
        FileNotFoundError: there is no project.
    """
    from pulumi.automation import LocalWorkspace  # noqa: PLC0415 - takes long

    if not url.startswith("file://"):
        return None
    root = Path(unquote(url.removeprefix("file://").partition("?")[0])).expanduser()
    workspace = LocalWorkspace(work_dir=".", pulumi_command=cli)
    return Files(
        root=root.absolute() / ".pulumi",
        project=workspace.project_settings().name,
        stack=name.rpartition("/")[2] if name else "*",
    )


def repair_message(empties: tuple[Empty, ...]) -> str:
    """Return a message with the empty files and the commands that repair them."""
    lines = []
    for each in empties:
        lines.append(str(each))
        if each.commands:
            lines.append(f"  {each.command}")
    return "\n".join(lines)


def _is_complete(backup: Path) -> bool:
    """Return whether a file is a state, plain or gzip; zstd can't be read."""
    with suppress(OSError, ValueError, EOFError):
        content = backup.read_bytes()
        if backup.suffixes[-2:-1] == [".gz"]:
            content = gzip.decompress(content)
        return "checkpoint" in json.loads(content)
    return False
