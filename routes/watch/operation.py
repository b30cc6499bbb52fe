"""How a watcher is operated: log lines, metrics and a health check."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
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
from routes.watch.judgement import Verdict

_LOOKS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_UPDATES: Final = (1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Upper bounds of the buckets, in seconds."""


_MOST_CONNECTIONS: Final = 64
_IDLE: Final = 5


def log(style: str) -> None:
    """Write log lines to stdout, as `text` or as `json`; a terminal gets text."""
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


class Gauges:
    """What is counted, named by the conventions of Prometheus, and whether all is well.

    It is while a look that did not fail is not long past, and no update hangs.
    """

    def __init__(self, interval: float) -> None:
        """Start at nought.

        Args:
            interval: seconds from one look to the next.
        """
        self.registry = CollectorRegistry()
        self._patience = 3 * interval + 60
        self._well_until = time.monotonic() + self._patience

        def counter(name: str, help_: str) -> Counter:
            return Counter(name, help_, ["result"], registry=self.registry)

        def gauge(name: str, help_: str) -> Gauge:
            return Gauge(name, help_, registry=self.registry)

        self._looks = counter("pod_routes_looks", "Looks at EC2.")
        self._updates = counter("pod_routes_updates", "Updates of the stack.")
        self._look = Histogram(
            "pod_routes_look_duration_seconds",
            "Time that a look took.",
            buckets=_LOOKS,
            registry=self.registry,
        )
        self._update = Histogram(
            "pod_routes_update_duration_seconds",
            "Time that an update took.",
            buckets=_UPDATES,
            registry=self.registry,
        )
        self._workers = gauge("pod_routes_workers", "Workers that get routes.")
        self._waiting = gauge("pod_routes_waiting", "Workers that get no route yet.")
        self._warnings = gauge("pod_routes_warnings", "Warnings of the plan.")
        self._wanted = gauge("pod_routes_wanted", "Routes that the plan asks for.")
        self._in_place = gauge("pod_routes_in_place", "Those of them that stand.")
        self._faults = gauge("pod_routes_faults", "Why the plan is refused.")
        self._success = gauge(
            "pod_routes_last_success_timestamp_seconds",
            "When plan, state and tables agreed last.",
        )

    @property
    def is_well(self) -> bool:
        """Whether the last look is fresh, and did not fail."""
        return time.monotonic() < self._well_until

    @contextmanager
    def look(self) -> Iterator[None]:
        """Time a look; `show` counts it unless it fails."""
        try:
            with self._look.time():
                yield
        except LookupFailedError:
            self._looks.labels("failed").inc()
            self._well_until = 0
            raise
        self._well_until = time.monotonic() + self._patience

    @contextmanager
    def update(self) -> Iterator[None]:
        """Time an update, and count how it ended."""
        self._well_until = time.monotonic() + HANGING
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
            self._well_until = time.monotonic() + self._patience

    def show(self, verdict: Verdict) -> None:
        """Count a look by what it found, and show that."""
        if verdict.is_destroyed:
            self._looks.labels("destroyed").inc()
            return
        faults = verdict.refusal.faults if verdict.refusal else verdict.faults
        self._faults.set(len(faults))
        if verdict.refusal:
            self._looks.labels("refused").inc()
            return
        is_due = bool(verdict.changes or verdict.deferred)
        result = "due" if is_due else "held_back" if faults else "quiet"
        self._looks.labels(result).inc()
        if verdict.interrupted or verdict.created:
            return
        self._workers.set(verdict.workers)
        self._waiting.set(verdict.waiting)
        self._warnings.set(len(verdict.warnings))
        self._wanted.set(verdict.wanted)
        self._in_place.set(verdict.in_place)
        if verdict.is_quiet:
            self._success.set_to_current_time()


def serve(host: str, port: int, gauges: Gauges) -> None:
    """Answer at /metrics and /healthz for as long as this process lives.

    Raises:
        RoutesError: the address is not to be had.
    """
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(gauges.registry)

    def answer(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if request["PATH_INFO"] == "/metrics":
            return metrics(request, start)
        status, text = "404 Not Found", "Here are /metrics and /healthz.\n"
        if request["PATH_INFO"] == "/healthz":
            status, text = "200 OK", "The last look is fresh, and did not fail.\n"
            if not gauges.is_well:
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


def leave(code: int) -> NoReturn:
    """End this process although a thread hangs; Python's own end waits for it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Server(ThreadingWSGIServer):
    """A server with a limited number of connections, so of threads and files."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - the server's own
        self._room = BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(*arguments)

    def verify_request(self, *_: object) -> bool:
        """Refuse a connection beyond the limit."""
        return self._room.acquire(blocking=False)

    def process_request_thread(self, *arguments: Any) -> None:  # noqa: ANN401
        """Count the connection out at its end."""
        try:
            super().process_request_thread(*arguments)
        finally:
            self._room.release()

    def handle_error(self, *_: object) -> None:
        """Write no traceback for a connection that timed out or broke."""


class _Handler(WSGIRequestHandler):
    timeout = _IDLE
    """Seconds without a request after which a connection is closed."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Write no line for a request."""
