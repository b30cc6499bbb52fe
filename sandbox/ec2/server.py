"""The server process: moto with EC2's rules, behind a layer that a test can control.

`python -m sandbox.ec2.server PORT_FILE`. The layer logs, delays, breaks, throttles and
falsifies calls; `/_sandbox` on the same port controls it, in JSON, and `/_sandbox/end`
ends it.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import click
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug import Response
from werkzeug.serving import WSGIRequestHandler, make_server

from sandbox.ec2 import accounts, answers, iam, rules
from sandbox.ec2.throttle import Throttle

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

_DRY_RUN: Final = iam.Refusal(
    "DryRunOperation", 412, "Request would have succeeded, but DryRun flag is set."
)
"""What every action of EC2 answers where nothing refuses it (API, `DryRun`)."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call; `seconds` since the epoch, when it came in; status 0 for no answer."""

    service: str
    action: str
    seconds: float
    status: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to calls of one action: before, instead of, or to their answer.

    A call is hit by the first fault that fits it; one with `DIRECT_KEY` by none.

    Attributes:
        match: only calls with this text in one of their parameters.
        unless: only calls with this text in none of their parameters.
        code, message: the AWS error to answer with; no code for a mere delay.
        times: how many calls it hits, -1 for all.
        rate: the share of calls that it hits.
        delay: seconds before the call is carried out. To set the controls again ends
            the delay; the call is carried out even if its caller is gone.
        reset: break the connection instead of carrying the call out.
        lost: carry the call out, then break the connection instead of answering.
        html: the page that a proxy answers with, status 200, instead of AWS.
        unlisted: instances whose rows DescribeInstances leaves out.
        bare: instances whose rows DescribeInstances gives without their interfaces.
        stale: DescribeRouteTables gives the routes as they were so many seconds ago;
            as they were when such a fault was first set, where that is later.
    """

    action: str
    match: str = ""
    unless: str = ""
    code: str = ""
    message: str = "injected"
    status: int = 400
    times: int = -1
    rate: float = 1.0
    delay: float = 0.0
    reset: bool = False
    lost: bool = False
    html: str = ""
    unlisted: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    stale: float = 0.0


_NO_FAULT: Final = Fault(action="")
_CARRIED_OUT_SECONDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Control:
    """What a test sets, whole, at once.

    Attributes:
        latency: seconds added to each call.
        quota: routes per route table and IP family.
        launched: how many seconds ago an instance is launched, or started, when it is.
        throttle: whether EC2's calls are throttled as EC2 does it.
        iam: whether EC2's and STS's calls need the rights that IAM policies give.
    """

    latency: float = 0.0
    quota: int = rules.DEFAULT_QUOTA
    launched: float = rules.LAUNCHED
    faults: tuple[Fault, ...] = ()
    throttle: bool = False
    iam: bool = False


class _Delays:
    """Calls that the faults of one `Control` hold back."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = 0
        self._ended = False

    @contextmanager
    def hold(self, seconds: float) -> Iterator[None]:
        """Wait so long, or until the delays end; then the call is carried out."""
        with self._changed:
            self._held += 1
            self._changed.wait_for(lambda: self._ended, seconds)
        try:
            yield
        finally:
            with self._changed:
                self._held -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Release all calls, and wait until they are carried out."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._held, _CARRIED_OUT_SECONDS)


class Layer:
    """The layer in front of moto."""

    def __init__(self, application: Application, control: Control) -> None:
        self._application = application
        self._control = control
        self._calls: list[Call] = []
        self._hits: dict[int, int] = {}
        self._throttle = Throttle()
        self._saves: list[bytes] = []
        self._pasts: defaultdict[str, answers.Past] = defaultdict(answers.Past)
        self._chance = random.Random(0)  # noqa: S311 - repeatable, not secret
        self._lock = threading.Lock()
        self._delays = _Delays()

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size) if size else b""
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ["PATH_INFO"]
        if path == "/_sandbox/end":
            threading.Timer(0.1, os._exit, (0,)).start()
            start("200 OK", [("Content-Length", "0")])
            return []
        if path == "/_sandbox":
            return self._controlled(environ["REQUEST_METHOD"], body, start)
        if path == "/_sandbox/accounts":
            return self._saved(body, start)
        if path.startswith("/moto-api"):
            return self._application(environ, start)
        parameters = {
            name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()
        }
        return self._call(_request(environ, parameters), environ, start)

    def _call(
        self, request: iam.Request, environ: Environ, start: StartResponse
    ) -> Iterable[bytes]:
        arrived = time.time()
        status = 0
        try:
            time.sleep(self._control.latency)
            answer = self._answer(request, environ)
            if answer is None:
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                return []
            status = answer.status_code
            return answer(environ, start)
        finally:
            call = Call(
                service=request.service,
                action=request.action,
                seconds=arrived,
                status=status,
            )
            with self._lock:
                self._calls.append(call)

    def _answer(self, request: iam.Request, environ: Environ) -> Response | None:
        """Carry a call out, or refuse it; None to break the connection."""
        fault, delays = self._fault(request)
        if not fault.delay:
            return self._answered(request, environ, fault)
        with delays.hold(fault.delay):
            return self._answered(request, environ, fault)

    def _answered(
        self, request: iam.Request, environ: Environ, fault: Fault
    ) -> Response | None:
        if fault.reset:
            return None
        if fault.html:
            return Response(fault.html, mimetype="text/html")
        refusal = self._refusal(request, fault)
        if refusal:
            answer = _error(request.service, refusal)
        else:
            answer = self._carried_out(request, environ, fault)
        return None if fault.lost else answer

    def _carried_out(
        self, request: iam.Request, environ: Environ, fault: Fault
    ) -> Response:
        stalest = max(fault.stale, 0, *(each.stale for each in self._control.faults))
        if request.service != "ec2" or not stalest:
            answer = self._moto(environ)
        else:
            with self._lock:
                past = self._pasts[request.region]
            before = dict(environ)

            def tables() -> Response:
                return self._moto(answers.all_tables(before))

            past.begin(tables)
            answer = self._moto(environ)
            if not request.action.startswith("Describe"):
                past.record(tables, keep=stalest)
        if answer.status_code == HTTPStatus.OK:
            if request.action == "DescribeInstances":
                answers.leave_out(answer, unlisted=fault.unlisted, bare=fault.bare)
            if request.action == "DescribeRouteTables" and fault.stale:
                past.put_back(answer, fault.stale)
        return answer

    def _moto(self, environ: Environ) -> Response:
        return Response.from_app(self._application, environ, buffered=True)

    def _fault(self, request: iam.Request) -> tuple[Fault, _Delays]:
        if request.access_key == iam.DIRECT_KEY:
            return _NO_FAULT, self._delays
        values = request.parameters.values()
        with self._lock:
            for place, fault in enumerate(self._control.faults):
                hits = self._hits.get(place, 0)
                if (
                    fault.action in {request.action, "*"}
                    and any(fault.match in one for one in values)
                    and not (
                        fault.unless and any(fault.unless in one for one in values)
                    )
                    and (fault.times < 0 or hits < fault.times)
                    and self._chance.random() < fault.rate
                ):
                    self._hits[place] = hits + 1
                    return fault, self._delays
        return _NO_FAULT, self._delays

    def _refusal(self, request: iam.Request, fault: Fault) -> iam.Refusal | None:
        if fault.code:
            return iam.Refusal(fault.code, fault.status, fault.message)
        if (
            self._control.throttle
            and request.service == "ec2"
            and not self._throttle.take(request.action, request.parameters)
        ):
            return iam.Refusal("RequestLimitExceeded", 503, "Request limit exceeded.")
        refused = None
        if self._control.iam and request.service in {"ec2", "sts"}:
            refused = iam.refusal(request)
        if not refused and request.parameters.get("DryRun") == "true":
            return _DRY_RUN
        return refused

    def _controlled(
        self, method: str, body: bytes, start: StartResponse
    ) -> Iterable[bytes]:
        """Answer the calls so far; PUT sets the controls, DELETE forgets the calls."""
        before = self._delays
        with self._lock:
            answer = [asdict(call) for call in self._calls]
            if method == "DELETE":
                self._calls.clear()
            if method == "PUT":
                values = json.loads(body)
                faults = tuple(Fault(**fault) for fault in values.pop("faults", ()))
                self._control = replace(Control(**values), faults=faults)
                self._delays = _Delays()
                self._hits.clear()
                self._chance.seed(0)
                self._throttle = Throttle()
                if not any(fault.stale for fault in faults):
                    self._pasts.clear()
                rules.quota = self._control.quota
                rules.launched = self._control.launched
        if method == "PUT":
            before.end()
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    def _saved(self, number: bytes, start: StartResponse) -> Iterable[bytes]:
        """Put the accounts back as saved under a number; without one save them."""
        if number:
            accounts.restore(self._saves[int(number)])
        else:
            self._saves.append(accounts.save())
            number = str(len(self._saves) - 1).encode()
        start("200 OK", [("Content-Type", "text/plain")])
        return [number]


def _request(environ: Environ, parameters: Mapping[str, str]) -> iam.Request:
    """Read the caller, the region and the service out of the signature's scope."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    scope = re.search(r"Credential=([^/]+)/[^/]+/([^/]+)/([^/]+)/", header)
    key, region, service = scope.groups() if scope else ("", "", "?")
    return iam.Request(
        access_key=key,
        token=environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""),
        region=region,
        service=service,
        action=parameters.get("Action", "?"),
        parameters=parameters,
    )


def _error(service: str, refusal: iam.Refusal) -> Response:
    message = escape(refusal.message)
    error = f"<Error><Code>{refusal.code}</Code><Message>{message}</Message></Error>"
    if service == "ec2":
        text = f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>"
    else:
        text = f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"
    return Response(text, refusal.status, mimetype="text/xml")


class _Handler(WSGIRequestHandler):
    """Keep connections open, as AWS does, and answer without waiting for more."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *_: Any) -> None:
        """Leave the log to the layer."""


def _exit_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


@click.command()
@click.argument("port_file", type=click.Path(path_type=Path))
@click.option("--latency", default=0.0, help="Seconds added to each call.")
@click.option("--parent", type=int, help="The process to end with, its parent.")
def main(port_file: Path, latency: float, parent: int | None) -> None:
    """Serve AWS on a free port of the loopback interface."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # each launch searches them
    rules.apply()
    layer = Layer(
        DomainDispatcherApplication(create_backend_app), Control(latency=latency)
    )
    server = make_server("127.0.0.1", 0, layer, threaded=True, request_handler=_Handler)
    partial = port_file.with_suffix(".partial")
    partial.write_text(str(server.port))
    partial.replace(port_file)
    if parent:
        threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
