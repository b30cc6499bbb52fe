"""Get the programs of a control plane: installed, downloaded, or built with Go.

They are kept in .engine/kube/. Standard library only: setup needs it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox import TOP
from sandbox.programs import (
    GoModules,
    ProgramError,
    download,
    machine,
    scratch_in,
    system,
)
from sandbox.progress import say

KUBERNETES: Final = "https://dl.k8s.io/release"
"""Each program, and beside it its checksum
(https://kubernetes.io/releases/download/#binaries). Servers are for Linux only."""
ETCD: Final = "https://github.com/etcd-io/etcd/releases/download"
_ENGINE: Final = TOP / ".engine"
_KUBE: Final = "kube"
"""The prefix of the lines of progress."""
_GO_VERSION: Final = "1.26"
"""The version that sandbox/kube/go/ccm/go.mod requires."""
_MODULES: Final = GoModules(
    part=_KUBE,
    folder=Path(__file__).parent / "go",
    version=_GO_VERSION,
    or_install="Kubernetes:\n  https://kubernetes.io/releases/download/",
)
_VERSION: Final = "k8s.io/component-base/version.gitVersion"
"""The variable with a program's version, without which the API server panics."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program.

    Attributes:
        name: its name.
        module: the folder of its Go module, in sandbox/kube/go.
        source: the Go module that it is built from.
        package: its package there.
        minutes: the minutes that a build takes on 2 cores.
    """

    name: str
    module: str
    source: str
    package: str
    minutes: int

    @property
    def version(self) -> str:
        """The version that go.mod pins."""
        pins = (_MODULES.folder / self.module / "go.mod").read_text()
        pin = re.search(rf"\s{self.source} v(\S+)", pins)
        assert pin  # noqa: S101 - it is what the module is for
        return pin[1]

    def path(self, folder: Path) -> Path:
        """Return where the program is kept in a folder."""
        return folder / _KUBE / f"{self.name}-{self.version}"


PROGRAMS: Final = (
    Program(
        name="etcd",
        module="etcd",
        source="go.etcd.io/etcd/server/v3",
        package="",
        minutes=1,
    ),
    Program(
        name="kube-apiserver",
        module="control",
        source="k8s.io/kubernetes",
        package="/cmd/kube-apiserver",
        minutes=4,
    ),
    Program(
        name="kube-controller-manager",
        module="control",
        source="k8s.io/kubernetes",
        package="/cmd/kube-controller-manager",
        minutes=1,
    ),
    Program(
        name="aws-cloud-controller-manager",
        module="ccm",
        source="k8s.io/cloud-provider-aws",
        package="/cmd/aws-cloud-controller-manager",
        minutes=5,
    ),
)


def find(folder: Path = _ENGINE) -> Mapping[str, Path]:
    """Return the path of each program.

    Raises:
        ProgramError: one is missing.
    """
    if missing := _missing(folder):
        names = ", ".join(each.name for each in missing)
        raise ProgramError(f"missing: {names}. Get them with: make kube")
    return {each.name: each.path(folder) for each in PROGRAMS}


def ensure(folder: Path = _ENGINE) -> None:
    """Get the programs that are missing.

    Raises:
        ProgramError: one can be neither downloaded nor built.
    """
    if not _missing(folder):
        return
    with scratch_in(folder, _KUBE) as scratch:
        (folder / _KUBE).mkdir(exist_ok=True)
        to_build = [
            each
            for each in _missing(folder)
            if not (_link(each, folder) or _download(each, folder, scratch))
        ]
        _build(to_build, folder, scratch)


def _missing(folder: Path) -> list[Program]:
    return [each for each in PROGRAMS if not each.path(folder).exists()]


def _link(program: Program, folder: Path) -> bool:
    """Link to an installed program, if it has the same minor version."""
    path = shutil.which(program.name)
    if not path:
        return False
    answer = subprocess.run(
        [path, "--version"], capture_output=True, text=True, check=False
    )
    minor, _, _ = program.version.rpartition(".")
    if not re.search(rf"\bv?{re.escape(minor)}\.\d", answer.stdout):
        return False
    kept = program.path(folder)
    kept.unlink(missing_ok=True)  # a link to a program that was removed
    kept.symlink_to(path)
    return True


def _download(program: Program, folder: Path, scratch: Path) -> bool:
    """Download the official release, if there is one and it is in reach.

    Raises:
        ProgramError: the download has another checksum.
    """
    version = f"v{program.version}"
    if program.module == "ccm":  # only in a container image
        return False
    say(_KUBE, f"getting the official {program.name} {program.version} ...")
    if program.module == "control":
        url = f"{KUBERNETES}/{version}/bin/{system()}/{machine()}/{program.name}"
        file = download(_KUBE, url, f"{url}.sha256", scratch)
    else:
        stem = f"etcd-{version}-{system()}-{machine()}"
        suffix = "zip" if system() == "darwin" else "tar.gz"
        base = f"{ETCD}/{version}"
        url = f"{base}/{stem}.{suffix}"
        file = download(_KUBE, url, f"{base}/SHA256SUMS", scratch)
        if file:
            subprocess.run(["tar", "-xf", file, "-C", scratch], check=True)
            file = scratch / stem / program.name
    if not file:
        return False
    file.chmod(0o755)
    file.replace(program.path(folder))
    return True


def _build(programs: Iterable[Program], folder: Path, scratch: Path) -> None:
    """Build programs from the Go module proxy.

    Raises:
        ProgramError: Go is missing, or a build failed.
    """
    for each in programs:
        if not shutil.which("go"):
            raise ProgramError(
                f"{each.name} {each.version} is not installed, can't be downloaded,\n"
                "and Go is not installed to build it. Install one of them:"
                "\n  Kubernetes  https://kubernetes.io/releases/download/"
                "\n  etcd        https://etcd.io/docs/latest/install/"
                f"\n  Go          https://go.dev/doc/install ({_GO_VERSION} or newer)"
            )
        say(
            _KUBE,
            f"building {each.name} {each.version}, about {each.minutes} min"
            " on 2 cores ...",
        )
        out = scratch / each.name
        variable = f"{_VERSION}=v{each.version}"
        _MODULES.build(each.module, each.source + each.package, variable, out)
        out.replace(each.path(folder))
