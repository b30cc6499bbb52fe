"""What imports what: rooms import downwards, and pure ones stay pure."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

from sandbox import TOP

FLOORS = (
    {""},  # the words that all use
    {"aws", "engine"},
    {"planning"},
    {"verify"},
    {"report", "watch"},
    {"doctor"},
    {"cli"},
    {"__main__"},
)
"""The folders of `routes`, from the ground up; each imports from lower floors alone."""
IMPURE = {"aws", "engine", "doctor", "cli", "__main__"}
READERS = {
    "verify.collect",
    "watch.deadlines",
    "watch.operation",
    "watch.watcher",
}
"""Impure modules in pure rooms."""

MODULES = {
    ".".join(path.relative_to(TOP / "routes").with_suffix("").parts): path
    for path in sorted((TOP / "routes").rglob("*.py"))
    if path.name != "__init__.py"
}


def room(module: str) -> str:
    """Return a module's folder; those on top have a floor of their own."""
    head, _, rest = module.partition(".")
    return head if rest or head in {"doctor", "cli", "__main__"} else ""


def floor(module: str) -> int:
    return next(n for n, rooms in enumerate(FLOORS) if room(module) in rooms)


PURE = [
    name for name in MODULES if room(name) not in IMPURE and name not in READERS
] + ["aws.userdata"]


def run(code: str) -> str:
    """Return what a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def imports(path: Path) -> set[str]:
    """Return the modules of `routes` that a module imports."""
    named = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    return {name.removeprefix("routes.") for name in named} & MODULES.keys()


def test_a_pure_module_brings_in_neither_pulumi_nor_aws() -> None:
    seen = run(
        "import importlib, sys\n"
        f"for name in {PURE}:\n"
        "    importlib.import_module(f'routes.{name}')\n"
        "    packages = {module.partition('.')[0] for module in sys.modules}\n"
        "    print(name, *packages & {'pulumi', 'pulumi_aws', 'boto3', 'botocore',"
        " 'grpc'})"
    )

    assert seen.splitlines() == PURE


def test_rooms_import_downwards() -> None:
    upwards = [
        (name, other)
        for name, path in MODULES.items()
        for other in imports(path)
        if floor(other) > floor(name)
        or (floor(other) == floor(name) and room(other) != room(name))
    ]

    assert upwards == []


def test_no_imports_go_in_a_circle() -> None:
    graph = {name: imports(path) for name, path in MODULES.items()}

    assert {*TopologicalSorter(graph).static_order()} == MODULES.keys()


def test_every_room_says_what_it_is() -> None:
    for path in (TOP / "routes").rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_every_room_is_in_the_package() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    rooms = {path.parent for path in (TOP / "routes").rglob("__init__.py")}

    assert {*project["tool"]["setuptools"]["packages"]} == {
        ".".join(path.relative_to(TOP).parts) for path in rooms
    }


def test_pulumi_is_spoken_in_one_room() -> None:
    speakers = {
        room(name)
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "pulumi" in ast.unparse(node)
    }

    assert speakers == {"engine"}


def test_importing_the_package_does_no_work() -> None:
    seen = run(
        "import sys\n"
        "seen = []\n"
        "watched = ('socket.', 'subprocess.', 'os.system', 'os.mkdir', 'os.remove')\n"
        "sys.addaudithook(lambda e, a: e.startswith(watched) and seen.append(e))\n"
        "import routes\n"
        "print(*seen, *{'pulumi', 'pydantic'} & {*sys.modules})"
    )

    assert seen.strip() == ""
