"""A copy of the program to run `pulumi` in, so that the project's own files stay clean.

`pulumi stack init` writes a salt into the stack's file, and every command needs a
backend: here both are the copy's own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from sandbox import TOP
from sandbox.pulumi.engine import Engine


@dataclass(frozen=True)
class Workspace:
    """A folder with the program, a backend, a home, and the environment for both."""

    path: Path
    environment: Mapping[str, str]

    @classmethod
    def create(cls, path: Path, engine: Engine, aws: Mapping[str, str]) -> Workspace:
        """Lay out a new workspace; the code in it is the project's own, by links."""
        path.mkdir(parents=True, exist_ok=True)
        for name in ("__main__.py", "routes", "sandbox", ".venv"):
            (path / name).symlink_to(TOP / name)
        for file in TOP.glob("Pulumi*.yaml"):
            shutil.copy(file, path)
        state = path / "state"
        state.mkdir()
        environment = {
            **engine.environment(home=path / "home"),
            **aws,
            "PULUMI_BACKEND_URL": state.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "sandbox",
        }
        return cls(path, environment)

    def configure(self, stack: str, config: Mapping[str, object]) -> None:
        """Write a stack's configuration, keys with their namespace, as a person may."""
        file = self.path / f"Pulumi.{stack}.yaml"
        file.write_text(yaml.safe_dump({"config": dict(config)}))

    def run(
        self, *command: str, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command and return it with its output, whatever its exit code."""
        return subprocess.run(
            command,
            cwd=self.path,
            env={**self.environment, **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
