"""Get what programs in other languages need: language hosts, and a generator of SDKs.

An official release has them. Beside a CLI that was built from source, the last versions
are built that the Go module proxy has. Standard library only, as `engine`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox import TOP
from sandbox.programs import run_to_get, scratch_in
from sandbox.pulumi.engine import (
    CLI_VERSION,
    ENGINE,
    Engine,
    EngineError,
    ensure,
    go_build,
)

_GENERATOR: Final = "sdks"
_PARTS: Final = {
    "pulumi-language-nodejs": (
        "nodejs",
        "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs",
        "3.68.0",
    ),
    "pulumi-language-yaml": (
        "yaml",
        "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml",
        "1.38.1",
    ),
    _GENERATOR: ("cli", f"pod-routes/engine/cli/{_GENERATOR}", CLI_VERSION),
}
"""Each program's module in sandbox/pulumi/go, package and version."""


def ensure_languages(engine: Engine, folder: Path = TOP / ".engine") -> None:
    """Build the language hosts and the generator beside the CLI, if they are missing.

    Raises:
        EngineError: they can't be built, or Node.js is missing.
    """
    for command in ("node", "npm"):
        if not shutil.which(command):
            raise EngineError(f"{command} is not installed. See https://nodejs.org/")
    cli = Path(engine.bin)
    missing = [name for name in _PARTS if not (cli / name).exists()]
    if missing and _is_built(cli):
        with scratch_in(folder, ENGINE) as scratch:
            for name in missing:
                go_build(*_PARTS[name], scratch)
                (scratch / name).replace(cli / name)


def generate_sdks(
    engine: Engine, environment: Mapping[str, str], schema: Path, out: Path
) -> None:
    """Write a package's SDKs for Node.js and Python into `out`/{language}."""
    cli = Path(engine.bin)
    if _is_built(cli):
        with schema.open() as content:
            subprocess.run([cli / _GENERATOR, out], stdin=content, check=True)
        return
    generate = [str(cli / "pulumi"), "package", "gen-sdk", str(schema)]
    for language in ("nodejs", "python"):
        command = [*generate, "--language", language, "--local", "--out", str(out)]
        subprocess.run(command, env=environment, capture_output=True, check=True)


def _is_built(cli: Path) -> bool:
    return cli.name == f"pulumi-{CLI_VERSION}-built"


if __name__ == "__main__":
    run_to_get(lambda: ensure_languages(ensure()))
