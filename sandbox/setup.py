"""Make .venv as the requirements pin it, and with `engine` get the engine beside it.

Standard library only: it runs before all. Safe to run twice at once, free when nothing
changed, and after an interruption it goes on from what was fetched and built.
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
    """Create or update the virtual environment, unless it is as wanted already."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"Python 3.11 or newer is needed; {sys.executable} is {found}.\n"
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
    wanted = f"{hashlib.sha256(''.join(pins).encode()).hexdigest()} {sys.version}"
    stamp = VENV / "pod-routes-pins"
    with (TOP / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        count = pins[1].count("==")
        say("venv", f"installing {count} packages into .venv (about a minute) ...")
        # What was interrupted may be half there: it is made afresh, from pip's cache.
        keep = () if stamp.exists() else ("--clear",)
        stamp.unlink(missing_ok=True)
        _run(sys.executable, "-m", "venv", *keep, str(VENV))
        # Byte code is made where it is used: most of the packages' never is.
        pip = (str(VENV / "bin" / "python"), "-m", "pip", "install", "--no-compile")
        _run(*pip, "--requirement", str(TOP / REQUIREMENTS[1]), count=count)
        stamp.write_text(wanted)
        say("venv", "done.")


def _run(*command: str, count: int = 0) -> None:
    so_far = f"{{}} of {count} packages fetched" if count else "making it"
    code, said = run("venv", [*command], so_far, step="Collecting ")
    if code:
        sys.exit(f"{said}This failed; its own message is above: {' '.join(command)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
