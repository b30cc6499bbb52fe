"""`python -m sandbox`: start, use and stop a local EC2."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Collection
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from botocore.exceptions import ClientError

from sandbox import TOP, faults, lab
from sandbox.ec2.client import Sandbox
from sandbox.faults import FAULTS
from sandbox.kube import background, binaries
from sandbox.kube.process import ProcessError
from sandbox.netns import ping as packets
from sandbox.programs import ProgramError
from sandbox.pulumi import engine
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_LEFT_RUNNING: Final = TOP / ".sandbox"
"""The workspace of the sandbox that `start` leaves running."""
_RUNNING: Final = "running.json"
"""In a workspace: the environment of its sandbox, and the ids of the lab."""
_CHANGES: Final = "Route .* (created|deleted)"
"""The routes that an update or a destroy reports."""
_RESULT: Final = "^Answered|^No packets|^(PASS|FAIL|UNKNOWN):"
"""The result of a ping or a verification."""
_CAUSES: Final = rf"^Pods|^from|^ \d |^A letter|^Causes|^ A |^   [\w(]|{_RESULT}"
"""The matrix of a verification, and why pairs are blocked."""
_VERIFY: Final = "python -m routes verify --stack dev"
_PING: Final = "python -m sandbox ping"


@click.group()
def main() -> None:
    """Start, use and stop a local EC2 with one route table and three workers."""


@main.command("engine")
def get_engine() -> None:
    """Get the Pulumi engine and its AWS plugin."""
    engine.heed_interrupts()
    engine.ensure()


@main.command()
def demo() -> None:
    """Create, break, verify and delete the routes of a lab."""
    engine.heed_interrupts()
    ready = engine.ensure()
    with tempfile.TemporaryDirectory(prefix="pod-routes-") as folder, Sandbox() as aws:
        workspace = _open(Path(folder), aws, ready)
        click.echo("`...` marks omitted lines.")
        _run(workspace, "pulumi up --yes --skip-preview", only=_CHANGES)
        can_ping = _run(workspace, _PING, only=_RESULT, codes={0, 2}) == 0
        _run(workspace, _VERIFY, only=_RESULT)
        _run(workspace, "python -m sandbox inject route")
        if can_ping:
            _run(workspace, _PING, codes={1})
        _run(workspace, _VERIFY, only=_CAUSES, codes={1})
        _run(workspace, "pulumi up --refresh --yes --skip-preview", only=_CHANGES)
        if can_ping:
            _run(workspace, _PING, only=_RESULT)
        _run(workspace, _VERIFY, only=_RESULT)
        _run(workspace, "pulumi destroy --yes --skip-preview", only=_CHANGES)
    click.echo(
        "\nThe demo is complete, and its sandbox is deleted."
        "\n  To run the commands yourself:  make sandbox"
        "\n  To use your own account:       README.md"
    )


@main.command()
@click.option("--kube", is_flag=True, help="Also start a Kubernetes control plane.")
def start(*, kube: bool) -> None:
    """Start a sandbox with the lab, and leave it running."""
    ready = engine.ensure()
    if kube:
        binaries.ensure()
    _stop()
    _empty(_LEFT_RUNNING)
    sandbox = Sandbox()
    sandbox.start(outlive=True)
    _open(_LEFT_RUNNING, sandbox, ready, kube=kube)
    line = f'eval "$(cd {shlex.quote(str(TOP))} && .venv/bin/python -m sandbox env)"'
    _, *others = FAULTS
    nodes = "\n  kubectl get nodes" if kube else ""
    click.echo(
        "The sandbox is running. Paste this line to make one shell use the sandbox"
        f"\nand its folder {_LEFT_RUNNING.name}/, with stack dev selected:"
        f"\n\n  {line}\n\nThen try:"
        "\n  pulumi preview"
        "\n  pulumi up"
        "\n  python -m sandbox ping"
        "\n  python -m routes verify --stack dev"
        f"\n  python -m sandbox inject route     (or {', '.join(others)})"
        "\n  python -m sandbox repair"
        f"\n  pulumi destroy{nodes}"
        "\n\nTo stop it: make stop. Then continue in another shell: this one still uses"
        "\nthe sandbox. The next start empties its folder, so copy what you need."
    )


@main.command()
def env() -> None:
    """Print the shell commands that make a shell use the sandbox."""
    for name, value in _running()["environment"].items():
        if name in {"PATH", "KUBECONFIG"} or name.startswith(("AWS_", "PULUMI_")):
            click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"cd {shlex.quote(str(_LEFT_RUNNING))}")


@main.command()
@click.argument("fault", type=click.Choice([*FAULTS]))
def inject(fault: str) -> None:
    """Inject a fault into the sandbox, for `verify` to report."""
    try:
        faults.inject(*_lab(), fault)
    except ClientError as error:
        message = error.response["Error"]["Message"]
        raise click.ClickException(f"can't inject {fault}:\n  {message}") from None
    click.echo(FAULTS[fault].description)


@main.command()
def repair() -> None:
    """Repair the injected faults."""
    repaired = faults.repair(*_lab())
    click.echo(
        f"Repaired: {', '.join(repaired)}." if repaired else "No fault to repair."
    )


@main.command()
def ping() -> None:
    """Send real packets between the pods of the sandbox.

    Exit code 0: all pairs answer. 1: some don't. 2: no packets can be sent here.
    """
    ec2, _ = _lab()
    sys.exit(packets.ping(ec2))


@main.command()
def stop() -> None:
    """Stop the sandbox that `start` left running."""
    click.echo("The sandbox is stopped." if _stop() else "No sandbox is running.")


def _open(
    folder: Path, aws: Sandbox, ready: engine.Engine, *, kube: bool = False
) -> Workspace:
    """Create the lab, and a folder whose commands use it."""
    click.echo("Starting a local EC2 with one route table and three workers ...")
    if ready.stand_in:
        click.echo("The AWS plugin is the sandbox's stand-in; see README.md.")
    created = lab.create_spread_lab(aws.client("ec2"))
    nodes = {"KUBECONFIG": str(folder / "kubeconfig")} if kube else {}
    workspace = Workspace.create(folder, ready, aws.environment | nodes)
    running = {"environment": dict(workspace.environment), "lab": vars(created)}
    (folder / _RUNNING).write_text(json.dumps(running))
    if kube:
        click.echo("Starting a Kubernetes control plane with the workers as Nodes ...")
        background.start(folder / _RUNNING)
    workspace.run("pulumi", "stack", "init", "dev")
    return workspace


def _running() -> dict[str, Any]:
    """Return the environment and the lab of the sandbox here, or of the one running."""
    for folder in (Path(), _LEFT_RUNNING):
        if (folder / _RUNNING).exists():
            running: dict[str, Any] = json.loads((folder / _RUNNING).read_text())
            return running
    raise click.ClickException("no sandbox is running; start one: make sandbox")


def _lab() -> tuple[EC2Client, lab.Lab]:
    running = _running()
    sandbox = Sandbox.at(running["environment"]["AWS_ENDPOINT_URL"])
    return sandbox.client("ec2"), lab.Lab(**running["lab"])


def _stop() -> bool:
    file = _LEFT_RUNNING / _RUNNING
    if not file.exists():
        return False
    running = json.loads(file.read_text())
    Sandbox.at(running["environment"]["AWS_ENDPOINT_URL"]).end()
    file.unlink()
    return True


def _empty(folder: Path) -> None:
    """Remove a folder's content, but not the folder: a shell may be in it."""
    for each in folder.glob("*"):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _run(
    workspace: Workspace,
    line: str,
    only: str = "",
    codes: Collection[int] = frozenset({0}),
) -> int:
    """Print and run a command, and return its exit code, which must be in `codes`.

    Of its output, only the lines that match `only` are printed.
    """
    click.secho(f"\n$ {line}", bold=True)
    answer = workspace.run(*shlex.split(line))
    if answer.returncode not in codes:
        raise click.ClickException(f"exit code {answer.returncode}:\n{answer.stdout}")
    lines = [each.rstrip() for each in answer.stdout.splitlines()]
    printed = [each if re.search(only, each) else "..." for each in lines]
    for each, _ in groupby(printed):
        click.echo(each)
    return answer.returncode


if __name__ == "__main__":
    try:
        main(prog_name="python -m sandbox")
    except (ProgramError, ProcessError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
