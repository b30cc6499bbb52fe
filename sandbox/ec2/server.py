"""The server: moto with EC2's rules, behind a layer that tests control.

The layer logs, delays, fails, throttles and falsifies calls. `/_sandbox` on the same
port controls it, in JSON; `/_sandbox/end` ends the process.
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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
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
"""EC2's answer to a dry run that nothing refuses (API, `DryRun`)."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call; `seconds` since the epoch when it arrived, status 0 for no answer."""

    service: str
    action: str
    seconds: float
    status: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault in the calls of one action: delayed, failed, or answered wrongly.

    The first fault that matches a call applies; none applies to `DIRECT_KEY`.

    Attributes:
        match: only calls with this text in one of their parameters.
        unless: only calls with this text in none of their parameters.
        code, message: the AWS error to answer with; no code for a mere delay.
        times: the number of calls that it applies to, -1 for all.
        rate: the share of calls that it applies to.
        delay: seconds before the call is carried out. Setting the controls again ends
            the delay; the call is carried out even if its caller has disconnected.
        reset: break the connection instead of carrying the call out.
        lost: carry the call out, then break the connection instead of answering.
        html: the page with which a proxy answers, status 200, instead of AWS.
        unlisted: instances that DescribeInstances leaves out.
        bare: instances that DescribeInstances lists without their interfaces.
        stale: DescribeRouteTables lists the routes of so many seconds ago, or of the
            time when such a fault was first set if that is later.
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

    def matches(self, request: iam.Request) -> bool:
        """Return whether the fault applies to a request."""
        values = request.parameters.values()
        return (
            self.action in {request.action, "*"}
            and any(self.match in each for each in values)
            and not (self.unless and any(self.unless in each for each in values))
        )


_NO_FAULT: Final = Fault(action="")
_CARRIED_OUT_SECONDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Control:
    """The settings of the layer; a test sets all at once.

    Attributes:
        latency: seconds added to each call.
        quota: routes per route table and IP family.
        launched: the age in seconds of an instance when it is launched or started.
        throttle: whether EC2's calls are throttled as EC2 does it.
        iam: whether calls of EC2 and STS need the permissions of IAM policies.
    """

    latency: float = 0.0
    quota: int = rules.DEFAULT_QUOTA
    launched: float = rules.LAUNCHED
    faults: tuple[Fault, ...] = ()
    throttle: bool = False
    iam: bool = False


class _Controls:
    """The current settings, and what is counted since they were set."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.stale = max((fault.stale for fault in control.faults), default=0.0)
        self._hits: Counter[int] = Counter()
        self._chance = random.Random(0)  # noqa: S311 - repeatable, not secret
        self._throttle = Throttle()
        self._changed = threading.Condition()
        self._delayed = 0
        self._ended = False

    def fault(self, request: iam.Request) -> Fault:
        """Return the fault that applies to a request, and count it."""
        if request.access_key == iam.DIRECT_KEY:
            return _NO_FAULT
        with self._changed:
            for number, fault in enumerate(self.control.faults):
                if (
                    fault.matches(request)
                    and (fault.times < 0 or self._hits[number] < fault.times)
                    and self._chance.random() < fault.rate
                ):
                    self._hits[number] += 1
                    return fault
        return _NO_FAULT

    def refusal(self, request: iam.Request, fault: Fault) -> iam.Refusal | None:
        """Return the error with which to answer a request, or None."""
        if fault.code:
            return iam.Refusal(fault.code, fault.status, fault.message)
        if (
            self.control.throttle
            and request.service == "ec2"
            and not self._throttle.take(request.action, request.parameters)
        ):
            return iam.Refusal("RequestLimitExceeded", 503, "Request limit exceeded.")
        refused = None
        if self.control.iam and request.service in {"ec2", "sts"}:
            refused = iam.refusal(request)
        if not refused and request.parameters.get("DryRun") == "true":
            return _DRY_RUN
        return refused

    @contextmanager
    def delay(self, seconds: float) -> Iterator[None]:
        """Wait, until the settings end at the latest; then carry the call out."""
        with self._changed:
            self._delayed += 1
            self._changed.wait_for(lambda: self._ended, seconds)
        try:
            yield
        finally:
            with self._changed:
                self._delayed -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Release all delayed calls, and wait until they are carried out."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._delayed, _CARRIED_OUT_SECONDS)


class Layer:
    """The layer in front of moto."""

    def __init__(self, application: Application, control: Control) -> None:
        self._application = application
        self._controls = _Controls(control)
        self._calls: list[Call] = []
        self._saves: list[bytes] = []
        self._histories: dict[str, answers.History] = {}

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ["PATH_INFO"]
        answer: Response | None
        if path == "/_sandbox":
            answer = self._control(environ["REQUEST_METHOD"], body)
        elif path == "/_sandbox/accounts":
            answer = self._save_or_restore(body)
        elif path == "/_sandbox/end":
            threading.Timer(0.1, os._exit, (0,)).start()
            answer = Response()
        elif path.startswith("/moto-api"):
            answer = self._moto(environ)
        else:
            answer = self._call(_request(environ, body), environ)
        if answer is None:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        return answer(environ, start)

    def _control(self, method: str, body: bytes) -> Response:
        """Return the calls so far; PUT sets the controls, DELETE clears the calls."""
        calls = json.dumps([asdict(call) for call in self._calls])
        if method == "DELETE":
            self._calls.clear()
        if method == "PUT":
            values = json.loads(body)
            faults = tuple(Fault(**fault) for fault in values.pop("faults"))
            control = Control(**values, faults=faults)
            before, self._controls = self._controls, _Controls(control)
            if not self._controls.stale:
                self._histories.clear()
            rules.quota = control.quota
            rules.launched = control.launched
            before.end()
        return Response(calls, mimetype="application/json")

    def _save_or_restore(self, number: bytes) -> Response:
        """Restore the accounts that were saved under a number; without one, save."""
        if number:
            accounts.restore(self._saves[int(number)])
        else:
            self._saves.append(accounts.save())
            number = str(len(self._saves) - 1).encode()
        return Response(number)

    def _call(self, request: iam.Request, environ: Environ) -> Response | None:
        """Answer a call of AWS, and log it."""
        arrived = time.time()
        status = 0
        try:
            answer = self._answer(request, environ)
            status = answer.status_code if answer else 0
        finally:
            call = Call(
                service=request.service,
                action=request.action,
                seconds=arrived,
                status=status,
            )
            self._calls.append(call)
        return answer

    def _answer(self, request: iam.Request, environ: Environ) -> Response | None:
        """Carry a call out, or refuse it; None breaks the connection."""
        time.sleep(self._controls.control.latency)
        controls = self._controls
        fault = controls.fault(request)
        with controls.delay(fault.delay):
            if fault.reset:
                return None
            if fault.html:
                return Response(fault.html, mimetype="text/html")
            refusal = controls.refusal(request, fault)
            if refusal:
                answer = _error(request.service, refusal)
            else:
                answer = self._carry_out(request, environ, fault, controls.stale)
            return None if fault.lost else answer

    def _carry_out(
        self, request: iam.Request, environ: Environ, fault: Fault, keep: float
    ) -> Response:
        """Let moto carry a call out; keep the routes of the last `keep` seconds."""
        history = self._histories.setdefault(request.region, answers.History())
        is_change = not request.action.startswith("Describe")
        if keep and request.service == "ec2" and is_change:
            tables = self._moto(answers.all_tables(environ))
            history.record(tables, keep)
        answer = self._moto(environ)
        if answer.status_code == HTTPStatus.OK:
            if request.action == "DescribeInstances":
                answers.leave_out(answer, unlisted=fault.unlisted, bare=fault.bare)
            if request.action == "DescribeRouteTables" and fault.stale:
                history.put_back(answer, fault.stale)
        return answer

    def _moto(self, environ: Environ) -> Response:
        return Response.from_app(self._application, environ, buffered=True)


def _request(environ: Environ, body: bytes) -> iam.Request:
    """Read the caller, the region and the service from the signature's scope."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    scope = re.search(r"Credential=([^/]+)/[^/]+/([^/]+)/([^/]+)/", header)
    key, region, service = scope.groups() if scope else ("", "", "?")
    values = parse_qs(body.decode("latin-1"))
    parameters = {name: first for name, (first, *_) in values.items()}
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
    """Keep connections open, as AWS does, and send answers at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *_: Any) -> None:
        """Log nothing; the layer does it."""


def _exit_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


@click.command()
@click.argument("listener", type=int)
@click.option("--latency", default=0.0, help="Seconds added to each call.")
@click.option("--parent", type=int, help="The parent process, with which to end.")
def main(listener: int, latency: float, parent: int | None) -> None:
    """Serve AWS on a listening socket, given by its file descriptor."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # each launch searches them
    rules.apply()
    if parent:
        threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    make_server(
        "127.0.0.1",
        0,
        Layer(
            DomainDispatcherApplication(create_backend_app), Control(latency=latency)
        ),
        threaded=True,
        request_handler=_Handler,
        fd=listener,
    ).serve_forever()


if __name__ == "__main__":
    main()
