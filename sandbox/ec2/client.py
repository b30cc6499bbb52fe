"""A running sandbox, seen from the process that uses it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
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
"""Past any proxy: the sandbox is on this machine."""
_START_SECONDS: Final = 30


class Sandbox:
    """AWS on this machine, for as long as the `with` block runs."""

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @classmethod
    def at(cls, endpoint: str) -> Self:
        """Return a sandbox that runs already."""
        sandbox = cls()
        sandbox.endpoint = endpoint
        return sandbox

    def start(self, *, outlive: bool = False) -> int:
        """Start the server, wait until it listens, and return its process id."""
        with tempfile.TemporaryDirectory(prefix="pod-routes-") as folder:
            port_file = Path(folder) / "port"
            command = [sys.executable, "-m", "sandbox.ec2.server", str(port_file)]
            command += ["--latency", str(self._latency)]
            if not outlive:
                command += ["--parent", str(os.getpid())]
            self._process = subprocess.Popen(
                command,
                cwd=TOP,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if not outlive else subprocess.DEVNULL,
                start_new_session=True,
            )
            end = time.monotonic() + _START_SECONDS
            while not port_file.exists():
                if self._process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError("the sandbox's server did not start")
                time.sleep(0.02)
            self.endpoint = f"http://127.0.0.1:{port_file.read_text()}"
        return self._process.pid

    def stop(self) -> None:
        """End the server that this object started."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead every AWS client here, and nowhere else."""
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
        """Return a boto3 client of the root user, whom no fault hits: for the truth."""
        return self._session.client(service, endpoint_url=self.endpoint, config=_DIRECT)  # type: ignore[call-overload]

    def control(self, control: Control) -> None:
        """Set every control at once; those not named go back to their default.

        Calls that a fault holds back are carried out before this returns.
        """
        self._request("PUT", json.dumps(asdict(control)).encode())

    def calls(self) -> list[Call]:
        """Return every call since the last `clear_calls`, oldest first."""
        found = [Call(**call) for call in json.loads(self._request("GET"))]
        return sorted(found, key=lambda call: call.seconds)

    def count(self) -> Counter[str]:
        """Return how often each action was called."""
        return Counter(call.action for call in self.calls())

    def clear_calls(self) -> None:
        """Forget the calls so far."""
        self._request("DELETE")

    def reset(self) -> None:
        """Make it an empty account again, without calls, faults or delay."""
        self.control(Control(latency=self._latency))  # what is held back ends first
        self._request("POST", path="/moto-api/reset")
        self.clear_calls()

    def save(self) -> int:
        """Keep what the accounts hold now, and return its number for `restore`."""
        return int(self._request("POST", path="/_sandbox/accounts"))

    def restore(self, saved: int) -> None:
        """Make the accounts what they were, without calls, faults or delay."""
        self.reset()
        self._request("POST", str(saved).encode(), path="/_sandbox/accounts")

    def end(self) -> None:
        """End a server that outlived its starter; one that is gone is no error."""
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
