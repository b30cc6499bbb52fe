"""Preview a stack, and keep one comment on the pull request up to date."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import shown

MOST = 60_000
"""The characters shown of the preview; a comment has at most 65,536."""
DRIFT = "has drifted:"
"""The program's warning about a route that somebody changed since the last update."""
AUTHOR = "github-actions[bot]"
"""Only its comments are updated: another author could edit theirs afterwards."""


def main() -> None:
    """Post the preview's output; fail if it failed, or if it warns of drift."""
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
        if comment["body"].startswith(mark) and comment["user"]["login"] == AUTHOR
    ]
    if ours:
        comment = f"{repository}/issues/comments/{ours[0]}"
        gh("--method", "PATCH", comment, "--raw-field", f"body={body}")
    else:
        gh("--method", "POST", comments, "--raw-field", f"body={body}")
    sys.exit(preview.returncode or DRIFT in " ".join(preview.stdout.split()))


def gh(*arguments: str) -> str:
    """Call GitHub's API, and return its answer."""
    return subprocess.run(
        ["gh", "api", *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
