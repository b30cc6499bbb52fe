"""The Pulumi engine, also where only package registries can be reached.

In order of preference: what is installed; the official release; a build from the Go
module proxy, with a stand-in for the AWS provider. What is fetched or built lives in
.engine/, made once, by one process at a time. Standard library only: it is fetched or
built while the packages are installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final

from sandbox import TOP, VENV
from sandbox.progress import alive, run, say

CLI_VERSION: Final = "3.250.0"
AWS_VERSION: Final = re.findall(
    r"^pulumi-aws==(\S+)", (TOP / "requirements.in").read_text(), re.MULTILINE
)[0]
RELEASES: Final = "https://github.com/pulumi/pulumi/releases/download"
PLUGINS: Final = "https://get.pulumi.com/releases/plugins"
_SDK: Final = "github.com/pulumi/pulumi/sdk/v3"
_LANGUAGE_VERSION: Final = "3.79.0"
"""The last SDK module with the Python language host in it."""
_GO_VERSION: Final = "1.25.11"
"""What sandbox/pulumi/go/cli/go.mod asks for."""
_CONNECT_SECONDS: Final = 10
_SCRATCH: Final = "partial"
_GO_FLAGS: Final = ("-tags", "disable_grpc_modules")
"""Leave out the direct path to Google's storage, a tenth of the code to build."""
_ENGINE: Final = "engine"
"""Whose lines these are, beside those of what is set up at the same time."""
_PLUGIN: Final = f"resource-aws-v{AWS_VERSION}"


class EngineError(Exception):
    """No engine can be had; the message says what to install."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where the engine is.

    Attributes:
        bin: the folder of `pulumi` and its Python language host.
        plugins: the folder of plugins, with one for AWS in it.
        stand_in: whether that is the sandbox's stand-in for the official one.
    """

    bin: str
    plugins: str
    stand_in: bool

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables with which the command `pulumi` works from a new home.

        Nothing of the person's own AWS or Pulumi settings is in them, and no proxy:
        the sandbox never leaves this machine.
        """
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "plugins").exists():
            (home / "plugins").symlink_to(self.plugins)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "PULUMI_"))
            and not name.lower().endswith("_proxy")
        }
        folders = [str(VENV / "bin"), self.bin, kept["PATH"]]
        return kept | {
            "PATH": os.pathsep.join(folders),
            "PULUMI_HOME": str(home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }


def heed_interrupts() -> None:
    """Let SIGINT end what is started from here, also from the background.

    There a shell has it ignored, which processes inherit, and Pulumi would wait five
    seconds for each of its plugins to end.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ensure(folder: Path = TOP / ".engine") -> Engine:
    """Return the engine; fetch or build it first, where that is still to do.

    Raises:
        EngineError: it can be neither fetched nor built.
    """
    record = folder / "engine.json"
    if engine := _recorded(record):
        return engine
    folder.mkdir(exist_ok=True)
    with _locked(folder / "lock"):
        if engine := _recorded(record):
            return engine
        shutil.rmtree(folder / _SCRATCH, ignore_errors=True)
        cli = _installed() or _released(folder) or _built(folder)
        official = _official_plugins(cli, folder)
        plugins = official or _stand_in_plugins(folder)
        engine = Engine(bin=str(cli), plugins=str(plugins), stand_in=not official)
        _replace(record, json.dumps({"pins": _pins(), **asdict(engine)}))
        return engine


def _pins() -> str:
    return f"{CLI_VERSION} {_LANGUAGE_VERSION} {AWS_VERSION} {VENV}"


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Let one process at a time in; the lock ends with its process, however it ends."""
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(_ENGINE, "another process is getting it; waiting for that.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder for what is not complete yet."""
    scratch = folder / _SCRATCH
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)


def _recorded(record: Path) -> Engine | None:
    """Return what was found before, if it is what is wanted and still there."""
    try:
        found = json.loads(record.read_text())
        pins = found.pop("pins")
        engine = Engine(**found)
        parts = (Path(engine.bin) / "pulumi", Path(engine.plugins) / _PLUGIN)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return engine if pins == _pins() and all(map(Path.exists, parts)) else None


def _replace(file: Path, text: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(file)


def _installed() -> Path | None:
    """Return the folder of an installed CLI that is new enough and speaks Python."""
    found = shutil.which("pulumi")
    if not found:
        return None
    cli = Path(found).resolve()
    answer = subprocess.run(
        [cli, "version"],
        env=os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    numbers = re.search(r"v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    wanted = tuple(map(int, CLI_VERSION.split(".")))
    if not numbers or tuple(map(int, numbers.groups())) < wanted:
        return None
    return cli.parent if (cli.parent / "pulumi-language-python").exists() else None


def _released(folder: Path) -> Path | None:
    """Download the official release and compare its checksum; None if out of reach.

    Raises:
        EngineError: what was downloaded is not what the release lists.
    """
    target = folder / f"pulumi-{CLI_VERSION}-release"
    if target.exists():
        return target
    name = f"pulumi-v{CLI_VERSION}-{_system()}-{_machine('x64')}.tar.gz"
    base = f"{RELEASES}/v{CLI_VERSION}"
    say(_ENGINE, f"getting the official Pulumi CLI {CLI_VERSION} ...")
    with _scratch(folder) as scratch:
        archive, sums = scratch / name, scratch / "checksums.txt"
        try:
            _fetch(f"{base}/pulumi-{CLI_VERSION}-checksums.txt", sums)
            with alive(_ENGINE, lambda: f"{_megabytes(archive)} MB"):
                _fetch(f"{base}/{name}", archive)
        except (OSError, HTTPException) as error:
            say(_ENGINE, f"cannot be had ({getattr(error, 'reason', error)}).")
            return None
        with archive.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if f"{digest}  {name}" not in sums.read_text().splitlines():
            raise EngineError(
                f"{name} is not what its release lists: sha256 {digest}.\n"
                "Nothing of it was used. Try again, or install Pulumi yourself."
            )
        # tarfile has no safe way before Python 3.11.4.
        subprocess.run(["tar", "-xf", archive, "-C", scratch], check=True)
        (scratch / "pulumi").rename(target)
    return target


def _system() -> str:
    return platform.system().lower()


def _machine(intel: str) -> str:
    """Return the processor as releases name it, which differ in the word for Intel."""
    names = {"x86_64": intel, "aarch64": "arm64"}
    return names.get(platform.machine(), platform.machine())


def _open(url: str, method: str = "GET") -> HTTPResponse:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - https, pinned
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=_CONNECT_SECONDS)  # noqa: S310 - the same
    return answer


def _megabytes(file: Path) -> int:
    return file.stat().st_size // 1_000_000 if file.exists() else 0


def _fetch(url: str, file: Path) -> None:
    with _open(url) as answer, file.open("wb") as content:
        shutil.copyfileobj(answer, content)
        length = answer.headers["Content-Length"]
    if length and file.stat().st_size != int(length):
        raise OSError(f"{url} ended early")


def _built(folder: Path) -> Path:
    """Build the CLI and its Python language host from the Go module proxy.

    Raises:
        EngineError: Go is missing, or the build failed.
    """
    target = folder / f"pulumi-{CLI_VERSION}-built"
    if target.exists():
        return target
    if not shutil.which("go"):
        raise EngineError(
            f"There is no Pulumi CLI {CLI_VERSION} or newer, its release cannot be"
            " downloaded,\nand there is no Go to build it with. Install one of them:"
            "\n  Pulumi  https://www.pulumi.com/docs/install/"
            f"\n  Go      https://go.dev/doc/install ({_GO_VERSION} or newer)"
        )
    say(_ENGINE, "building it from source instead, about 4 minutes on 2 cores ...")
    with _scratch(folder) as scratch:
        out = scratch / "bin"
        _go_build("cli", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", CLI_VERSION, out)
        language = f"{_SDK}/python/cmd/pulumi-language-python"
        _go_build("python", language, _LANGUAGE_VERSION, out)
        sdk = _go("cli", "list", "-m", "-f", "{{.Dir}}", _SDK).strip()
        launcher = Path(sdk) / "python" / "cmd" / "pulumi-language-python-exec"
        shutil.copy(launcher, out)
        (out / launcher.name).chmod(0o755)
        out.rename(target)
    return target


def _go_build(module: str, package: str, release: str, out: Path) -> None:
    name = package.rpartition("/")[2]
    flags = f"-s -w -X {_SDK}/go/common/version.Version=v{release}"
    stale = _go(module, "list", "-deps", "-f", "{{if .Stale}}.{{end}}", package)
    so_far = f"{name}, {{}} of {stale.count('.')} packages built"
    command = ("build", "-v", "-ldflags", flags, "-o", str(out / name), package)
    _go(module, *command, so_far=so_far, step=r"\S+$")


def _go(
    module: str,
    verb: str,
    *arguments: str,
    so_far: str = "{} modules fetched",
    step: str = "go: downloading ",
) -> str:
    code, said = run(
        _ENGINE,
        ["env", "GOWORK=off", "CGO_ENABLED=0", "go", verb, *_GO_FLAGS, *arguments],
        so_far,
        step,
        folder=Path(__file__).parent / "go" / module,
    )
    if code:
        raise EngineError(
            f"go {verb} failed for the engine's {module} module:\n"
            f"{said.strip()}\n"
            f"Check the network and Go's version ({_GO_VERSION} or newer), or install"
            " Pulumi:\n  https://www.pulumi.com/docs/install/"
        )
    return said


def _official_plugins(cli: Path, folder: Path) -> Path | None:
    """Return the folder of the official plugin; install it first, if it can be had."""
    own = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    if (own / _PLUGIN).exists() and not (own / f"{_PLUGIN}.partial").exists():
        return own
    say(_ENGINE, f"getting the official AWS plugin {AWS_VERSION} ...")
    home = folder / "home"
    name = f"pulumi-{_PLUGIN}-{_system()}-{_machine('amd64')}.tar.gz"
    try:
        with _open(f"{PLUGINS}/{name}", "HEAD"), alive(_ENGINE, lambda: "downloading"):
            subprocess.run(
                [cli / "pulumi", "plugin", "install", "resource", "aws", AWS_VERSION],
                env=os.environ | {"PULUMI_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
    except (OSError, subprocess.CalledProcessError) as error:
        say(_ENGINE, f"cannot be had ({getattr(error, 'reason', error)}).")
        say(_ENGINE, "the sandbox's stand-in for it serves, only the sandbox.")
        say(_ENGINE, "(To try again later: rm -r .engine)")
        return None
    return home / "plugins"


def _stand_in_plugins(folder: Path) -> Path:
    """Lay out a folder of plugins in which the stand-in is the one for AWS."""
    plugins = folder / "stand-in"
    launcher = plugins / _PLUGIN / "pulumi-resource-aws"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    _replace(
        launcher,
        f'#!/bin/sh\nPYTHONPATH="{TOP}" exec'
        f' "{VENV}/bin/python" -m sandbox.pulumi.provider "$@"\n',
    )
    launcher.chmod(0o755)
    return plugins


if __name__ == "__main__":
    try:
        ensure()
    except EngineError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
