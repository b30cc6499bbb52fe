"""Create .venv with the pinned packages; with `engine`, also get the Pulumi engine.

Standard library only, as it runs first. Two runs at once are safe, and an interrupted
one continues with the downloads so far.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys

from sandbox import TOP, VENV
from sandbox.progress import run, say

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
OLDEST = (3, 11)


def main() -> None:
    """Create or update the virtual environment, unless it is up to date."""
    if sys.version_info < OLDEST:
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"Python 3.11 or newer is needed; {sys.executable} is {version}.\n"
            "Install one, then name it: make PYTHON=python3.12 ..."
        )
    if sys.argv[1:] != ["engine"]:
        _make_venv()
        return
    command = (sys.executable, "-m", "sandbox.pulumi.engine")
    with subprocess.Popen(command, cwd=TOP) as engine:
        try:
            _make_venv()
        except BaseException:
            engine.terminate()
            raise
    sys.exit(engine.returncode)


def _make_venv() -> None:
    pins = [(TOP / name).read_text() for name in REQUIREMENTS]
    current = f"{hashlib.sha256(''.join(pins).encode()).hexdigest()} {sys.version}"
    stamp = VENV / "pod-routes-pins"
    with (TOP / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == current:
            return
        count = pins[1].count("==")
        say("venv", f"installing {count} packages into .venv (about a minute) ...")
        # An interrupted one may be incomplete: create it again, from pip's cache.
        keep = () if stamp.exists() else ("--clear",)
        stamp.unlink(missing_ok=True)
        _run(sys.executable, "-m", "venv", *keep, str(VENV))
        # Python compiles what it imports; most of the packages are never imported.
        pip = (str(VENV / "bin" / "python"), "-m", "pip", "install", "--no-compile")
        _run(*pip, "--requirement", str(TOP / REQUIREMENTS[1]), count=count)
        stamp.write_text(current)
        say("venv", "done.")


def _run(*command: str, count: int = 0) -> None:
    so_far = f"{{}} of {count} packages downloaded" if count else "creating it"
    code, output = run("venv", [*command], so_far, step="Collecting ")
    if code:
        sys.exit(f"{output}This command failed, see above: {' '.join(command)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
