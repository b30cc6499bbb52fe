"""A control plane beside a sandbox that outlives its starter, until that stops."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from sandbox import TOP
from sandbox.ec2.client import Sandbox
from sandbox.kube.control_plane import ControlPlane
from sandbox.kube.process import ProcessError
from sandbox.lab import pod_cidr
from sandbox.programs import ProgramError


def start(running: Path) -> subprocess.Popen[str]:
    """Start the control plane in a process of its own, and wait until it is ready.

    Args:
        running: a file with the environment of the sandbox and the ids of its lab. The
            administrator's kubeconfig is written where KUBECONFIG names it.

    Raises:
        ProcessError: it didn't start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.kube.background", str(running)],
        cwd=TOP,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    assert process.stdout  # noqa: S101 - it is a pipe
    with process.stdout as output:
        problem = output.read().strip()
    if problem:
        process.wait()
        raise ProcessError(problem)
    return process


def main(running: Path) -> None:
    """Run the control plane; print nothing, and close the output when it is ready."""
    values = json.loads(running.read_text())
    environment = values["environment"]
    endpoint = environment["AWS_ENDPOINT_URL"]
    address = urlsplit(endpoint)
    ec2 = Sandbox.at(endpoint).client("ec2")
    with (
        socket.create_connection((address.hostname, address.port)) as connection,
        ControlPlane() as control_plane,
    ):
        for index, (name, instance_id) in enumerate(values["lab"]["workers"].items()):
            cidr = pod_cidr(index)  # that of its user data
            control_plane.join(ec2, name, instance_id, [cidr])
        shutil.copy(control_plane.kubeconfig, environment["KUBECONFIG"])
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
            os.dup2(nothing.fileno(), sys.stderr.fileno())
        connection.recv(1)  # until the sandbox's server ends


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (ProgramError, ProcessError) as error:
        sys.exit(str(error))
