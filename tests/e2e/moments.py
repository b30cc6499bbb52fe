"""The initial states of tests: created once per test process, then copied.

A moment is a project folder with its state and home, and the sandbox's accounts. It
takes seconds of `pulumi` to create one, and milliseconds to restore it.
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
from tests.e2e.cli_user import CliUser

Step: TypeAlias = Callable[[CliUser], None]

_QUICK = {"GOGC": "off", "GOMAXPROCS": "1"}
"""For Go: commands end before they need memory, and other tests use the processors."""

PREFIX_LIST_ENTRIES = 5
"""The weight of the unmanaged prefix list in the table's quota."""


@dataclass(frozen=True)
class _Moment:
    accounts: int
    folder: Path
    lab: labs.Lab


class Moments:
    """All moments so far, of the same folder and the same sandbox."""

    def __init__(
        self,
        local_aws: Sandbox,
        engine: Engine,
        attached: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._attached = attached
        self._local_aws = local_aws
        self._ec2 = local_aws.client("ec2")
        self._engine = engine
        self._folder = folder
        self._saved: dict[tuple[Step, ...], _Moment] = {}
        self._list_packages()

    def after(self, *steps: Step) -> CliUser:
        """Return a user with the lab, after these steps in order."""
        if steps not in self._saved:
            user = self.after(*steps[:-1]) if steps else self._create()
            for step in steps[-1:]:
                step(user)
            self._saved[steps] = self._save(user)
        return self._restore(self._saved[steps])

    @property
    def _project(self) -> Path:
        return self._folder / "project"

    @property
    def _bin(self) -> Path:
        return self._folder / "bin"

    def _list_packages(self) -> None:
        """Put a Python on PATH that knows the output of `pip list`.

        The engine runs it before each command, a third to half of the time. This Python
        also collects garbage seldom, which is a sixth of the rest.
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

    def _create(self) -> CliUser:
        self._clear()
        self._local_aws.reset()
        lab = labs.create_lab(self._ec2)
        created = Workspace.create(
            self._project, self._engine, self._local_aws.environment
        )
        path = f"{self._bin}{os.pathsep}{created.environment['PATH']}"
        quick = {"PATH": path, "PYTHONPATH": str(self._bin), **_QUICK}
        self._workspace = Workspace(self._project, {**created.environment, **quick})
        return self._user(lab)

    def _save(self, user: CliUser) -> _Moment:
        folder = self._folder / f"moment-{len(self._saved)}"
        shutil.copytree(self._project, folder, symlinks=True)
        return _Moment(self._local_aws.save(), folder, user.lab)

    def _restore(self, moment: _Moment) -> CliUser:
        self._clear()
        self._local_aws.restore(moment.accounts)
        shutil.copytree(moment.folder, self._project, symlinks=True)
        return self._user(moment.lab)

    def _user(self, lab: labs.Lab) -> CliUser:
        return CliUser(self._workspace, self._ec2, lab, self._attached)

    def _clear(self) -> None:
        """Remove the folder, and kill the processes that still run in it.

        Ids repeat, so they would find their route table again.
        """
        for process in psutil.process_iter(["cwd"]):
            if Path(process.info["cwd"] or "/").is_relative_to(self._project):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait()
        if self._project.exists():
            shutil.rmtree(self._project)


def with_a_stack(user: CliUser) -> None:
    """Create stack dev, configured for the lab."""
    user.does("pulumi stack init dev")


def with_routes(user: CliUser) -> None:
    """Create the route of every worker."""
    user.does("pulumi up --yes --skip-preview")


def with_unmanaged_routes(user: CliUser) -> None:
    """Add the other routes that a real table has."""
    ec2, lab = user.ec2, user.lab
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
"""The initial state of tests, except of those of the documentation pages."""


def unmanaged(routes: labs.Routes) -> labs.Routes:
    """Return the routes outside the pods' ranges."""
    return {
        destination: route
        for destination, route in routes.items()
        if not destination.startswith(("10.200.", "fd00:200:"))
    }
