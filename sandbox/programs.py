"""Download programs, or build them with Go. Standard library only: setup needs it."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final

from sandbox.progress import alive, run, say

_CONNECT_SECONDS: Final = 10


class ProgramError(Exception):
    """A program is not available; the message says what to do."""


def run_to_get(get: Callable[[], object]) -> None:
    """Run a command that gets programs; an error is one message on stderr."""
    try:
        get()
    except ProgramError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def scratch_in(folder: Path, part: str) -> Iterator[Path]:
    """Create an empty folder for downloads and builds, one process at a time."""
    folder.mkdir(exist_ok=True)
    scratch = folder / "partial"
    with (folder / "lock").open("w") as lock:
        with alive(part, lambda: "waiting for another process to get it"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(scratch, ignore_errors=True)  # an interrupted one
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch)


def system() -> str:
    """Return the operating system as releases name it."""
    return platform.system().lower()


def machine(intel: str = "amd64") -> str:
    """Return the processor as releases name it; the name for Intel's varies."""
    names = {"x86_64": intel, "aarch64": "arm64"}
    return names.get(platform.machine(), platform.machine())


def open_url(url: str, method: str = "GET") -> HTTPResponse:
    """Send a request.

    Raises:
        OSError, HTTPException: there is no answer, or an error.
    """
    request = urllib.request.Request(url, method=method)  # noqa: S310 - https, pinned
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=_CONNECT_SECONDS)  # noqa: S310 - the same
    return answer


def download(part: str, url: str, sums: str, scratch: Path) -> Path | None:
    """Download a file and compare its checksum; None if it is out of reach.

    Args:
        part: the prefix of the lines of progress.
        url: the file's address.
        sums: the address of SHA-256 checksums: lines with a file name, or just one.
        scratch: the folder for the file.

    Raises:
        ProgramError: the file has another checksum.
    """
    file, listed = scratch / url.rpartition("/")[2], scratch / "checksums"
    try:
        _fetch(sums, listed)
        with alive(part, lambda: f"{_megabytes(file)} MB"):
            _fetch(url, file)
    except (OSError, HTTPException) as error:
        say(part, f"not available ({getattr(error, 'reason', error)}).")
        return None
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    lines = [line.split() for line in listed.read_text().splitlines()]
    if [digest, file.name] not in lines and [digest] not in lines:
        raise ProgramError(
            f"{file.name} has a checksum that its release doesn't list: sha256"
            f" {digest}.\nIt was deleted. Try again, or install the program yourself."
        )
    return file


def _fetch(url: str, file: Path) -> None:
    with open_url(url) as answer, file.open("wb") as content:
        shutil.copyfileobj(answer, content)
        length = answer.headers["Content-Length"]
    if length and file.stat().st_size != int(length):
        raise OSError(f"{url} ended early")


def _megabytes(file: Path) -> int:
    return file.stat().st_size // 1_000_000 if file.exists() else 0


@dataclass(frozen=True, kw_only=True)
class GoModules:
    """Modules that name the versions of programs, which Go builds.

    Attributes:
        part: the prefix of the lines of progress.
        folder: the folder with the modules.
        version: the version of Go that they require.
        flags: options of every command.
        or_install: what to install instead, with addresses.
    """

    part: str
    folder: Path
    version: str
    flags: tuple[str, ...] = ()
    or_install: str

    def build(self, module: str, package: str, variable: str, out: Path) -> None:
        """Build a program, with the value of a variable such as its version.

        Raises:
            ProgramError: the build failed.
        """
        stale = self.run(
            module, "list", "-deps", "-f", "{{if .Stale}}.{{end}}", package
        )
        so_far = f"{out.name}, {{}} of {stale.count('.')} packages built"
        flags = f"-s -w -X {variable}"
        command = ("build", "-v", "-ldflags", flags, "-o", str(out), package)
        self.run(module, *command, so_far=so_far, step=r"\S+$")

    def run(
        self,
        module: str,
        verb: str,
        *arguments: str,
        so_far: str = "{} modules downloaded",
        step: str = "go: downloading ",
    ) -> str:
        """Run a command of Go in a module, and return its output.

        Raises:
            ProgramError: it failed.
        """
        code, output = run(
            self.part,
            ["env", "GOWORK=off", "CGO_ENABLED=0", "go", verb, *self.flags, *arguments],
            so_far,
            step,
            folder=self.folder / module,
        )
        if code:
            raise ProgramError(
                f"go {verb} failed for {self.part}'s {module} module:\n"
                f"{output.strip()}\n"
                f"Check the network and Go's version ({self.version} or newer), or"
                f" install {self.or_install}"
            )
        return output
