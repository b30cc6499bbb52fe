"""Each route is told once in a pipe, and with its worker on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import threading

from tests.e2e.person import Person

PREVIEW = ("pulumi", "preview", "--suppress-outputs", "--suppress-progress")


def test_in_a_pipe_each_new_route_is_told_once(person: Person) -> None:
    told = person.does(" ".join(PREVIEW)).text

    assert [told.count(f"_10.200.{n}.0/24 create") for n in range(3)] == [1, 1, 1]
    assert "worker-" not in told


def test_on_a_terminal_each_route_is_told_with_its_worker(person: Person) -> None:
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                seen.append(chunk)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run(
        PREVIEW,
        cwd=person.workspace.path,
        env={**person.workspace.environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    reader.join()
    os.close(ours)

    assert all(f"worker-{n}".encode() in b"".join(seen) for n in range(3))
