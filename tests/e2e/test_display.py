"""Each route is shown once in a pipe, and with its worker on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import threading

from tests.e2e.cli_user import CliUser

PREVIEW = ("pulumi", "preview", "--suppress-outputs", "--suppress-progress")


def test_in_a_pipe_each_new_route_is_shown_once(user: CliUser) -> None:
    text = user.does(" ".join(PREVIEW)).text

    assert [text.count(f"_10.200.{n}.0/24 create") for n in range(3)] == [1, 1, 1]
    assert "worker-" not in text


def test_on_a_terminal_each_route_is_shown_with_its_worker(user: CliUser) -> None:
    controller, terminal = pty.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(controller, 4096):
                chunks.append(chunk)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run(
        PREVIEW,
        cwd=user.workspace.path,
        env={**user.workspace.environment, "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        check=True,
    )
    os.close(terminal)
    reader.join()
    os.close(controller)

    assert all(f"worker-{n}".encode() in b"".join(chunks) for n in range(3))
