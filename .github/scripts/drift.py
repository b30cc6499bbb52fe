"""Compare a stack with AWS, and keep one issue open while they differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import shown

MOST = 30_000
"""The characters shown of each command's output; an issue has at most 65,536."""
CHANGES = 7
"""The exit code of `pulumi preview --expect-no-changes` if there are changes."""
FAIL = 1
"""The exit code of `verify` if something is wrong; 2 is for an unknown outcome."""


def main() -> None:
    """Update the issue; fail if stack and AWS differ, or if a check failed."""
    stack = os.environ["STACK"]
    if role := os.environ.get("STACK_ROLE"):
        path = "aws:assumeRoles[0].roleArn"
        command = ["pulumi", "config", "set", "--stack", stack, "--path", path, role]
        subprocess.run(command, check=True)
    commands = [
        ["pulumi", "preview", "--stack", stack, "--refresh", "--expect-no-changes"],
        [sys.executable, "-m", "routes", "verify", "--stack", stack],
    ]
    codes = []
    report = []
    for command in commands:
        completed = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"NO_COLOR": "1"},
            text=True,
            check=False,
        )
        codes.append(completed.returncode)
        shown.write(completed.stdout)
        report.append(shown.fenced(completed.stdout[-MOST:]))
    differs = codes[0] == CHANGES or codes[1] == FAIL
    if differs or not any(codes):
        keep_issue(f"Drift in stack {stack}", "\n".join(report), differs=differs)
    sys.exit(any(codes))


def keep_issue(title: str, report: str, *, differs: bool) -> None:
    """Keep one issue with this title open if, and only if, stack and AWS differ."""
    listed = gh(
        *("list", "--state", "open", "--limit", "1000", "--json", "number,title"),
        *("--author", "app/github-actions"),
    )
    numbers = [
        str(issue["number"]) for issue in json.loads(listed) if issue["title"] == title
    ]
    if differs and numbers:
        gh("edit", numbers[0], "--body", report)
    elif differs:
        gh("create", "--title", title, "--body", report)
    elif numbers:
        gh("close", numbers[0], "--comment", "The stack and AWS agree again.")


def gh(*arguments: str) -> str:
    """Run a command on this repository's issues, and return its output."""
    return subprocess.run(
        ["gh", "issue", *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
