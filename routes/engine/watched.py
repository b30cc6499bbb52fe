"""Whether somebody watches an update as it goes."""

from __future__ import annotations

import os
from pathlib import Path

_TERMINALS = ("/dev/pts/", "/dev/tty")


def is_watched() -> bool:
    """Return whether the CLI draws on a terminal, where a line's end can be replaced.

    A program cannot ask the engine. The CLI looks at its own input and output, and so
    does this, where there is /proc; elsewhere the answer is yes.
    """
    process = Path("/proc") / str(os.getppid())
    try:
        while (process / "comm").read_text().strip() != "pulumi":
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            process = process.with_name(parent)
        ends = [(process / "fd" / end).readlink() for end in ("0", "1")]
    except OSError:
        return True
    return all(str(end).startswith(_TERMINALS) for end in ends)
