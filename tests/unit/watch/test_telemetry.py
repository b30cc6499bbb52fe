"""The server of --listen, and the notifications of systemd."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from routes.watch import telemetry


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(telemetry._Handler, "timeout", 1)  # noqa: SLF001
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    telemetry.serve("127.0.0.1", number, telemetry.Telemetry(1))
    return number


def test_idle_connections_are_closed_and_the_next_is_served(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    try:
        began = time.monotonic()
        for each in idle:
            each.settimeout(30)
            assert each.recv(1) == b""
        assert time.monotonic() - began < 20
    finally:
        for each in idle:
            each.close()

    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"pod_routes_reconcile_total" in answer.read()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_notified_at_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_abstract: bool
) -> None:
    """ "@" stands for a null byte (sd_notify(3))."""
    name = f"@{tmp_path}" if is_abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))

        telemetry.notify_systemd("READY=1")

        assert manager.recv(100) == b"READY=1"


def test_without_systemd_there_is_no_notification(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    telemetry.notify_systemd("READY=1")
