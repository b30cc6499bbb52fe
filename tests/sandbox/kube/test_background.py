"""`python -m sandbox start --kube`: a control plane that ends with the sandbox."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from lightkube import Client, KubeConfig
from lightkube.resources.core_v1 import Node

from sandbox import __main__ as command
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.kube import background
from sandbox.kube.process import ProcessError


@pytest.mark.usefixtures("control_plane")  # so that a missing one is skipped
def test_the_workers_are_nodes_until_the_sandbox_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_LEFT_RUNNING", tmp_path)
    running, kubeconfig = tmp_path / "running.json", tmp_path / "kubeconfig"
    with Sandbox() as sandbox:
        lab = labs.create_spread_lab(sandbox.client("ec2"))
        environment = {**sandbox.environment, "KUBECONFIG": str(kubeconfig)}
        running.write_text(json.dumps({"environment": environment, "lab": vars(lab)}))

        process = background.start(running)

        exported = CliRunner().invoke(command.main, ["env"]).output
        assert f"export KUBECONFIG={kubeconfig}\n" in exported
        config = KubeConfig.from_file(kubeconfig)
        with Client(config, trust_env=False) as client:
            specs = [node.spec for node in client.list(Node)]
        assert [spec and spec.podCIDR for spec in specs] == [
            labs.pod_cidr(index) for index in range(len(lab.workers))
        ]
        assert [str(spec and spec.providerID).rpartition("/")[2] for spec in specs] == [
            *lab.workers.values()
        ]

    assert process.wait(timeout=30) == 0
    server = urlsplit(config.clusters["lab"].server)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.hostname, server.port))


def test_what_keeps_it_from_starting_is_reported(tmp_path: Path) -> None:
    running = tmp_path / "running.json"
    running.write_text("{}")

    with pytest.raises(ProcessError, match="KeyError: 'environment'"):
        background.start(running)
