"""Whether an update is shown on a terminal."""

from __future__ import annotations

import os
from pathlib import Path

_TERMINALS = ("/dev/pts/", "/dev/tty")


def is_interactive() -> bool:
    """Return whether the CLI draws on a terminal, where it can replace lines.

    The engine doesn't report that to its program. The CLI checks its own input and
    output, and so does this function, through /proc; without /proc the answer is yes.
    """
    process = Path("/proc") / str(os.getppid())
    try:
        while (process / "comm").read_text().strip() != "pulumi":
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            process = process.with_name(parent)
        files = [(process / "fd" / number).readlink() for number in ("0", "1")]
    except OSError:
        return True
    return all(str(file).startswith(_TERMINALS) for file in files)
