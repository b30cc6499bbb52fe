"""Real `pulumi` commands, each test with its own account, backend, home and stack."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.pulumi.engine import Engine, EngineError, ensure, heed_interrupts
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
PREFIX_LIST_ENTRIES = 5
"""What the foreign prefix list counts against the table's quota."""


@dataclass(frozen=True)
class Outcome:
    """What one command printed, and its exit code."""

    code: int
    text: str

    def changes(self) -> dict[str, int]:
        """Return the counts of the summary: created, updated, deleted, unchanged ..."""
        summary = self.text.rpartition("Resources:")[2]
        found = re.findall(r"(\d+) (?:to )?([a-z]+)", summary.partition("Duration")[0])
        return {verb.removesuffix("d"): int(count) for count, verb in found}


class Person:
    """Somebody who types `pulumi` commands at the lab."""

    def __init__(self, workspace: Workspace, ec2: EC2Client, lab: labs.Lab) -> None:
        self.workspace = workspace
        self.ec2 = ec2
        self.lab = lab

    def configure(self, **values: object) -> None:
        """Write the stack's file: the lab's configuration, and what differs."""
        ours = {f"pod-routes:{key}": value for key, value in values.items()}
        config = {k: v for k, v in (LAB | ours).items() if v is not None}
        file = self.workspace.path / "Pulumi.dev.yaml"
        salt = re.search(r"^encryptionsalt: .*$", file.read_text(), re.MULTILINE)
        self.workspace.configure("dev", config)
        if salt:
            file.write_text(f"{salt[0]}\n{file.read_text()}")

    def grow(self, count: int) -> None:
        """Start workers until the lab has so many, and want a route for each."""
        for index in range(len(self.lab.workers), count):
            labs.add_worker(
                self.ec2,
                self.lab,
                f"worker-{index}",
                address=f"10.0.2.{index + 10}",
                user_data=labs.user_data(index),
            )
        self.configure(workers="worker-*", minWorkers=count)

    def types(self, command: str, **extra: str) -> Outcome:
        """Run one command, whatever comes of it."""
        answer = self.workspace.run(*command.split(), extra=extra)
        return Outcome(answer.returncode, answer.stdout)

    def does(self, command: str, **extra: str) -> Outcome:
        """Run one command that must succeed."""
        outcome = self.types(command, **extra)
        assert outcome.code == 0, outcome.text
        return outcome

    def is_refused(self, command: str, **extra: str) -> str:
        """Run one command that must fail, and change nothing in AWS."""
        before = self.routes()
        outcome = self.types(command, **extra)
        assert outcome.code != 0, outcome.text
        assert "Traceback" not in outcome.text, outcome.text
        assert self.routes() == before
        return " ".join(outcome.text.split())

    def begins(self, command: str) -> subprocess.Popen[bytes]:
        """Start one command, in a session with all that it starts, and go on."""
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
        """Read the table back, past the program and the engine."""
        return labs.routes(self.ec2, table_id or self.lab.table_id)

    def pod_routes(self, table_id: str | None = None) -> dict[str, str]:
        """Return destination to interface, of the routes in the cluster's range."""
        return {
            destination: str(route.get("NetworkInterfaceId"))
            for destination, route in self.routes(table_id).items()
            if destination.startswith(("10.200.", "fd00:200:"))
        }

    def interface(self, worker: str) -> str:
        """Return the interface of one of the lab's first workers."""
        return labs.interface_of(self.ec2, self.lab.workers[worker])

    def wanted(self) -> dict[str, str]:
        """Return what the lab's configuration asks for."""
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
        found: Mapping[str, Any] = json.loads(
            self.does("pulumi stack output --json").text
        )
        return found


def kill(begun: subprocess.Popen[bytes]) -> None:
    """End a command with all that it started, as a lost machine does."""
    subprocess.run(["pkill", "-KILL", "-s", str(begun.pid)], check=True)
    assert begun.wait() == -signal.SIGKILL


@pytest.fixture(scope="session")
def engine() -> Engine:
    heed_interrupts()
    try:
        return ensure()
    except EngineError as error:
        if "POD_ROUTES_REQUIRE_ENGINE" in os.environ:
            raise
        pytest.skip(f"no Pulumi engine: {error}")


@pytest.fixture
def lab(ec2: EC2Client) -> Iterator[labs.Lab]:
    """The lab, with routes of other people that must stay as they are."""
    made = labs.create_lab(ec2)
    add_foreign_routes(ec2, made)
    before = foreign(labs.routes(ec2, made.table_id))
    yield made
    assert foreign(labs.routes(ec2, made.table_id)) == before


def add_foreign_routes(ec2: EC2Client, lab: labs.Lab) -> None:
    """Add what a real table holds beside pod routes."""
    other = labs.add_worker(ec2, lab, "vpn", address="10.0.2.9")
    peer_id = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    peering = ec2.create_vpc_peering_connection(VpcId=lab.vpc_id, PeerVpcId=peer_id)
    peering_id = peering["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    list_id = ec2.create_managed_prefix_list(
        PrefixListName="offices", MaxEntries=PREFIX_LIST_ENTRIES, AddressFamily="IPv4"
    )["PrefixList"]["PrefixListId"]
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock="192.168.0.0/16",
        NetworkInterfaceId=labs.interface_of(ec2, other),
    )
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock="10.9.0.0/16",
        VpcPeeringConnectionId=peering_id,
    )
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationPrefixListId=list_id,
        GatewayId=lab.gateway_id,
    )


def foreign(routes: labs.Routes) -> labs.Routes:
    """Leave out the pods' own ranges."""
    return {
        destination: route
        for destination, route in routes.items()
        if not destination.startswith(("10.200.", "fd00:200:"))
    }


@pytest.fixture
def workspace(tmp_path: Path, engine: Engine, box: Sandbox) -> Workspace:
    return Workspace.create(tmp_path / "project", engine, box.environment)


@pytest.fixture
def person(workspace: Workspace, ec2: EC2Client, lab: labs.Lab) -> Person:
    typed = Person(workspace, ec2, lab)
    typed.does("pulumi stack init dev")
    return typed
