"""The package `routes` is cheap to import; both packages are complete."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

from component.version import VERSION
from sandbox import TOP
from tests import schemas


def test_importing_the_package_does_no_work() -> None:
    code = (
        "import sys\n"
        "seen = []\n"
        "watched = ('socket.', 'subprocess.', 'os.system', 'os.mkdir', 'os.remove')\n"
        "sys.addaudithook(lambda e, a: e.startswith(watched) and seen.append(e))\n"
        "import routes\n"
        "print(*seen, *{'pulumi', 'pydantic'} & {*sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    )

    assert run.stdout.strip() == ""


def test_every_folder_is_in_the_package() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    folders = {path.parent for path in (TOP / "routes").rglob("__init__.py")}

    assert {*project["tool"]["setuptools"]["packages"]} == {"component"} | {
        ".".join(path.relative_to(TOP).parts) for path in folders
    }


def test_the_component_has_the_programs_versions() -> None:
    pins = (TOP / "requirements.in").read_text().splitlines()
    own = (TOP / "component/requirements.txt").read_text().splitlines()

    assert len(own) == 2
    assert {*own} <= {*pins}
    assert schemas.component()["version"] == VERSION


def properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Return each property of a schema, and its path."""
    for key, value in schema.items():
        if key in {"inputProperties", "properties"}:
            yield from ((f"{path}/{name}", each) for name, each in value.items())
        elif isinstance(value, dict):
            yield from properties(value, f"{path}/{key}")


def test_every_input_and_output_of_the_component_has_a_description() -> None:
    schema = json.loads((TOP / "docs/schema/component.json").read_text())
    found = [*properties(schema)]

    assert len(found) == 11
    assert [path for path, each in found if not each.get("description")] == []
