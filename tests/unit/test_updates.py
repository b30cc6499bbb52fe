"""Whose lock may be dropped."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from routes.engine.updates import _may_run

HERE = socket.gethostname()
NOBODY = str(10**9)
"""More than any process has for a number."""


def test_a_lock_is_kept_while_its_cli_runs(tmp_path: Path) -> None:
    cli = tmp_path / "pulumi"
    cli.write_text("#!/bin/sh\necho\nread -r line\n")
    cli.chmod(0o755)

    pipe = subprocess.PIPE
    with subprocess.Popen([cli], stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        process.stdout.readline()  # by now it has its name
        assert _may_run(HERE, str(process.pid))

    assert not _may_run(HERE, str(process.pid))


def test_a_lock_of_another_machine_is_kept() -> None:
    assert _may_run("elsewhere", NOBODY)


def test_a_lock_whose_number_another_program_has_is_nobodys() -> None:
    assert not _may_run(HERE, str(os.getpid()))


def test_a_lock_of_a_process_that_is_hidden_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With ProtectProc=invisible others' processes are not in /proc."""

    def kill(_: int, __: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.kill", kill)

    assert _may_run(HERE, NOBODY)
