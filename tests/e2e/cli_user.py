"""Real `pulumi` and `python -m routes` commands, run in the lab."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from sandbox import lab as labs
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

LAB = {
    "aws:region": "us-east-1",
    "pod-routes:routeTables": "kubernetes",
    "pod-routes:workers": ["worker-0", "worker-1", "worker-2"],
    "pod-routes:clusterCidr": "10.200.0.0/16",
}
"""The configuration of Pulumi.dev.yaml."""


@dataclass(frozen=True)
class Outcome:
    """The output of one command, and its exit code."""

    code: int
    text: str

    def changes(self) -> dict[str, int]:
        """Return the counts of the summary: created, updated, deleted, unchanged ..."""
        summary = self.text.rpartition("Resources:")[2].partition("Duration")[0]
        counts = re.findall(r"(\d+) (?:to )?([a-z]+)", summary)
        return {verb.removesuffix("d"): int(count) for count, verb in counts}


class CliUser:
    """A user of the command lines, with the lab and a workspace.

    `attached` are the variables that lead commands to a running provider.
    """

    def __init__(
        self,
        workspace: Workspace,
        ec2: EC2Client,
        lab: labs.Lab,
        attached: Mapping[str, str],
    ) -> None:
        self.workspace = workspace
        self.ec2 = ec2
        self.lab = lab
        self.attached = attached

    def configure(self, **values: object) -> None:
        """Write the stack's file: the lab's configuration with these changes."""
        ours = {f"pod-routes:{key}": value for key, value in values.items()}
        config = {k: v for k, v in (LAB | ours).items() if v is not None}
        file = self.workspace.path / "Pulumi.dev.yaml"
        salt = re.search(r"^encryptionsalt: .*$", file.read_text(), re.MULTILINE)
        self.workspace.configure("dev", config)
        if salt:
            file.write_text(f"{salt[0]}\n{file.read_text()}")

    def grow(self, count: int) -> None:
        """Start workers up to this number, and configure a route for each."""
        for index in range(len(self.lab.workers), count):
            labs.add_worker(
                self.ec2,
                self.lab,
                f"worker-{index}",
                address=f"10.0.2.{index + 10}",
                user_data=labs.user_data(index),
            )
        self.configure(workers="worker-*", minWorkers=count)

    def runs(self, *words: str, **extra: str) -> Outcome:
        """Run one command, whatever its exit code.

        If `extra` overrides AWS variables, the engine starts a provider with them.
        """
        environment = self.workspace.environment
        needs_provider = any(
            n.startswith("AWS_") and environment.get(n) != v for n, v in extra.items()
        )
        provider = {} if needs_provider else self.attached
        completed = self.workspace.run(*words, extra={**provider, **extra})
        return Outcome(completed.returncode, completed.stdout)

    def types(self, command: str, **extra: str) -> Outcome:
        """Run one command that contains no quotes, whatever its exit code."""
        return self.runs(*command.split(), **extra)

    def pastes(self, line: str, **extra: str) -> Outcome:
        """Run one line in a shell; it must succeed."""
        outcome = self.runs("bash", "-c", line, **extra)
        assert outcome.code == 0, outcome.text
        return outcome

    def does(self, command: str, **extra: str) -> Outcome:
        """Run one command that must succeed."""
        outcome = self.types(command, **extra)
        assert outcome.code == 0, outcome.text
        return outcome

    def is_refused(self, command: str, **extra: str) -> str:
        """Run one command that must fail without changing a route; return its output.

        The output is on one line.
        """
        before = self.routes()
        outcome = self.types(command, **extra)
        assert outcome.code != 0, outcome.text
        assert "Traceback" not in outcome.text, outcome.text
        assert self.routes() == before
        return " ".join(outcome.text.split())

    def begins(self, command: str) -> subprocess.Popen[bytes]:
        """Start one command in the background, in a session of its own."""
        return subprocess.Popen(
            command.split(),
            cwd=self.workspace.path,
            env=self.workspace.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def routes(self, table_id: str | None = None) -> labs.Routes:
        """Read the table from EC2, without the program and the engine."""
        return labs.routes(self.ec2, table_id or self.lab.table_id)

    def pod_routes(self, table_id: str | None = None) -> dict[str, str]:
        """Return the interface of each destination in the cluster's range."""
        return {
            destination: str(route.get("NetworkInterfaceId"))
            for destination, route in self.routes(table_id).items()
            if destination.startswith(("10.200.", "fd00:200:"))
        }

    def interface(self, worker: str) -> str:
        """Return the interface of one of the lab's first workers."""
        return labs.interface_of(self.ec2, self.lab.workers[worker])

    def desired(self) -> dict[str, str]:
        """Return the routes of the lab's configuration: destination to interface."""
        return {
            labs.pod_cidr(index): self.interface(name)
            for index, name in enumerate(self.lab.workers)
        }

    def state(self) -> list[dict[str, Any]]:
        """Return the stack's resources."""
        exported = json.loads(self.does("pulumi stack export").text)
        resources: list[dict[str, Any]] = exported["deployment"].get("resources", [])
        return resources

    def outputs(self) -> Mapping[str, Any]:
        """Return the stack's outputs."""
        outputs: Mapping[str, Any] = json.loads(
            self.does("pulumi stack output --json").text
        )
        return outputs


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command with all its descendants, as a power loss does."""
    parent = psutil.Process(process.pid)
    parent.suspend()  # so that it starts no more
    every = [parent, *parent.children(recursive=True)]
    for each in every:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(every[1:])
    assert process.wait() == -signal.SIGKILL
