"""Whose lock may be dropped."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime

import pytest

from routes.engine.updates import _may_run

HERE = socket.gethostname()
NOW = datetime.now(UTC).isoformat(timespec="seconds")
THEN = "2001-01-01T00:00:00Z"
NOBODY = str(10**9)
"""More than any process has for a number."""


@pytest.mark.parametrize(
    ("host", "process", "since", "may"),
    [
        pytest.param(HERE, str(os.getpid()), NOW, True, id="it runs"),
        pytest.param(HERE, "1", NOW, True, id="another user's"),
        pytest.param(HERE, NOBODY, NOW, False, id="gone"),
        pytest.param(HERE, str(os.getpid()), THEN, False, id="its number is another's"),
        pytest.param("elsewhere", NOBODY, THEN, True, id="another machine's"),
    ],
)
def test_a_lock_is_kept_while_its_process_may_run(
    host: str, process: str, since: str, *, may: bool
) -> None:
    assert _may_run(host, process, since) is may


def test_what_this_machine_started_after_its_start_may_run() -> None:
    up = time.clock_gettime(time.CLOCK_BOOTTIME)
    started = datetime.fromtimestamp(time.time() - up + 2, UTC)

    assert _may_run(HERE, str(os.getpid()), started.isoformat(timespec="seconds"))
