"""Which files of a stack are empty, and the commands that repair them."""

from __future__ import annotations

import gzip
import subprocess
import time
from pathlib import Path

import pytest

from routes.engine import files
from routes.engine.files import Files

STATE = b'{"version": 3, "checkpoint": {}}'


@pytest.fixture(params=["projects", "before projects"])
def stored(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Files:
    monkeypatch.setattr(files, "_SETTLED", 0)
    stored = Files(tmp_path / "it's here", "project", "dev")
    folder = stored.root / "stacks"
    if request.param == "projects":
        folder /= "project"
    folder.mkdir(parents=True)
    if request.param == "projects":
        (stored.root / "meta.yaml").write_text("version: 1")
    stored.locks.mkdir(parents=True)
    return stored


def state(stored: Files, suffix: str = "") -> Path:
    folder = stored.root / "stacks/project"
    return (folder if folder.exists() else folder.parent) / f"dev.json{suffix}"


def run(command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True)


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("name", ["x.json", "x.json.attrs", "x.json.18f.tmp"])
def test_an_empty_lock_is_removed_and_no_other(
    stored: Files, name: str, *, by_hand: bool
) -> None:
    (stored.locks / name).touch()
    (stored.locks / "live.json").write_text("{}")

    (empty,) = stored.empty()
    run(empty.command) if by_hand else empty.repair()

    assert [each.name for each in stored.locks.iterdir()] == ["live.json"]


def test_an_empty_sidecar_is_removed(stored: Files) -> None:
    state(stored).write_bytes(STATE)
    state(stored, ".attrs").touch()

    (empty,) = stored.empty()
    empty.repair()

    assert [*state(stored).parent.iterdir()] == [state(stored)]


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_empty_state_is_replaced_by_the_complete_copy_beside_it(
    stored: Files, suffix: str, *, by_hand: bool
) -> None:
    complete = gzip.compress(STATE) if suffix else STATE
    state(stored, suffix).touch()
    state(stored, f"{suffix}.bak").write_bytes(complete)

    (empty,) = stored.empty()
    run(empty.command) if by_hand else empty.repair()

    assert state(stored, suffix).read_bytes() == complete
    assert state(stored, f"{suffix}.empty").read_bytes() == b""


@pytest.mark.parametrize("copy", [b"", STATE[:-5], b"{}", b"[]"])
def test_an_empty_state_stays_if_the_copy_is_incomplete(
    stored: Files, copy: bytes
) -> None:
    state(stored).touch()
    state(stored, ".bak").write_bytes(copy)

    (empty,) = stored.empty()

    assert not empty.command
    parts = state(stored).relative_to(stored.root).parts
    assert "/".join(["backups", *parts[1:-1], "dev"]) in str(empty)


def test_another_stack_is_left_alone(stored: Files) -> None:
    state(stored).with_name("dev2.json").touch()

    assert stored.empty() == ()
    assert len(Files(stored.root, "project", "*").empty()) == 1


def test_a_file_that_is_being_written_is_left_alone(
    stored: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = stored.locks / "x.json"
    lock.touch()

    monkeypatch.setattr(time, "sleep", lambda _: lock.write_text("{}"))

    assert stored.empty() == ()


def test_one_lock_is_released_by_its_name(stored: Files) -> None:
    for name in ("a.json", "a.json.attrs", "b.json"):
        (stored.locks / name).touch()

    stored.release("a.json")

    assert [each.name for each in stored.locks.iterdir()] == ["b.json"]


def test_only_a_file_backend_has_files() -> None:
    assert files.of_stack("s3://bucket", "dev") is None
