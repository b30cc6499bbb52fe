"""The virtual environment is created once, and again after an interruption."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sandbox import progress, setup


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project without requirements."""
    for name in setup.REQUIREMENTS:
        (tmp_path / name).touch()
    monkeypatch.setattr(setup, "TOP", tmp_path)
    monkeypatch.setattr(setup, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(sys, "argv", ["setup"])
    return tmp_path


def test_an_interrupted_environment_is_created_again_and_a_complete_one_kept(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS", 600)  # no lines of progress
    half = project / ".venv" / "lib" / "half-a-package"
    half.mkdir(parents=True)

    setup.main()

    assert not half.exists()
    assert (project / ".venv" / "bin" / "pip").exists()
    assert capsys.readouterr().out.splitlines() == [
        "venv: installing 0 packages into .venv (about a minute) ...",
        "venv: done.",
    ]

    half.mkdir()
    setup.main()

    assert half.exists()
    assert capsys.readouterr().out == ""

    (project / "requirements-dev.txt").write_text("no requirement ==\n")
    with pytest.raises(SystemExit, match="Invalid requirement") as error:
        setup.main()

    assert "This command failed, see above" in str(error.value)
    assert not (project / ".venv" / "pod-routes-pins").exists()


def test_a_long_command_reports_its_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS", 0.2)
    script = "echo step 1; echo reason; echo step 2; sleep 0.5; exit 3"

    code, rest = progress.run("part", ["sh", "-c", script], "{} of 5", step="step ")

    assert (code, rest) == (3, "reason\n")
    assert capsys.readouterr().out.startswith("part: 2 of 5, 0 s ...\n")
