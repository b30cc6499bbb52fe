"""Preview a stack, and keep one comment on the pull request up to date."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import shown

MOST = 60_000
"""Characters of a comment that are the preview's; GitHub takes 65,536 in all."""
DRIFT = "has drifted:"
"""What the program warns of where a table is not as the last update left it."""
OURSELVES = "github-actions[bot]"
"""Whoever else writes such a comment could change what reviewers read in it."""


def main() -> None:
    """Comment whatever the preview says; fail as it did, or where it warns of drift."""
    stack = os.environ["STACK"]
    repository = f"repos/{os.environ['GITHUB_REPOSITORY']}"
    comments = f"{repository}/issues/{os.environ['PULL_REQUEST']}/comments"
    preview = subprocess.run(
        ["pulumi", "preview", "--stack", stack, "--color", "never"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    shown.write(preview.stdout)
    mark = f"<!-- preview of {stack} -->"
    body = f"{mark}\n### `{stack}`\n\n{shown.fenced(preview.stdout[-MOST:])}"
    ours = [
        comment["id"]
        for page in json.loads(gh("--paginate", "--slurp", comments))
        for comment in page
        if comment["body"].startswith(mark) and comment["user"]["login"] == OURSELVES
    ]
    if ours:
        place = f"{repository}/issues/comments/{ours[0]}"
        gh("--method", "PATCH", place, "--raw-field", f"body={body}")
    else:
        gh("--method", "POST", comments, "--raw-field", f"body={body}")
    sys.exit(preview.returncode or DRIFT in " ".join(preview.stdout.split()))


def gh(*arguments: str) -> str:
    """Ask GitHub's API."""
    return subprocess.run(
        ["gh", "api", *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
