"""Show the output of commands on GitHub so that all of it is plain text."""

from __future__ import annotations

import re
import secrets
import sys


def write(text: str) -> None:
    """Print text into a workflow's log; no line of it acts as a command.

    Instance names in it are not trusted. See GitHub Docs, "Workflow commands",
    "Stopping and starting workflow commands".
    """
    token = secrets.token_hex(16)
    sys.stdout.write(f"::stop-commands::{token}\n{text}\n::{token}::\n")


def fenced(text: str) -> str:
    """Return text as a Markdown block whose fence doesn't occur in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(4, longest + 1)
    return f"{fence}text\n{text}\n{fence}\n"
