"""Four ways to create the same routes, each with its steps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from bench.measure import CommandFailedError, Measurement, run
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.pulumi.engine import Engine
from sandbox.workspace import Workspace

PLAN: Final = "plan"
APPLY: Final = "apply"
UNCHANGED: Final = "plan without changes"
DESTROY: Final = "destroy"

Steps: TypeAlias = Iterator[tuple[str, Measurement]]

_HERE: Final = Path(__file__).resolve().parent
_AWSCLI: Final = "awscli==1.46.3"


def _environment(box: Sandbox) -> dict[str, str]:
    """Return this process's environment, for the sandbox and without a proxy."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
    }
    return kept | box.environment


class Contender(ABC):
    """One way to create the routes of a lab.

    Attributes:
        name: in the tables.
        provider: the program that changes the route table.
    """

    name: str
    provider: str

    @abstractmethod
    def steps(self, lab: labs.Lab, box: Sandbox, folder: Path) -> Steps:
        """Yield each step when it is done; at first the table has no pod route."""


class Program(Contender):
    """This program, in a stack."""

    name = "pod-routes"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.provider = "stand-in" if engine.stand_in else "pulumi-aws"

    def steps(self, lab: labs.Lab, box: Sandbox, folder: Path) -> Steps:
        """Run the commands of a stack's lifecycle."""
        workspace = Workspace.create(folder / "project", self.engine, box.environment)
        self.prepare(workspace, lab, box)
        workspace.run("pulumi", "stack", "init", "bench")

        for step, command in {
            PLAN: "preview",
            APPLY: "up --yes --skip-preview",
            UNCHANGED: "preview --expect-no-changes",
            DESTROY: "destroy --yes --skip-preview",
        }.items():
            yield (
                step,
                run(
                    ["pulumi", *command.split(), "--stack", "bench"],
                    cwd=workspace.path,
                    env=workspace.environment,
                    box=box,
                ),
            )

    def prepare(self, workspace: Workspace, lab: labs.Lab, box: Sandbox) -> None:
        """Configure the stack."""
        del box
        workspace.configure(
            "bench",
            {
                "aws:region": "us-east-1",
                "pod-routes:routeTables": "kubernetes",
                "pod-routes:workers": list(lab.workers),
                "pod-routes:clusterCidr": "10.200.0.0/14",
            },
        )


class Floor(Program):
    """The same resources written out as constants: the engine without a lookup."""

    name = "floor: constants"

    def prepare(self, workspace: Workspace, lab: labs.Lab, box: Sandbox) -> None:
        """Replace the program with constants."""
        super().prepare(workspace, lab, box)
        pages = box.client("ec2").get_paginator("describe_instances").paginate()
        interfaces = {
            instance["InstanceId"]: instance["NetworkInterfaces"][0]
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        }
        args = {
            "route_table_id": lab.table_id,
            "routes": [
                {
                    "destination_cidr": labs.pod_cidr(index),
                    "network_interface_id": interfaces[instance_id][
                        "NetworkInterfaceId"
                    ],
                    "worker": name,
                }
                for index, (name, instance_id) in enumerate(lab.workers.items())
            ],
        }
        entry = workspace.path / "__main__.py"
        entry.unlink()
        entry.write_text(
            "from component.pod_network_routes import PodNetworkRoutes\n"
            f"PodNetworkRoutes({lab.table_id!r}, {args!r})\n"
        )


class Loop(Contender):
    """The loop that people run by hand: three AWS CLI calls a worker, one by one."""

    name = "shell loop"

    def __init__(self, folder: Path) -> None:
        """Install the AWS CLI in its own environment: it needs another botocore."""
        self.bin = folder / "awscli" / "bin"
        if not (self.bin / "aws").exists():
            subprocess.run([sys.executable, "-m", "venv", self.bin.parent], check=True)
            subprocess.run(
                [self.bin / "pip", "install", "--quiet", _AWSCLI], check=True
            )
        self.provider = _AWSCLI.replace("==", " ")

    def steps(self, lab: labs.Lab, box: Sandbox, folder: Path) -> Steps:
        """Run the loop; it has no plan, and a second run of it fails."""
        environment = _environment(box)
        path = os.pathsep.join([str(self.bin), environment["PATH"]])
        yield (
            APPLY,
            run(
                ["bash", str(_HERE / "loop.sh"), lab.table_id, *lab.workers],
                cwd=folder,
                env=environment | {"PATH": path},
                box=box,
            ),
        )


class Terraform(Contender):
    """`aws_instance` lookups and `aws_route` by `for_each`.

    Where its provider cannot be downloaded, TF_CLI_CONFIG_FILE may name a mirror.
    """

    name = "Terraform"
    provider = "hashicorp/aws 5.100.0"

    def __init__(self, folder: Path) -> None:
        """Install the provider once.

        Raises:
            CommandFailedError: there is no Terraform, or no provider for it.
        """
        self.home = folder / "terraform"
        shutil.copytree(_HERE / "terraform", self.home, dirs_exist_ok=True)
        if not shutil.which("terraform"):
            raise CommandFailedError("terraform is not on PATH")
        init = subprocess.run(
            ["terraform", "init", "-input=false", "-no-color"],
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        if init.returncode:
            words = " ".join(re.sub(r"[│╷╵]", " ", init.stderr).split())
            raise CommandFailedError(f"terraform init failed: {words[-300:]}")

    def steps(self, lab: labs.Lab, box: Sandbox, folder: Path) -> Steps:
        """Run the commands of a state's lifecycle."""
        del folder
        for state in self.home.glob("terraform.tfstate*"):
            state.unlink()
        (self.home / "bench.auto.tfvars.json").write_text(
            json.dumps({"route_table_id": lab.table_id, "workers": list(lab.workers)})
        )
        for step, command in {
            PLAN: "plan",
            APPLY: "apply -auto-approve",
            UNCHANGED: "plan -detailed-exitcode",
            DESTROY: "destroy -auto-approve",
        }.items():
            yield (
                step,
                run(
                    ["terraform", *command.split(), "-input=false", "-no-color"],
                    cwd=self.home,
                    env=_environment(box),
                    box=box,
                ),
            )
