"""The client of a local AWS: start, control and stop its server."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

import boto3
from botocore.config import Config

from sandbox import TOP
from sandbox.ec2.iam import DIRECT_KEY, ROOT_KEY
from sandbox.ec2.server import Call, Control

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

REGION: Final = "us-east-1"
_DIRECT: Final = Config(proxies={})
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Without a proxy: the server is on this machine."""


class Sandbox:
    """A local AWS, for as long as the `with` block runs."""

    def __init__(self, latency: float = 0.0) -> None:
        """Prepare a server; `latency` is seconds added to each call."""
        self._latency = latency
        self._process: subprocess.Popen[bytes] | None = None
        self._session = boto3.Session(
            aws_access_key_id=DIRECT_KEY,
            aws_secret_access_key="sandbox",
            region_name=REGION,
        )
        self.endpoint = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @classmethod
    def at(cls, endpoint: str) -> Self:
        """Return a sandbox whose server is already running."""
        sandbox = cls()
        sandbox.endpoint = endpoint
        return sandbox

    def start(self, *, outlive: bool = False) -> int:
        """Start the server, wait until it answers, and return its process id."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            command = [sys.executable, "-m", "sandbox.ec2.server"]
            command += [str(listener.fileno()), "--latency", str(self._latency)]
            if not outlive:
                command += ["--parent", str(os.getpid())]
            self._process = subprocess.Popen(
                command,
                cwd=TOP,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if outlive else None,
                start_new_session=True,
                pass_fds=[listener.fileno()],
            )
            self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._request("GET")
        return self._process.pid

    def stop(self) -> None:
        """Stop the server that this object started."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make every AWS client call this server alone."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @overload
    def client(self, service: Literal["ec2"]) -> EC2Client: ...
    @overload
    def client(self, service: Literal["iam"]) -> IAMClient: ...
    @overload
    def client(self, service: Literal["kms"]) -> KMSClient: ...
    @overload
    def client(self, service: Literal["s3"]) -> S3Client: ...
    @overload
    def client(self, service: Literal["sts"]) -> STSClient: ...
    def client(self, service: str) -> Any:
        """Return a boto3 client of the root user, to which no fault applies."""
        return self._session.client(service, endpoint_url=self.endpoint, config=_DIRECT)  # type: ignore[call-overload]

    def control(self, control: Control) -> None:
        """Set all controls at once; those not given return to their defaults.

        Calls that a fault delays are carried out before this returns.
        """
        self._request("PUT", json.dumps(asdict(control)).encode())

    def calls(self) -> list[Call]:
        """Return every call since the last `clear_calls`, oldest first."""
        calls = [Call(**call) for call in json.loads(self._request("GET"))]
        return sorted(calls, key=lambda call: call.seconds)

    def count(self) -> Counter[str]:
        """Return the number of calls of each action."""
        return Counter(call.action for call in self.calls())

    def clear_calls(self) -> None:
        """Clear the log of calls."""
        self._request("DELETE")

    def reset(self) -> None:
        """Empty the account, and clear the calls and the controls."""
        self.control(Control(latency=self._latency))  # ends delayed calls first
        self._request("POST", path="/moto-api/reset")
        self.clear_calls()

    def save(self) -> int:
        """Save the accounts, and return a number for `restore`."""
        return int(self._request("POST", path="/_sandbox/accounts"))

    def restore(self, saved: int) -> None:
        """Restore saved accounts, and clear the calls and the controls."""
        self.reset()
        self._request("POST", str(saved).encode(), path="/_sandbox/accounts")

    def end(self) -> None:
        """Stop a server that outlives its starter, if it is still running."""
        with contextlib.suppress(OSError):
            self._request("POST", path="/_sandbox/end")

    def _request(
        self, method: str, body: bytes | None = None, path: str = "/_sandbox"
    ) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the sandbox's own server
            self.endpoint + path, data=body, method=method
        )
        with _OPENER.open(request) as answer:
            content: bytes = answer.read()
            return content
