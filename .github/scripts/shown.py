"""What a command printed, where GitHub would take some of it for more than text."""

from __future__ import annotations

import re
import secrets
import sys


def write(text: str) -> None:
    """Print it into the log of a workflow's step, where it commands nothing.

    Names of instances are in it. See GitHub Docs, "Workflow commands", "Stopping and
    starting workflow commands".
    """
    token = secrets.token_hex(16)
    sys.stdout.write(f"::stop-commands::{token}\n{text}\n::{token}::\n")


def fenced(text: str) -> str:
    """Return it as a block of Markdown that nothing inside it can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(4, longest + 1)
    return f"{fence}text\n{text}\n{fence}\n"
