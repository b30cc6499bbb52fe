"""The sandbox that `make sandbox` leaves running, as a person uses it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox import __main__ as command
from sandbox.mishaps import MISHAPS

NAMED = {
    "route": "route: rtb-",
    "check": "source/destination check: eni-",
    "group": "security group: sg-",
    "acl": "network ACL: acl-",
    "worker": "instance: i-",
}
"""What `verify` says of each mishap."""


def says(*words: str) -> str:
    answer = CliRunner().invoke(command.main, words, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.mark.usefixtures("engine")
@pytest.mark.filterwarnings(  # the server outlives its starter on purpose
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_what_is_broken_in_the_sandbox_is_named_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".sandbox"
    monkeypatch.setattr(command, "_LEFT_RUNNING", folder)
    (pasted,) = (line for line in says("start").splitlines() if "eval" in line)
    way = says("env")
    inode = folder.stat().st_ino

    def types(line: str) -> tuple[int, str]:
        answer = subprocess.run(
            ["bash", "-c", f"{way}\n{line}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return answer.returncode, " ".join((answer.stdout + answer.stderr).split())

    answer = subprocess.run(
        ["bash", "-c", pasted], cwd="/", capture_output=True, text=True, check=True
    )
    assert "No module named" not in answer.stderr
    code, said = types("pulumi up --yes --skip-preview")
    assert code == 0, said
    for what in MISHAPS:
        says("break", what)
        code, said = types("python -m routes verify --stack dev")
        assert code == 1, said
        assert NAMED[what] in said
        assert what in says("mend")
    code, said = types("python -m routes verify --stack dev")
    assert code == 0, said

    assert "is gone" in says("stop")
    code, said = types("python -m routes verify --stack dev")
    assert code == 2, said
    assert folder.stat().st_ino == inode


@pytest.mark.parametrize("words", [[], *([name] for name in command.main.commands)])
def test_help_is_whole_and_fits_a_terminal(words: list[str]) -> None:
    _usage, *lines = says(*words, "--help").splitlines()

    assert [line for line in lines if line.endswith("...") or len(line) > 80] == []
