"""Get the Pulumi engine: an installed CLI, the official release, or a build with Go.

The result is kept in .engine/. Standard library only: this runs while `sandbox.setup`
installs the packages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sandbox import TOP, VENV
from sandbox.programs import (
    GoModules,
    ProgramError,
    download,
    machine,
    open_url,
    run_to_get,
    scratch_in,
    system,
)
from sandbox.progress import alive, say

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
"""The version that sandbox/pulumi/go/cli/go.mod requires."""
_GO_FLAGS: Final = ("-tags", "disable_grpc_modules")
"""Leave out gRPC access to Google's storage, a tenth of the code to build."""
ENGINE: Final = "engine"
"""The prefix of the lines of progress."""
_PLUGIN: Final = f"resource-aws-v{AWS_VERSION}"
_MODULES: Final = GoModules(
    part=ENGINE,
    folder=Path(__file__).parent / "go",
    version=_GO_VERSION,
    flags=_GO_FLAGS,
    or_install="Pulumi:\n  https://www.pulumi.com/docs/install/",
)
EngineError = ProgramError


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The location of the engine.

    Attributes:
        bin: the folder of `pulumi` and its Python language host.
        plugins: the folder of plugins, with one for AWS in it.
        stand_in: whether that is the sandbox's stand-in for the official one.
    """

    bin: str
    plugins: str
    stand_in: bool

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment for `pulumi` with a home of its own.

        It contains none of the user's AWS, Kubernetes or Pulumi settings, and no
        proxy: the sandbox never leaves this machine.
        """
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "plugins").exists():
            (home / "plugins").symlink_to(self.plugins)
        other = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "KUBE", "PULUMI_"))
            and not name.lower().endswith("_proxy")
        }
        folders = [str(VENV / "bin"), self.bin, other["PATH"]]
        return other | {
            "KUBECONFIG": os.devnull,
            "PATH": os.pathsep.join(folders),
            "PULUMI_HOME": str(home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }


def heed_interrupts() -> None:
    """Let SIGINT end child processes, also if this process runs in the background.

    A shell makes background processes ignore SIGINT, and children inherit that. Pulumi
    would wait five seconds for each of its plugins to end.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ensure(folder: Path = TOP / ".engine") -> Engine:
    """Return the engine; download or build it first if it is missing.

    Raises:
        EngineError: it can be neither downloaded nor built.
    """
    record = folder / "engine.json"
    if engine := _recorded(record):
        return engine
    with scratch_in(folder, ENGINE) as scratch:
        if engine := _recorded(record):
            return engine
        cli = _installed() or _released(folder, scratch) or _built(folder, scratch)
        official = _official_plugins(cli, folder)
        plugins = official or _stand_in_plugins(folder)
        engine = Engine(bin=str(cli), plugins=str(plugins), stand_in=not official)
        record.write_text(json.dumps({"pins": _pins(), **asdict(engine)}))
        return engine


def _pins() -> str:
    return f"{CLI_VERSION} {_LANGUAGE_VERSION} {AWS_VERSION} {VENV}"


def _recorded(record: Path) -> Engine | None:
    """Return the recorded engine, if it has the pinned versions and still exists."""
    try:
        values = json.loads(record.read_text())
        pins = values.pop("pins")
        engine = Engine(**values)
        parts = (Path(engine.bin) / "pulumi", Path(engine.plugins) / _PLUGIN)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return engine if pins == _pins() and all(map(Path.exists, parts)) else None


def _installed() -> Path | None:
    """Return the folder of an installed CLI that is new enough and runs Python."""
    path = shutil.which("pulumi")
    if not path:
        return None
    cli = Path(path).resolve()
    answer = subprocess.run(
        [cli, "version"],
        env=os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    numbers = re.search(r"v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    minimum = tuple(map(int, CLI_VERSION.split(".")))
    if not numbers or tuple(map(int, numbers.groups())) < minimum:
        return None
    return cli.parent if (cli.parent / "pulumi-language-python").exists() else None


def _released(folder: Path, scratch: Path) -> Path | None:
    """Download the official release and compare its checksum; None if out of reach.

    Raises:
        EngineError: the download has another checksum.
    """
    target = folder / f"pulumi-{CLI_VERSION}-release"
    if target.exists():
        return target
    name = f"pulumi-v{CLI_VERSION}-{system()}-{machine('x64')}.tar.gz"
    base = f"{RELEASES}/v{CLI_VERSION}"
    sums = f"{base}/pulumi-{CLI_VERSION}-checksums.txt"
    say(ENGINE, f"getting the official Pulumi CLI {CLI_VERSION} ...")
    archive = download(ENGINE, f"{base}/{name}", sums, scratch)
    if not archive:
        return None
    # tarfile has no safe extraction before Python 3.11.4.
    subprocess.run(["tar", "-xf", archive, "-C", scratch], check=True)
    (scratch / "pulumi").rename(target)
    return target


def _built(folder: Path, scratch: Path) -> Path:
    """Build the CLI and its Python language host from the Go module proxy.

    Raises:
        EngineError: Go is missing, or the build failed.
    """
    target = folder / f"pulumi-{CLI_VERSION}-built"
    if target.exists():
        return target
    if not shutil.which("go"):
        raise EngineError(
            f"Pulumi CLI {CLI_VERSION} or newer is not installed, its release can't be"
            " downloaded,\nand Go is not installed to build it. Install one of them:"
            "\n  Pulumi  https://www.pulumi.com/docs/install/"
            f"\n  Go      https://go.dev/doc/install ({_GO_VERSION} or newer)"
        )
    say(ENGINE, "building it from source instead, about 4 minutes on 2 cores ...")
    out = scratch / "bin"
    go_build("cli", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", CLI_VERSION, out)
    language = f"{_SDK}/python/cmd/pulumi-language-python"
    go_build("python", language, _LANGUAGE_VERSION, out)
    sdk = _MODULES.run("cli", "list", "-m", "-f", "{{.Dir}}", _SDK).strip()
    launcher = Path(sdk) / "python" / "cmd" / "pulumi-language-python-exec"
    shutil.copy(launcher, out)
    (out / launcher.name).chmod(0o755)
    out.rename(target)
    return target


def go_build(module: str, package: str, release: str, out: Path) -> None:
    """Build a package of sandbox/pulumi/go/{module} into a folder.

    Raises:
        EngineError: the build failed.
    """
    variable = f"{_SDK}/go/common/version.Version=v{release}"
    _MODULES.build(module, package, variable, out / package.rpartition("/")[2])


def _official_plugins(cli: Path, folder: Path) -> Path | None:
    """Return the folder of the official plugin; install it first, if possible."""
    own = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    if (own / _PLUGIN).exists() and not (own / f"{_PLUGIN}.partial").exists():
        return own
    say(ENGINE, f"getting the official AWS plugin {AWS_VERSION} ...")
    home = folder / "home"
    name = f"pulumi-{_PLUGIN}-{system()}-{machine()}.tar.gz"
    try:
        with (
            open_url(f"{PLUGINS}/{name}", "HEAD"),
            alive(ENGINE, lambda: "downloading"),
        ):
            subprocess.run(
                [cli / "pulumi", "plugin", "install", "resource", "aws", AWS_VERSION],
                env=os.environ | {"PULUMI_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
    except (OSError, subprocess.CalledProcessError) as error:
        say(ENGINE, f"not available ({getattr(error, 'reason', error)}).")
        say(ENGINE, "using the sandbox's stand-in for it, which works only there.")
        say(ENGINE, "To try again later: rm -r .engine")
        return None
    return home / "plugins"


def _stand_in_plugins(folder: Path) -> Path:
    """Create a folder of plugins with the stand-in as the one for AWS."""
    plugins = folder / "stand-in"
    launcher = plugins / _PLUGIN / "pulumi-resource-aws"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    launcher.write_text(
        f'#!/bin/sh\nPYTHONPATH="{TOP}" exec'
        f' "{VENV}/bin/python" -m sandbox.pulumi.provider "$@"\n'
    )
    launcher.chmod(0o755)
    return plugins


if __name__ == "__main__":
    run_to_get(ensure)
