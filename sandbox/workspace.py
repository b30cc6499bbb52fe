"""A copy of the program in which to run `pulumi`, with a backend of its own.

`pulumi stack init` writes a salt into the stack's file; the project's stays unchanged.
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
    """A folder with the program, a backend and a home, and the environment for them."""

    path: Path
    environment: Mapping[str, str]

    @classmethod
    def create(cls, path: Path, engine: Engine, aws: Mapping[str, str]) -> Workspace:
        """Create a workspace; it links to the project's code."""
        path.mkdir(parents=True, exist_ok=True)
        for name in ("__main__.py", "component", "routes", "sandbox", ".venv"):
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
        """Write a stack's configuration; its keys have their namespace."""
        file = self.path / f"Pulumi.{stack}.yaml"
        file.write_text(yaml.safe_dump({"config": dict(config)}))

    def run(
        self, *command: str, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command and return it with its output and its exit code."""
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
