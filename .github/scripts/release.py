"""Check a tag, and write the notes of its release and the component's archive."""

from __future__ import annotations

import gzip
import io
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

ARCHIVE = "pulumi-resource-pod-routes-{tag}.tar.gz"
"""The name of the archive, without the system and the architecture.

Pulumi looks for a release's asset named `pulumi-KIND-NAME-vVERSION-OS-ARCH.tar.gz`
(`standardAssetName` in sdk/go/common/workspace/plugins.go), so it would need a copy for
each pair. Source code is the same on all of them: `pulumi plugin install --file` takes
an archive of any name, and `pulumi package add` clones the tag (`gitSource` there).
"""


def main() -> None:
    """Write both into a new folder; write nothing if there is a fault."""
    tag, folder = os.environ["TAG"], Path(sys.argv[1])
    commit = git("rev-parse", f"refs/tags/{tag}^{{commit}}").decode().strip()
    heading, notes = section(commit, tag.removeprefix("v"))
    if found := [*faults(tag, commit, heading, notes)]:
        name = shlex.quote(tag)
        sys.exit(
            "\n  ".join([f"{tag} can't be released:", *found])
            + "\nFix this on main, delete the tag, and release as in CONTRIBUTING.md:"
            f"\n  git push --delete origin {name}"
            f"\n  git tag --delete {name}"
        )
    folder.mkdir()
    (folder / "notes.md").write_text(f"{notes}\n", encoding="utf-8")
    (folder / ARCHIVE.format(tag=tag)).write_bytes(archive(commit))


def section(commit: str, version: str) -> tuple[str, str]:
    """Return the heading and the body of the changelog's section, or empty strings."""
    changelog = git("show", f"{commit}:CHANGELOG.md").decode()
    for text in re.split("^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, body = text.partition("\n")
        if heading.startswith(f"[{version}]"):
            return heading, body.strip()
    return "", ""


def faults(tag: str, commit: str, heading: str, notes: str) -> Iterator[str]:
    """Yield what was expected and found, for each reason not to release."""
    module = git("show", f"{commit}:component/version.py").decode()
    declared = re.search('^VERSION.* = "(.+)"$', module, re.MULTILINE)
    version = declared[1] if declared else "none"
    if tag != f"v{version}":
        yield f"component/version.py: expected the VERSION of {tag}, found {version}"
    start = f"[{tag.removeprefix('v')}]"
    if not re.fullmatch(re.escape(start) + r" - \d{4}-\d\d-\d\d", heading):
        found = f"## {heading}" if heading else "no section of this version"
        yield f"CHANGELOG.md: expected ## {start} - YYYY-MM-DD, found {found}"
    if heading and not notes:
        yield f"CHANGELOG.md: expected text below ## {heading}, found none"
    if git("rev-list", "--max-count=1", commit, "^refs/remotes/origin/main"):
        yield f"commit {commit}: expected it on main, found it elsewhere"


def archive(commit: str) -> bytes:
    """Return the committed files of `component/`, the same bytes each time.

    Of a commit, and not of a tree, git archives the files with the commit's time, but
    also "the commit ID is stored in a global extended pax header" (git-archive(1)).
    Pulumi refuses that header: `extractFile` in sdk/go/common/util/archive/archive.go
    accepts only folders, files and symbolic links, so they are copied without it.
    """
    committed = io.BytesIO(git("-C", "component", "archive", "--format=tar", commit))
    copied = io.BytesIO()
    with (
        tarfile.open(fileobj=committed) as source,
        tarfile.open(fileobj=copied, mode="w", format=tarfile.USTAR_FORMAT) as target,
    ):
        for member in source:
            target.addfile(member, source.extractfile(member))
    return gzip.compress(copied.getvalue(), mtime=0)


def git(*arguments: str) -> bytes:
    """Run a command of git, and return its output."""
    return subprocess.run(
        ["git", *arguments], stdout=subprocess.PIPE, check=True
    ).stdout


if __name__ == "__main__":
    main()
