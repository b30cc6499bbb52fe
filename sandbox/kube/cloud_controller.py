"""The real aws-cloud-controller-manager, on the sandbox's EC2."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from sandbox.ec2.client import REGION, Sandbox
from sandbox.kube import binaries
from sandbox.kube.control_plane import ControlPlane
from sandbox.kube.process import Process
from sandbox.lab import Lab

_NAME: Final = "aws-cloud-controller-manager"
_SYNCED: Final = "Caches are synced"
"""What its log reports before the first reconciliation."""


class CloudController:
    """Its route controller alone, for as long as the `with` block runs.

    It finds the instance of a Node by the Node's provider id, so any name will do.

    Attributes:
        log: the file with its log.
    """

    log: Path

    def __init__(
        self, control_plane: ControlPlane, aws: Sandbox, lab: Lab, *, period: float = 10
    ) -> None:
        """Prepare it for a lab; it reconciles every `period` seconds (its default)."""
        self._control_plane = control_plane
        self._aws = aws
        self._lab = lab
        self._period = period

    def __enter__(self) -> Self:
        """Start it, and wait until it has listed the Nodes.

        Raises:
            ProgramError: it is missing.
            ProcessError: it fails.
        """
        folder = self._control_plane.folder
        self.log = folder / f"{_NAME}.log"
        self.log.unlink(missing_ok=True)
        config = folder / "cloud.conf"
        config.write_text(
            "[Global]\n"
            f"Region = {REGION}\n"
            f"VPC = {self._lab.vpc_id}\n"
            f"SubnetID = {self._lab.subnet_id}\n"
            f"RouteTableID = {self._lab.table_id}\n"
            "KubernetesClusterID = lab\n"
        )
        options = [
            f"--kubeconfig={self._control_plane.kubeconfig}",
            "--controllers=node-route-controller",
            "--cloud-provider=aws",
            f"--cloud-config={config}",
            "--allocate-node-cidrs",
            "--configure-cloud-routes",
            f"--cluster-cidr={','.join(self._control_plane.pod_ranges)}",
            "--cluster-name=lab",
            f"--route-reconciliation-period={self._period}s",
            "--leader-elect=false",
            "--secure-port=0",
        ]
        program = binaries.find()[_NAME]
        self._process = Process(program, options, self.log, self._aws.environment)
        try:
            self._process.wait_for(self._has_synced, "list the Nodes")
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def _has_synced(self) -> bool:
        return _SYNCED in self.log.read_text()
