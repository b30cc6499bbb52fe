"""Make .venv as the requirements pin it. Standard library only: it runs before all.

Safe to run twice at once, and free when nothing changed.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
VENV = TOP / ".venv"
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
    pins = b"".join((TOP / name).read_bytes() for name in REQUIREMENTS)
    wanted = f"{hashlib.sha256(pins).hexdigest()} {sys.version}"
    stamp = VENV / "pod-routes-pins"
    if _is(stamp, wanted):
        return
    with (TOP / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is(stamp, wanted):
            return
        print("Setting up .venv with the pinned packages (about a minute) ...")  # noqa: T201
        sys.stdout.flush()
        _run(sys.executable, "-m", "venv", str(VENV))
        pip = (str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet")
        _run(*pip, "--requirement", str(TOP / REQUIREMENTS[1]))
        stamp.write_text(wanted)


def _is(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


def _run(*command: str) -> None:
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"This failed; its own message is above: {' '.join(command)}")


if __name__ == "__main__":
    main()
