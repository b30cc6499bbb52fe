"""The systemd unit: valid, hardened, and with an existing command."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from routes.cli import main
from sandbox import TOP

UNIT = TOP / "examples/watch/pod-routes-watch@.service"


def unit() -> RawConfigParser:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read(UNIT)
    return parser


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    return subprocess.run(
        ["systemd-analyze", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Only the interpreter doesn't exist here."""
    instance = tmp_path / "pod-routes-watch@prod.service"
    instance.write_text(UNIT.read_text().replace("/opt/pod-routes/.venv", "/usr"))

    output = analyze("verify", "--man=no", str(instance)).stdout

    assert [line for line in output.splitlines() if "python" not in line] == []


def test_it_is_exposed_as_little_as_a_network_service_can_be(tmp_path: Path) -> None:
    """The threshold is in tenths: at most 2.0, where 10.0 is the most exposed."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text())

    answer = analyze("security", "--offline=yes", "--threshold=20", str(copy))

    assert answer.returncode == 0, answer.stdout
    assert "Overall exposure level" in answer.stdout


def test_it_starts_an_existing_command() -> None:
    _, *arguments = shlex.split(unit()["Service"]["ExecStart"])
    assert arguments[:3] == ["-m", "routes", "watch"]
    options = [each for each in arguments if each.startswith("--")]

    text = CliRunner().invoke(main, ["watch", "--help"]).output

    assert options
    assert all(option in text for option in options)
