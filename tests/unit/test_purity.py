"""What imports what: pure modules stay pure, and the flow goes one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2]
PURE = ("errors", "model", "settings", "userdata", "health", "plan")
MODULES = {
    path.stem: path
    for path in (PROGRAM / "routes").glob("*.py")
    if path.stem != "__init__"
}


def run(code: str) -> str:
    """Return what a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROGRAM,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def imports(path: Path) -> set[str]:
    """Return the modules of `routes` that a module names in its imports."""
    named = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "routes":
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add((node.module or "").removeprefix("routes."))
        elif isinstance(node, ast.Import):
            named |= {alias.name.removeprefix("routes.") for alias in node.names}
    return named & MODULES.keys()


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_brings_in_neither_pulumi_nor_aws(module: str) -> None:
    loaded = run(f"import sys, routes.{module}; print(*sys.modules)").split()

    packages = {name.partition(".")[0] for name in loaded}
    assert f"routes.{module}" in loaded
    assert not packages & {"pulumi", "pulumi_aws", "boto3", "botocore", "grpc"}


def test_imports_go_one_way() -> None:
    graph = {name: imports(path) for name, path in MODULES.items()}

    order = [*TopologicalSorter(graph).static_order()]

    assert graph["plan"] >= {"health", "model", "settings"}
    assert order.index("errors") < order.index("settings") < order.index("plan")


def test_only_the_component_and_the_provider_speak_pulumi_to_the_program() -> None:
    speakers = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "pulumi" in ast.unparse(node)
    }

    assert speakers == {"component", "provider", "stack"}


def test_importing_the_package_does_no_work() -> None:
    seen = run(
        "import sys\n"
        "seen = []\n"
        "watched = ('socket.', 'subprocess.', 'os.system', 'os.mkdir', 'os.remove')\n"
        "sys.addaudithook(lambda e, a: e.startswith(watched) and seen.append(e))\n"
        "import routes\n"
        "print(*seen)"
    )

    assert seen.strip() == ""
