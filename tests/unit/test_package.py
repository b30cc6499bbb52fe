"""The package `routes`: cheap to import, and complete in its metadata."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from sandbox import TOP


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

    assert {*project["tool"]["setuptools"]["packages"]} == {
        ".".join(path.relative_to(TOP).parts) for path in folders
    }
