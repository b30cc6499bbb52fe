"""`python -m sandbox`: what the Makefile runs."""

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

from sandbox import TOP, lab, mishaps
from sandbox.ec2 import client
from sandbox.mishaps import MISHAPS
from sandbox.pulumi import engine
from sandbox.wires import ping as packets
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_LEFT_RUNNING: Final = TOP / ".sandbox"
"""The workspace of the sandbox that `start` leaves running."""
_RUNNING: Final = "running.json"
"""In a workspace: the environment that leads to its sandbox, and what the lab holds."""
_CHANGES: Final = "Route .* (created|deleted)"
"""What an update or a destroy says of each route."""
_SUM: Final = "^Arrived|^No packets|WELL"
"""What a ping and a verification come to."""
_CAUSES: Final = rf"^Pods|^from|^ \d |^Causes|^ A |^   [\w(]|{_SUM}"
"""The matrix of a verification, and why pairs are stopped."""
_VERIFY: Final = "python -m routes verify --stack dev"
_PING: Final = "python -m sandbox ping"
_NO_WIRES: Final = 2
"""How a ping ends where this machine sends no packets, for a reason that it says."""


@click.group()
def main() -> None:
    """AWS on this machine, with the lab of the lecture and the Pulumi engine."""


@main.command("engine")
def get_engine() -> None:
    """Get the Pulumi engine and its AWS plugin."""
    engine.heed_interrupts()
    engine.ensure()


@main.command()
def demo() -> None:
    """Run the program's whole life in a sandbox."""
    engine.heed_interrupts()
    found = engine.ensure()
    with (
        tempfile.TemporaryDirectory(prefix="pod-routes-") as folder,
        client.Sandbox() as box,
    ):
        workspace = _open(Path(folder), box, found)
        click.echo("Here `...` stands for lines left out.")
        _type(workspace, "pulumi up --yes --skip-preview", only=_CHANGES)
        said = _type(workspace, _PING, codes={0, _NO_WIRES}, only=_SUM)
        _type(workspace, _VERIFY, only=_SUM)
        _type(workspace, "python -m sandbox break route")
        if said != _NO_WIRES:
            _type(workspace, _PING, codes={1})
        _type(workspace, _VERIFY, codes={1}, only=_CAUSES)
        _type(workspace, "pulumi up --refresh --yes --skip-preview", only=_CHANGES)
        if said != _NO_WIRES:
            _type(workspace, _PING, only=_SUM)
        _type(workspace, _VERIFY, only=_SUM)
        _type(workspace, "pulumi destroy --yes --skip-preview", only=_CHANGES)
    click.echo(
        "\nThat was the whole life of the routes; the sandbox is gone again."
        "\n  To type the commands yourself:  make sandbox"
        "\n  For your own account:           README.md"
    )


@main.command()
def start() -> None:
    """Start a sandbox with the lab and leave it running."""
    found = engine.ensure()
    _stop()
    _empty(_LEFT_RUNNING)
    sandbox = client.Sandbox()
    sandbox.start(outlive=True)
    _open(_LEFT_RUNNING, sandbox, found)
    line = f'eval "$(cd {shlex.quote(str(TOP))} && .venv/bin/python -m sandbox env)"'
    click.echo(
        "It runs. Paste this line: it leads your shell, and no other, into the sandbox"
        f"\nand its folder {_LEFT_RUNNING.name}/, where stack dev is selected:"
        f"\n\n  {line}\n\nThen type:"
        "\n  pulumi preview"
        "\n  pulumi up"
        "\n  python -m sandbox ping"
        "\n  python -m routes verify --stack dev"
        f"\n  python -m sandbox break route     ({', '.join([*MISHAPS][1:])})"
        "\n  python -m sandbox mend"
        "\n  pulumi destroy"
        "\nTo end it: make stop. What you need of the folder, copy: it is emptied when"
        "\nthe next sandbox starts. The shell still leads there; go on in another."
    )


@main.command()
def env() -> None:
    """Print the shell's way into the sandbox that runs."""
    for name, value in _running()["environment"].items():
        if name == "PATH" or name.startswith(("AWS_", "PULUMI_")):
            click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"cd {shlex.quote(str(_LEFT_RUNNING))}")


@main.command("break")
@click.argument("what", type=click.Choice([*MISHAPS]))
def break_(what: str) -> None:
    """Break something in the sandbox that runs, for `verify` to find."""
    try:
        mishaps.break_(*_left_running(), what)
    except ClientError as error:
        said = error.response["Error"]["Message"]
        raise click.ClickException(f"there is nothing to break:\n  {said}") from None
    click.echo(MISHAPS[what].says)


@main.command()
def mend() -> None:
    """Undo what `break` did."""
    mended = mishaps.mend(*_left_running())
    click.echo(f"Mended: {', '.join(mended)}." if mended else "Nothing is broken.")


@main.command()
def ping() -> None:
    """Send real packets between the pods of the sandbox that runs.

    Exits with 0 if all arrive, 1 if not, 2 if none could be sent.
    """
    ec2, _ = _left_running()
    sys.exit(packets.ping(ec2))


@main.command()
def stop() -> None:
    """End the sandbox that `start` left running."""
    click.echo("The sandbox is gone." if _stop() else "No sandbox runs.")


def _open(folder: Path, box: client.Sandbox, found: engine.Engine) -> Workspace:
    """Make the lab, and a folder in which all commands lead to it."""
    click.echo("Starting AWS on this machine: one route table, three workers ...")
    if found.stand_in:
        click.echo("The AWS plugin is the sandbox's stand-in; see README.md.")
    made = lab.create_spread_lab(box.client("ec2"))
    workspace = Workspace.create(folder, found, box.environment)
    running = {"environment": dict(workspace.environment), "lab": vars(made)}
    (folder / _RUNNING).write_text(json.dumps(running))
    workspace.run("pulumi", "stack", "init", "dev")
    return workspace


def _running() -> dict[str, Any]:
    """Return the environment and the lab of the sandbox here, or else left running."""
    for folder in (Path(), _LEFT_RUNNING):
        if (folder / _RUNNING).exists():
            found: dict[str, Any] = json.loads((folder / _RUNNING).read_text())
            return found
    raise click.ClickException("no sandbox runs; start one: make sandbox")


def _left_running() -> tuple[EC2Client, lab.Lab]:
    running = _running()
    sandbox = client.Sandbox.at(running["environment"]["AWS_ENDPOINT_URL"])
    return sandbox.client("ec2"), lab.Lab(**running["lab"])


def _stop() -> bool:
    file = _LEFT_RUNNING / _RUNNING
    if not file.exists():
        return False
    running = json.loads(file.read_text())
    client.Sandbox.at(running["environment"]["AWS_ENDPOINT_URL"]).end()
    file.unlink()
    return True


def _empty(folder: Path) -> None:
    """Remove what is in a folder, but not the folder: a shell may stand in it."""
    for each in folder.glob("*"):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _type(
    workspace: Workspace,
    line: str,
    only: str = "",
    codes: Collection[int] = frozenset({0}),
) -> int:
    """Show a command as typed, run it, and return its exit code, one of `codes`.

    Of its output `only` what matches is shown.
    """
    click.secho(f"\n$ {line}", bold=True)
    answer = workspace.run(*shlex.split(line))
    if answer.returncode not in codes:
        raise click.ClickException(
            f"this ended with {answer.returncode}:\n{answer.stdout}"
        )
    lines = [each.rstrip() for each in answer.stdout.splitlines()]
    kept = [each if re.search(only, each) else "..." for each in lines]
    for each, _ in groupby(kept):
        click.echo(each)
    return answer.returncode


if __name__ == "__main__":
    try:
        main(prog_name="python -m sandbox")
    except engine.EngineError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
