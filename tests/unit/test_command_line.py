"""Exit codes, usage errors and help of `python -m routes`."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from routes import cli
from routes.errors import RoutesError
from sandbox import TOP


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RoutesError("no such stack"), "error: no such stack\n"),
        (PermissionError(13, "Permission denied", "x"), "Permission denied: 'x'\n"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug\n"),
    ],
)
def test_every_failure_is_exit_code_2_and_never_a_result(
    error: Exception,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", fail)

    with pytest.raises(SystemExit) as caught:
        cli.run()

    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["-S"], "Activate the environment", id="no virtual environment"),
        pytest.param([], "the Pulumi CLI is not on PATH.", id="no Pulumi CLI"),
    ],
)
def test_a_missing_tool_is_named_and_is_never_a_result(
    options: list[str], message: str
) -> None:
    answer = subprocess.run(
        [sys.executable, *options, "-m", "routes", "verify"],
        cwd=TOP,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 2
    assert message in " ".join(answer.stderr.split())
    assert "stack ls" not in answer.stderr
    assert max(map(len, answer.stderr.splitlines())) <= 80


def test_quiet_and_another_output_format_exclude_each_other() -> None:
    answer = CliRunner().invoke(cli.main, ["verify", "-q", "--output", "html"])

    assert answer.exit_code == 2
    assert "leave out --output" in answer.stderr


@pytest.mark.parametrize("name", sorted(cli.main.commands))
def test_the_help_of_each_command_has_an_example_of_it(name: str) -> None:
    answer = CliRunner().invoke(cli.main, [name, "--help"])

    assert f"  python -m routes {name}" in answer.output
    assert max(map(len, answer.output.splitlines())) <= 80
