"""The sandbox that `make sandbox` leaves running, with the commands that it prints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox import __main__ as command
from sandbox.faults import FAULTS

NAMED = {
    "route": "route: rtb-",
    "check": "source/destination check: eni-",
    "group": "security group: sg-",
    "acl": "network ACL: acl-",
    "worker": "instance: i-",
}
"""What `verify` reports for each fault."""


def run(*words: str) -> str:
    """Run `python -m sandbox`, and return its output."""
    result = CliRunner().invoke(command.main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("engine")
@pytest.mark.filterwarnings(  # the server keeps running on purpose
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_each_fault_in_the_sandbox_is_reported_and_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".sandbox"
    monkeypatch.setattr(command, "_LEFT_RUNNING", folder)
    (pasted,) = (line for line in run("start").splitlines() if "eval" in line)
    environment = run("env")
    inode = folder.stat().st_ino

    def types(line: str) -> tuple[int, str]:
        completed = subprocess.run(
            ["bash", "-c", f"{environment}\n{line}"],
            capture_output=True,
            text=True,
            check=False,
        )
        output = completed.stdout + completed.stderr
        return completed.returncode, " ".join(output.split())

    completed = subprocess.run(
        ["bash", "-c", pasted], cwd="/", capture_output=True, text=True, check=True
    )
    assert "No module named" not in completed.stderr
    code, text = types("pulumi up --yes --skip-preview")
    assert code == 0, text
    for fault in FAULTS:
        run("inject", fault)
        code, text = types("python -m routes verify --stack dev")
        assert code == 1, text
        assert NAMED[fault] in text
        assert fault in run("repair")
    code, text = types("python -m routes verify --stack dev")
    assert code == 0, text

    assert "is stopped" in run("stop")
    code, text = types("python -m routes verify --stack dev")
    assert code == 2, text
    assert folder.stat().st_ino == inode


@pytest.mark.parametrize("words", [[], *([name] for name in command.main.commands)])
def test_help_is_complete_and_fits_a_terminal(words: list[str]) -> None:
    _usage, *lines = run(*words, "--help").splitlines()

    assert [line for line in lines if line.endswith("...") or len(line) > 80] == []
