"""Compare a stack with AWS, and keep one issue open for as long as they differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import shown

MOST = 30_000
"""Characters of each command's output; GitHub takes 65,536 in an issue."""
CHANGES = 7
"""How `pulumi preview --expect-no-changes` exits if there are any."""
NOT_WELL = 1
"""How `verify` exits if something is wrong, and not merely unknown."""


def main() -> None:
    """Open, update or close the issue; fail where they differ, or nobody knows."""
    stack = os.environ["STACK"]
    if role := os.environ.get("STACK_ROLE"):
        path = "aws:assumeRoles[0].roleArn"
        change = ["pulumi", "config", "set", "--stack", stack, "--path", path, role]
        subprocess.run(change, check=True)
    commands = [
        ["pulumi", "preview", "--stack", stack, "--refresh", "--expect-no-changes"],
        [sys.executable, "-m", "routes", "verify", "--stack", stack],
    ]
    codes = []
    report = []
    for command in commands:
        answer = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"NO_COLOR": "1"},
            text=True,
            check=False,
        )
        codes.append(answer.returncode)
        shown.write(answer.stdout)
        report.append(shown.fenced(answer.stdout[-MOST:]))
    differs = codes[0] == CHANGES or codes[1] == NOT_WELL
    if differs or not any(codes):
        keep_issue(f"Drift in stack {stack}", "\n".join(report), differs=differs)
    sys.exit(any(codes))


def keep_issue(title: str, report: str, *, differs: bool) -> None:
    """Let there be one open issue with this title if, and only if, they differ."""
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
    """Ask GitHub about issues of this repository."""
    return subprocess.run(
        ["gh", "issue", *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
