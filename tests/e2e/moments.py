"""What tests begin with: made once for a process of tests, then copied for each.

A moment is a project's folder, with its state and home, and what the sandbox's accounts
hold. To make one takes seconds of `pulumi`; to go back to it, some milliseconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import psutil

from sandbox import VENV
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.pulumi.engine import Engine
from sandbox.workspace import Workspace
from tests.e2e.person import Person

Step: TypeAlias = Callable[[Person], None]

_QUICK = {"GOGC": "off", "GOMAXPROCS": "1"}
"""Go's: commands end before they need memory, and other tests use the processors."""

PREFIX_LIST_ENTRIES = 5
"""What the foreign prefix list counts against the table's quota."""


@dataclass(frozen=True)
class _Moment:
    accounts: int
    folder: Path
    lab: labs.Lab


class Moments:
    """Every moment so far, each of the same folder and in the same sandbox."""

    def __init__(
        self, box: Sandbox, engine: Engine, attached: Mapping[str, str], folder: Path
    ) -> None:
        self._attached = attached
        self._box = box
        self._ec2 = box.client("ec2")
        self._engine = engine
        self._folder = folder
        self._made: dict[tuple[Step, ...], _Moment] = {}
        self._list_packages()

    def after(self, *steps: Step) -> Person:
        """Return somebody who has the lab, and has taken these steps in order."""
        if steps not in self._made:
            person = self.after(*steps[:-1]) if steps else self._begin()
            for step in steps[-1:]:
                step(person)
            self._made[steps] = self._keep(person)
        return self._go_back(self._made[steps])

    @property
    def _project(self) -> Path:
        return self._folder / "project"

    @property
    def _bin(self) -> Path:
        return self._folder / "bin"

    def _list_packages(self) -> None:
        """Put a Python on PATH that has asked pip already what is installed.

        The engine asks before each command, which is a third to half of its time. And
        this Python seldom collects garbage, which is a sixth of what is left.
        """
        python = VENV / "bin/python3"
        words = ["-m", "pip", "list", "-v", "--format", "json"]
        self._bin.mkdir()
        (self._bin / "sitecustomize.py").write_text(
            "import gc; gc.set_threshold(10**5)"
        )
        (self._bin / "packages").write_bytes(subprocess.check_output([python, *words]))
        script = (
            "#!/bin/sh\n"
            f'[ "$*" = "{" ".join(words)}" ] && exec cat "{self._bin}/packages"\n'
            f'exec "{python}" "$@"\n'
        )
        for name in ("python", "python3"):
            (self._bin / name).write_text(script)
            (self._bin / name).chmod(0o755)

    def _begin(self) -> Person:
        self._clear()
        self._box.reset()
        lab = labs.create_lab(self._ec2)
        created = Workspace.create(self._project, self._engine, self._box.environment)
        path = f"{self._bin}{os.pathsep}{created.environment['PATH']}"
        quick = {"PATH": path, "PYTHONPATH": str(self._bin), **_QUICK}
        self._workspace = Workspace(self._project, {**created.environment, **quick})
        return self._person(lab)

    def _keep(self, person: Person) -> _Moment:
        folder = self._folder / f"moment-{len(self._made)}"
        shutil.copytree(self._project, folder, symlinks=True)
        return _Moment(self._box.save(), folder, person.lab)

    def _go_back(self, moment: _Moment) -> Person:
        self._clear()
        self._box.restore(moment.accounts)
        shutil.copytree(moment.folder, self._project, symlinks=True)
        return self._person(moment.lab)

    def _person(self, lab: labs.Lab) -> Person:
        return Person(self._workspace, self._ec2, lab, self._attached)

    def _clear(self) -> None:
        """Remove the folder, and kill what an earlier test may have left running in it.

        Ids repeat, so it would find its route table again.
        """
        for process in psutil.process_iter(["cwd"]):
            if Path(process.info["cwd"] or "/").is_relative_to(self._project):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait()
        if self._project.exists():
            shutil.rmtree(self._project)


def with_a_stack(person: Person) -> None:
    """Name the stack dev, configured for the lab."""
    person.does("pulumi stack init dev")


def with_routes(person: Person) -> None:
    """Declare the route of every worker."""
    person.does("pulumi up --yes --skip-preview")


def with_unmanaged_routes(person: Person) -> None:
    """Add what a real table holds beside pod routes."""
    ec2, lab = person.ec2, person.lab
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


BEGINNING: tuple[Step, ...] = (with_unmanaged_routes, with_a_stack)
"""What tests begin with, unless they are about the pages."""


def unmanaged(routes: labs.Routes) -> labs.Routes:
    """Leave out the pods' own ranges."""
    return {
        destination: route
        for destination, route in routes.items()
        if not destination.startswith(("10.200.", "fd00:200:"))
    }
