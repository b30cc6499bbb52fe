"""Log lines, metrics and the health check of a watcher."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore, Thread
from typing import Any, Final, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    make_wsgi_app,
)
from prometheus_client.exposition import ThreadingWSGIServer
from pythonjsonlogger.json import JsonFormatter

from routes.engine.updates import LockedError
from routes.errors import LookupFailedError, RoutesError
from routes.watch.deadlines import HANGING
from routes.watch.diff import Diff

_RECONCILE_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_UPDATE_BUCKETS: Final = (1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""The upper bounds of the buckets, in seconds."""
_MAX_CONNECTIONS: Final = 64
_IDLE: Final = 5


def configure_logging(style: str) -> None:
    """Write log lines to stdout, as text or JSON; `auto` is text on a terminal."""
    handler = logging.StreamHandler(sys.stdout)
    if style == "text" or (style == "auto" and sys.stdout.isatty()):
        formatter = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    else:
        formatter = JsonFormatter(
            "%(levelname)s %(message)s",
            timestamp="time",
            rename_fields={"levelname": "level"},
        )
    handler.setFormatter(formatter)
    ours = logging.getLogger("routes")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)


class Telemetry:
    """The watcher's metrics, named by the conventions of Prometheus, and its health.

    It is healthy while the last poll is recent and succeeded, and no update hangs.
    """

    def __init__(self, interval: float) -> None:
        """Start at zero.

        Args:
            interval: seconds from one poll to the next.
        """
        self.registry = CollectorRegistry()
        self._patience = 3 * interval + 60
        self._healthy_until = time.monotonic() + self._patience

        def counter(name: str, help_: str) -> Counter:
            return Counter(name, help_, ["result"], registry=self.registry)

        def gauge(name: str, help_: str) -> Gauge:
            return Gauge(name, help_, registry=self.registry)

        def duration(name: str, help_: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, help_, buckets=buckets, registry=self.registry)

        self._reconciles = counter("pod_routes_reconcile", "Reconciliations.")
        self._updates = counter("pod_routes_updates", "Updates of the stack.")
        self._reconcile = duration(
            "pod_routes_reconcile_duration_seconds",
            "Duration of a reconciliation, without its update.",
            _RECONCILE_BUCKETS,
        )
        self._update = duration(
            "pod_routes_update_duration_seconds",
            "Duration of an update.",
            _UPDATE_BUCKETS,
        )
        self._workers = gauge("pod_routes_workers", "Workers in the plan.")
        self._pending = gauge("pod_routes_workers_pending", "Workers not ready yet.")
        self._desired = gauge("pod_routes_routes_desired", "Routes in the plan.")
        self._in_place = gauge(
            "pod_routes_routes_in_place", "Desired routes with the right target."
        )
        self._warnings = gauge("pod_routes_warnings", "Warnings of the plan.")
        self._faults = gauge("pod_routes_faults", "Faults of the plan.")
        self._success = gauge(
            "pod_routes_last_success_timestamp_seconds",
            "When plan, state and tables last agreed.",
        )

    @property
    def is_healthy(self) -> bool:
        """Whether the last poll is recent and succeeded."""
        return time.monotonic() < self._healthy_until

    @contextmanager
    def reconcile(self) -> Iterator[None]:
        """Time a poll; `show` counts it unless it fails."""
        try:
            with self._reconcile.time():
                yield
        except LookupFailedError:
            self._reconciles.labels("failed").inc()
            self._healthy_until = 0
            raise
        self._healthy_until = time.monotonic() + self._patience

    @contextmanager
    def update(self) -> Iterator[None]:
        """Time an update, and count its result."""
        self._healthy_until = time.monotonic() + HANGING
        result = "failed"
        try:
            with self._update.time():
                yield
            result = "succeeded"
        except LockedError:
            result = "locked"
            raise
        finally:
            self._updates.labels(result).inc()
            self._healthy_until = time.monotonic() + self._patience

    def show(self, diff: Diff) -> None:
        """Count a reconciliation by its result, and set the gauges."""
        if diff.is_destroyed:
            self._reconciles.labels("destroyed").inc()
            return
        faults = diff.refusal.faults if diff.refusal else diff.faults
        self._faults.set(len(faults))
        if diff.refusal:
            self._reconciles.labels("refused").inc()
            return
        is_due = bool(diff.changes or diff.deferred)
        result = "out_of_sync" if is_due else "blocked" if faults else "in_sync"
        self._reconciles.labels(result).inc()
        if diff.is_recovery:
            return
        self._workers.set(diff.workers)
        self._pending.set(diff.pending_workers)
        self._warnings.set(len(diff.warnings))
        self._desired.set(diff.desired)
        self._in_place.set(diff.in_place)
        if diff.is_in_sync:
            self._success.set_to_current_time()


def serve(host: str, port: int, telemetry: Telemetry) -> None:
    """Serve /metrics and /healthz as long as this process lives.

    Raises:
        RoutesError: the address is not available.
    """
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(telemetry.registry)

    def answer(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if request["PATH_INFO"] == "/metrics":
            return metrics(request, start)
        status, text = "404 Not Found", "See /metrics and /healthz.\n"
        if request["PATH_INFO"] == "/healthz":
            status, text = "200 OK", "The last poll is recent and succeeded.\n"
            if not telemetry.is_healthy:
                status, text = "503 Service Unavailable", "See the log.\n"
        start(status, [("Content-Type", "text/plain")])
        return [text.encode()]

    try:
        server = make_server(host, port, answer, _Server, _Handler)
    except OSError as error:
        raise RoutesError(f"--listen {host}:{port}: {error.strerror}.") from None
    Thread(target=server.serve_forever, daemon=True).start()


def notify_systemd(state: str) -> None:
    """Notify systemd, if it started this process, as sd_notify(3) does.

    Args:
        state: READY=1 or WATCHDOG=1.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect(re.sub("^@", "\0", address))
            manager.sendall(state.encode())


def exit_now(code: int) -> NoReturn:
    """Exit even if a thread hangs, which Python's own exit would wait for."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Server(ThreadingWSGIServer):
    """A server that limits its connections, and so its threads and files."""

    daemon_threads = True
    request_queue_size = _MAX_CONNECTIONS

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - the server's own
        self._slots = BoundedSemaphore(_MAX_CONNECTIONS)
        super().__init__(*arguments)

    def verify_request(self, *_: object) -> bool:
        """Refuse a connection beyond the limit."""
        return self._slots.acquire(blocking=False)

    def process_request_thread(self, *arguments: Any) -> None:  # noqa: ANN401
        """Free the slot when the connection ends."""
        try:
            super().process_request_thread(*arguments)
        finally:
            self._slots.release()

    def handle_error(self, *_: object) -> None:
        """Write no traceback for a connection that timed out or broke."""


class _Handler(WSGIRequestHandler):
    timeout = _IDLE
    """Seconds without a request after which a connection is closed."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Write no line for a request."""
