"""What imports what: pure modules stay pure, and the flow goes one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from sandbox import TOP

# Each module imports from earlier lines alone.
LAYERS = (
    ("errors", "model"),
    ("settings", "userdata", "snapshot", "packets"),
    ("commands", "provider", "session", "stack"),
    ("component", "ec2", "filters", "forwarding", "health"),
    ("plan", "reachability"),
    ("adopt", "verify", "vpc"),
    ("summary",),
    ("page", "report"),
    ("__main__",),
)
IMPURE = {"component", "provider", "session", "stack", "ec2", "vpc", "__main__"}
PURE = [name for layer in LAYERS for name in layer if name not in IMPURE]
MODULES = {
    path.stem: path for path in (TOP / "routes").glob("*.py") if path.stem != "__init__"
}


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


def test_imports_go_one_way() -> None:
    earlier: set[str] = set()
    for layer in LAYERS:
        for name in layer:
            assert imports(MODULES[name]) <= earlier, name
        earlier |= {*layer}

    assert earlier == MODULES.keys()


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
