"""A machine of fakes, and a server with the releases of programs."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

NOWHERE = "http://127.0.0.1:1"
"""A port that refuses every connection."""


class Server(ThreadingHTTPServer):
    """Serve files from memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cut_short = False
        self.requested: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.requested.append(name)
        content = self.server.files.get(name)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if content and self.command == "GET":
            cut = self.server.cut_short and name.endswith(".gz")
            self.wfile.write(content[: len(content) // 2] if cut else content)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Machine:
    """A machine whose PATH has only the commands that a test installs."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.bin.mkdir()
        self.log.touch()

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run the test on this machine, without a proxy."""
        for name in os.environ:
            if name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")

    def ran(self) -> list[str]:
        return self.log.read_text().splitlines()

    def install(self, name: str, script: str, folder: Path | None = None) -> Path:
        """Install a command that logs its arguments."""
        file = (folder or self.bin) / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.log}\n{script}\n')
        file.chmod(0o755)
        return file
