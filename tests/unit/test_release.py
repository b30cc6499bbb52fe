"""The workflow that releases a tag, run in a made-up repository with a fake `gh`."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from component.version import VERSION
from sandbox import TOP

WORKFLOW = yaml.safe_load((TOP / ".github/workflows/release.yml").read_text())
JOB = WORKFLOW["jobs"]["release"]
GH = '#!/bin/sh\nprintf "%s\\n" "$@" > "$RUNNER_TEMP/gh"\n'
COMPONENT = {
    "PulumiPlugin.yaml": "runtime: python\n",
    "__main__.py": "print()\n",
    "more/module.py": "",
    "version.py": 'VERSION: Final = "3.0.0"\n',
}
NOTES = """\
Two lines of text
with a [link](docs/page.md).

### Added

- `##` is no heading here.
"""
CHANGELOG = f"""\
# Changelog

## [Unreleased]

- Not released.

## [3.0.0] - 2026-11-30

{NOTES}
## [2.0.0] - 2026-11-26

- Older.
"""
COMMITTED = 1_700_000_000


class Repository:
    """A clone of a repository, as actions/checkout leaves it, in a new folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "repository"
        self.temp = folder / "temp"
        self.bin = folder / "bin"
        for each in (self.path, self.temp, self.bin):
            each.mkdir(parents=True)
        (self.bin / "gh").write_text(GH)
        (self.bin / "gh").chmod(0o755)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.write("CHANGELOG.md", CHANGELOG)
        for name, text in COMPONENT.items():
            self.write(f"component/{name}", text)
        self.commit()

    @property
    def environment(self) -> dict[str, str]:
        mine = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
        return mine | {
            "PATH": os.pathsep.join([str(self.bin), mine["PATH"]]),
            "RUNNER_TEMP": str(self.temp),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "somebody",
            "GIT_AUTHOR_EMAIL": "somebody@example.com",
            "GIT_COMMITTER_NAME": "somebody",
            "GIT_COMMITTER_EMAIL": "somebody@example.com",
            "GIT_AUTHOR_DATE": f"{COMMITTED} +0000",
            "GIT_COMMITTER_DATE": f"{COMMITTED} +0000",
        }

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, *, on_main: bool = True) -> str:
        """Commit every file, and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A change")
        if on_main:
            self.git("update-ref", "refs/remotes/origin/main", "HEAD")
        return self.git("rev-parse", "HEAD")

    def releases(self, tag: str) -> subprocess.CompletedProcess[str]:
        """Tag the last commit, and run the workflow."""
        self.git("tag", "--annotate", "--message", "A version", tag)
        return self.runs(tag)

    def runs(self, tag: str) -> subprocess.CompletedProcess[str]:
        """Run the workflow's steps on a tag, until one fails."""
        (self.path / ".github").symlink_to(TOP / ".github")
        steps = "\n".join(step["run"] for step in JOB["steps"] if "run" in step)
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", steps],
            cwd=self.path,
            env=self.environment | {"TAG": tag},
            capture_output=True,
            text=True,
            check=False,
        )

    def refuses(self, tag: str) -> str:
        """Expect a failure before anything is created, and return its message."""
        refused = self.releases(tag)
        assert refused.returncode == 1, refused.stderr
        assert not [*self.temp.iterdir()]
        return refused.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_release_has_its_version_its_section_and_the_archive(
    repository: Repository,
) -> None:
    released = repository.releases("v3.0.0")

    assert released.returncode == 0, released.stderr
    folder = repository.temp / "release"
    archive = "pulumi-resource-pod-routes-v3.0.0.tar.gz"
    assert (repository.temp / "gh").read_text().splitlines() == [
        *("release", "create", "v3.0.0", f"{folder}/{archive}", "--verify-tag"),
        *("--title", "3.0.0", "--notes-file", f"{folder}/notes.md"),
    ]
    assert (folder / "notes.md").read_text() == NOTES
    assert {path.name for path in folder.iterdir()} == {"notes.md", archive}


def archive(repository: Repository) -> bytes:
    (path,) = (repository.temp / "release").glob("*.tar.gz")
    return path.read_bytes()


def test_a_lightweight_tag_of_an_older_commit_is_released_with_its_committed_files(
    repository: Repository,
) -> None:
    repository.git("tag", "v3.0.0")
    repository.write("component/version.py", 'VERSION: Final = "3.1.0"\n')
    repository.write("CHANGELOG.md", "")
    repository.commit()
    repository.write("component/__pycache__/version.pyc", "")

    released = repository.runs("v3.0.0")

    assert released.returncode == 0, released.stderr
    with tarfile.open(fileobj=io.BytesIO(archive(repository))) as tar:
        members = tar.getmembers()
        files = {
            member.name: file.read().decode()
            for member in members
            if (file := tar.extractfile(member))
        }
    assert files == COMPONENT
    assert {member.mtime for member in members} == {COMMITTED}


def test_the_archive_has_only_entries_that_pulumi_extracts(
    repository: Repository,
) -> None:
    """See `extractFile` in Pulumi's sdk/go/common/util/archive/archive.go."""
    repository.releases("v3.0.0")

    with tarfile.open(fileobj=io.BytesIO(archive(repository))) as tar:
        for member in tar:
            assert member.isfile() or member.isdir()
            assert not member.pax_headers


def test_one_commit_gives_the_same_archive_each_time(tmp_path: Path) -> None:
    first, second = (Repository(tmp_path / name) for name in ("a", "b"))
    first.releases("v3.0.0")
    second.releases("v3.0.0")

    assert archive(first) == archive(second)
    assert archive(first)[4:8] == bytes(4)  # the time in gzip's header, RFC 1952


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        pytest.param(
            *("component/version.py", "3.0.0", "2.9.0"),
            "component/version.py: expected the VERSION of v3.0.0, found 2.9.0",
            id="another version",
        ),
        pytest.param(
            *("component/version.py", "VERSION", "Version"),
            "component/version.py: expected the VERSION of v3.0.0, found none",
            id="no version",
        ),
        pytest.param(
            *("CHANGELOG.md", "[3.0.0]", "[3.0.0-rc.1]"),
            "CHANGELOG.md: expected ## [3.0.0] - YYYY-MM-DD, "
            "found no section of this version",
            id="no section",
        ),
        pytest.param(
            *("CHANGELOG.md", "2026-11-30", "Unreleased"),
            "CHANGELOG.md: expected ## [3.0.0] - YYYY-MM-DD, "
            "found ## [3.0.0] - Unreleased",
            id="no date",
        ),
        pytest.param(
            *("CHANGELOG.md", NOTES, "\n"),
            "CHANGELOG.md: expected text below ## [3.0.0] - 2026-11-30, found none",
            id="no text",
        ),
    ],
)
def test_a_fault_is_refused_before_anything_is_created(
    repository: Repository, file: str, old: str, new: str, fault: str
) -> None:
    text = (repository.path / file).read_text()
    repository.write(file, text.replace(old, new))
    repository.commit()

    first, reported, *_ = repository.refuses("v3.0.0").splitlines()

    assert first == "v3.0.0 can't be released:"
    assert reported == f"  {fault}"


def test_a_commit_that_is_not_on_main_is_refused(repository: Repository) -> None:
    commit = repository.commit(on_main=False)

    message = repository.refuses("v3.0.0")

    assert f"\n  commit {commit}: expected it on main, found it elsewhere\n" in message


def test_all_faults_are_reported_at_once_with_the_commands_to_try_again(
    repository: Repository,
) -> None:
    repository.write("CHANGELOG.md", "## [3.1.0] - Unreleased\n\n## [3.0.0]\n\n- 1\n")
    commit = repository.commit(on_main=False)

    assert repository.refuses("v3.1.0") == (
        "v3.1.0 can't be released:\n"
        "  component/version.py: expected the VERSION of v3.1.0, found 3.0.0\n"
        "  CHANGELOG.md: expected ## [3.1.0] - YYYY-MM-DD, "
        "found ## [3.1.0] - Unreleased\n"
        "  CHANGELOG.md: expected text below ## [3.1.0] - Unreleased, found none\n"
        f"  commit {commit}: expected it on main, found it elsewhere\n"
        "Fix this on main, delete the tag, and release as in CONTRIBUTING.md:\n"
        "  git push --delete origin v3.1.0\n"
        "  git tag --delete v3.1.0\n"
    )


def test_a_tag_runs_no_command(repository: Repository) -> None:
    tag = "v$(touch${IFS}ran)';touch${IFS}ran"

    message = repository.refuses(tag)

    assert not (repository.path / "ran").exists()
    assert """delete origin 'v$(touch${IFS}ran)'"'"';touch${IFS}ran'""" in message


def test_this_project_itself_can_be_released(repository: Repository) -> None:
    for name in ("CHANGELOG.md", "component/version.py"):
        repository.write(name, (TOP / name).read_text())
    repository.commit()

    released = repository.releases(f"v{VERSION}")

    assert released.returncode == 0, released.stderr


def test_only_the_job_may_write_and_it_fetches_main() -> None:
    assert WORKFLOW[True]["push"] == {"tags": ["v*"]}  # YAML's `on` is true
    assert WORKFLOW["permissions"] == {}
    assert JOB["permissions"] == {"contents": "write"}
    assert JOB["steps"][0]["with"]["fetch-depth"] == 0
