"""The output of `python -m sandbox ping`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import faults
from sandbox import lab as labs
from sandbox.netns import client
from sandbox.netns.ping import ping
from tests.sandbox.conftest import route_all

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

pytestmark = pytest.mark.usefixtures("network")


def test_nothing_arrives_before_the_routes_and_everything_after(
    ec2: EC2Client, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = labs.create_spread_lab(ec2)
    assert ping(ec2) == 1
    assert "0 of 6 pairs" in capsys.readouterr().out

    route_all(ec2, lab)
    assert ping(ec2) == 0
    assert "6 of 6 pairs" in capsys.readouterr().out

    faults.inject(ec2, lab, "route")
    assert ping(ec2) == 1
    assert capsys.readouterr().out == (
        "Packets from a pod on each worker to a pod on each other worker:\n"
        "          from / to   0  1  2\n"
        "  0 worker-0          ·  - ok\n"
        "  1 worker-1          -  ·  -\n"
        "  2 worker-2         ok  -  ·\n"
        "Answered over ICMP and TCP: 2 of 6 pairs.\n"
    )


def test_many_workers_fit_80_columns(
    ec2: EC2Client, capsys: pytest.CaptureFixture[str]
) -> None:
    route_all(ec2, labs.create_lab(ec2, workers=60))

    assert ping(ec2) == 0

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert f" 59 worker-59       {57 * 'o'}" in lines
    assert f" 59 worker-59       {2 * 'o'}·" in lines
    assert lines[-1] == "Answered over ICMP and TCP: 3540 of 3540 pairs."


def test_without_nft_only_routes_block_packets(
    ec2: EC2Client,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    lab = labs.create_spread_lab(ec2)
    route_all(ec2, lab)
    faults.inject(ec2, lab, "group")
    assert ping(ec2) == 1
    capsys.readouterr()
    (tmp_path / "unshare").symlink_to("/usr/bin/unshare")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(client, "_SBIN", "/nowhere")

    assert ping(ec2) == 0
    assert "security groups are left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("restricted", "advice"),
    [
        ("0", "security-opt seccomp=unconfined"),
        ("1", "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_refused_namespaces_are_reported_with_advice_in_one_line(  # noqa: PLR0913, PLR0917
    ec2: EC2Client,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    restricted: str,
    advice: str,
) -> None:
    (tmp_path / "unshare").write_text(
        "#!/bin/sh\necho 'unshare: write failed /proc/self/uid_map: Not permitted' >&2"
        "\nexit 1\n"
    )
    (tmp_path / "unshare").chmod(0o755)
    setting = tmp_path / "apparmor_restrict_unprivileged_userns"
    setting.write_text(f"{restricted}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(client, "_UBUNTU", setting)

    assert ping(ec2) == 2

    (line,) = capsys.readouterr().out.splitlines()
    assert "uid_map: Not permitted" in line
    assert advice in line


def test_another_system_is_reported_in_one_line(
    ec2: EC2Client,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert ping(ec2) == 2
    assert capsys.readouterr().out == (
        "No packets were sent: network namespaces need Linux.\n"
    )
