"""The Pulumi engine, also where only package registries can be reached.

In order of preference: what is installed; the official release; a build from the Go
module proxy, with a stand-in for the AWS provider. What is fetched or built lives in
.engine/, made once, by one process at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

TOP: Final = Path(__file__).resolve().parent.parent
CLI_VERSION: Final = "3.250.0"
AWS_VERSION: Final = version("pulumi-aws")
RELEASES: Final = "https://github.com/pulumi/pulumi/releases/download"
_SDK: Final = "github.com/pulumi/pulumi/sdk/v3"
_LANGUAGE_VERSION: Final = "3.79.0"
"""The last SDK module with the Python language host in it."""
_CONNECT_SECONDS: Final = 10


class EngineError(Exception):
    """No engine can be had; the message says what to install."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where the engine is.

    Attributes:
        bin: the folder of `pulumi` and its Python language host.
        plugins: the folder of the official AWS plugin, if there is one.
        stand_in: the folder of the stand-in for it, if there is none.
    """

    bin: str
    plugins: str | None
    stand_in: str | None

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables with which the command `pulumi` works from a new home.

        Nothing of the person's own AWS or Pulumi settings is in them.
        """
        home.mkdir(parents=True, exist_ok=True)
        if self.plugins and not (home / "plugins").exists():
            (home / "plugins").symlink_to(self.plugins)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "PULUMI_"))
        }
        folders = [str(TOP / ".venv" / "bin"), self.bin, self.stand_in, kept["PATH"]]
        return kept | {
            "PATH": os.pathsep.join(filter(None, folders)),
            "PULUMI_HOME": str(home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }


def ensure(folder: Path = TOP / ".engine") -> Engine:
    """Return the engine; fetch or build it first, where that is still to do.

    Raises:
        EngineError: it can be neither fetched nor built.
    """
    record = folder / "engine.json"
    if engine := _recorded(record):
        return engine
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if engine := _recorded(record):
            return engine
        cli = _installed() or _released(folder) or _built(folder)
        plugins = _plugins(cli, folder)
        engine = Engine(
            bin=str(cli),
            plugins=str(plugins) if plugins else None,
            stand_in=None if plugins else str(_stand_in(folder)),
        )
        _replace(record, json.dumps({"pins": _pins(), **asdict(engine)}))
        return engine


def _pins() -> str:
    return f"{CLI_VERSION} {_LANGUAGE_VERSION} {AWS_VERSION} {sys.executable}"


def _recorded(record: Path) -> Engine | None:
    try:
        found = json.loads(record.read_text())
    except FileNotFoundError:
        return None
    if found.pop("pins") != _pins():
        return None
    engine = Engine(**found)
    return engine if (Path(engine.bin) / "pulumi").exists() else None


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
        [cli, "version"], capture_output=True, text=True, check=False
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
    system = platform.system().lower()
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(
        platform.machine(), platform.machine()
    )
    name = f"pulumi-v{CLI_VERSION}-{system}-{machine}.tar.gz"
    base = f"{RELEASES}/v{CLI_VERSION}"
    click.echo(f"Getting the Pulumi CLI {CLI_VERSION}: the official release ...")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        archive = Path(scratch) / name
        try:
            sums = _fetch(f"{base}/pulumi-{CLI_VERSION}-checksums.txt").decode()
            with _alive("downloading"):
                archive.write_bytes(_fetch(f"{base}/{name}"))
        except OSError as error:
            click.echo(f"  cannot be reached ({getattr(error, 'reason', error)}).")
            return None
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if f"{digest}  {name}" not in sums:
            raise EngineError(
                f"{name} is not what its release lists: sha256 {digest}.\n"
                "Nothing of it was used. Try again, or install Pulumi yourself."
            )
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        (Path(scratch) / "pulumi").rename(target)
    return target


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_CONNECT_SECONDS) as answer:  # noqa: S310 - https, pinned
        content: bytes = answer.read()
        return content


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
            "\n  Go      https://go.dev/doc/install (1.25 or newer)"
        )
    click.echo("  Building it from source instead, once: about 5 minutes on 2 cores.")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch) / "bin"
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
    with _alive(f"building {name}"):
        _go(module, "build", "-ldflags", flags, "-o", str(out / name), package)


def _go(module: str, *arguments: str) -> str:
    answer = subprocess.run(
        ["go", *arguments],
        cwd=TOP / "sandbox" / "go" / module,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise EngineError(
            f"go {arguments[0]} failed for the engine's {module} module:\n"
            f"{answer.stderr.strip()}\n"
            "Check the network and Go's version (1.25 or newer), or install Pulumi:"
            " https://www.pulumi.com/docs/install/"
        )
    return answer.stdout


def _plugins(cli: Path, folder: Path) -> Path | None:
    """Return the folder of the official AWS plugin, installed now if it can be."""
    command = str(cli / "pulumi")
    own = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    name = f"resource-aws-v{AWS_VERSION}"
    if (own / "plugins" / name).exists():
        return own / "plugins"
    home = folder / "home"
    click.echo(f"Getting the AWS plugin {AWS_VERSION}: the official release ...")
    with _alive("downloading"):
        answer = subprocess.run(
            [command, "plugin", "install", "resource", "aws", AWS_VERSION],
            env=os.environ | {"PULUMI_HOME": str(home)},
            capture_output=True,
            check=False,
        )
    if answer.returncode == 0 and (home / "plugins" / name).exists():
        return home / "plugins"
    click.echo(
        "  cannot be reached. The sandbox's stand-in for it is used instead; it serves"
        "\n  only the sandbox. (To try again later: rm -r .engine)"
    )
    return None


def _stand_in(folder: Path) -> Path:
    """Write the launcher that the engine looks for on PATH."""
    target = folder / "stand-in"
    target.mkdir(exist_ok=True)
    launcher = target / "pulumi-resource-aws"
    _replace(
        launcher,
        "#!/bin/sh\n"
        f'PYTHONPATH="{TOP}" exec "{sys.executable}" -m sandbox.provider "$@"\n',
    )
    launcher.chmod(0o755)
    return target


@contextmanager
def _alive(action: str) -> Iterator[None]:
    """Say every 15 seconds that a long step still runs."""
    start = time.monotonic()
    done = threading.Event()

    def tell() -> None:
        while not done.wait(15):
            click.echo(f"  still {action}, {time.monotonic() - start:.0f} s ...")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
