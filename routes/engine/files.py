"""The files of a stack in a backend of files, and those that were left empty.

A full disk, a kill or a power loss leaves one: the CLI writes a file by another name
and renames it, but neither asks for it to be on the disk first, nor removes what it
could not write (gocloud.dev v0.46, fileblob's `setAttrs`, blob's `Writer.Close`).
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
"""Seconds after which a file that is still empty is not just being written."""
_STATE: Final = re.compile(r"\.json(\.gz|\.zst)?$")


@dataclass(frozen=True)
class Empty:
    """A file that is empty and must not be.

    Attributes:
        commands: what repairs it; none where nothing whole is left.
    """

    path: Path
    problem: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def command(self) -> str:
        """The same as one line for a shell."""
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
    """The files of one stack, or of all stacks of a project where its name is `*`."""

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
        """The project's own folder, none in the legacy layout without projects.

        That has no meta.yaml (pulumi/pulumi, pkg/backend/diy/backend.go).
        """
        return (self.project,) if (self.root / "meta.yaml").exists() else ()

    def release(self, lock: str) -> None:
        """Remove one lock by the name of its file, a UUID that is never used again."""
        (self.locks / lock).unlink(missing_ok=True)
        (self.locks / f"{lock}.attrs").unlink(missing_ok=True)

    def empty(self) -> tuple[Empty, ...]:
        """Return the files that are empty and stay so for a moment.

        No running update holds an empty lock: it takes its lock by a rename, once the
        content is written. Should it be at the writing, its rename fails, and it ends.
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
            return Empty(path, "the state beside it is whole without it.", remove)
        backup = path.with_name(f"{path.name}.bak")
        if not _is_whole(backup):
            kept = self.root.joinpath("backups", *self._folder)
            old = kept / _STATE.sub("", path.name)
            return Empty(
                path,
                f"it was the state, and no whole {backup.name} is beside it."
                f" Copy the newest file of {old} that is whole there.",
                (),
            )
        return Empty(
            path,
            f"it was the state, whose last version but one is {backup.name}.",
            (
                ("cp", "--", str(path), f"{path}.empty"),
                ("cp", "--", str(backup), f"{path}.new"),
                ("mv", "-f", "--", f"{path}.new", str(path)),
            ),
        )


def of_stack(
    url: str, name: str | None, cli: PulumiCommand | None = None
) -> Files | None:
    """Return a stack's files, none in another backend.

    Args:
        url: of the backend, as `pulumi whoami` reports it.
        name: of the stack; without it, all of the project in the working directory.
        cli: what runs the commands; to find one takes a command.

    Raises:
        FileNotFoundError: no project is here.
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


def refused(empties: tuple[Empty, ...]) -> str:
    """Return what is empty and what repairs it, for a person."""
    lines = []
    for each in empties:
        lines.append(str(each))
        if each.commands:
            lines.append(f"  {each.command}")
    return "\n".join(lines)


def _is_whole(backup: Path) -> bool:
    """Return whether a file is a state, plain or by gzip; zstd cannot be read."""
    with suppress(OSError, ValueError, EOFError):
        content = backup.read_bytes()
        if backup.suffixes[-2:-1] == [".gz"]:
            content = gzip.decompress(content)
        return "checkpoint" in json.loads(content)
    return False
