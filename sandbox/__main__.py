"""`python -m sandbox`: what the Makefile runs."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from sandbox import TOP, aws, engine, lab
from sandbox.workspace import Workspace

_LEFT_RUNNING: Final = TOP / ".sandbox"
"""The workspace of the sandbox that `start` leaves running."""
_RUNNING: Final = _LEFT_RUNNING / "running.json"
"""The environment that leads to it."""
_STARTING: Final = "Starting AWS on this machine: one route table, three workers ..."


@click.group()
def main() -> None:
    """AWS on this machine, with the lab of the lecture and the Pulumi engine."""


@main.command("engine")
def get_engine() -> None:
    """Get the Pulumi engine, once."""
    engine.ensure()


@main.command()
def demo() -> None:
    """Run the program's whole life in a sandbox of its own, then remove it."""
    engine.heed_interrupts()
    found = engine.ensure()
    click.echo(_STARTING)
    with (
        tempfile.TemporaryDirectory(prefix="pod-routes-") as folder,
        aws.Sandbox() as box,
    ):
        ec2 = box.client("ec2")
        table_id = lab.create_lab(ec2).table_id
        workspace = Workspace.create(Path(folder) / "demo", found, box.environment)
        if found.stand_in:
            click.echo("The AWS plugin is the sandbox's stand-in; see README.md.")
        _show_routes(lab.routes(ec2, table_id))
        _type(workspace, "pulumi stack init dev")
        _type(workspace, "pulumi preview")
        _type(workspace, "pulumi up --yes")
        _show_routes(lab.routes(ec2, table_id))
        _type(workspace, "pulumi preview --expect-no-changes")
        _type(workspace, "pulumi destroy --yes")
        _show_routes(lab.routes(ec2, table_id))
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
    click.echo(_STARTING)
    sandbox = aws.Sandbox()
    sandbox.start(outlive=True)
    lab.create_lab(sandbox.client("ec2"))
    workspace = Workspace.create(_LEFT_RUNNING, found, sandbox.environment)
    _RUNNING.write_text(json.dumps(dict(workspace.environment)))
    workspace.run("pulumi", "stack", "init", "dev")
    line = f'eval "$({shlex.quote(sys.executable)} -m sandbox env)"'
    click.echo(
        f"It runs. Paste this line, for this shell only:\n\n  {line}\n\nThen type:"
        "\n  pulumi stack select dev"
        "\n  pulumi preview"
        "\n  pulumi up"
        "\n  pulumi destroy"
        "\nTo end it: exit that shell, and here: make stop"
    )


@main.command()
def env() -> None:
    """Print the shell's way into the sandbox that runs."""
    if not _RUNNING.exists():
        raise click.ClickException("no sandbox runs; start one: make sandbox")
    for name, value in json.loads(_RUNNING.read_text()).items():
        if name == "PATH" or name.startswith(("AWS_", "PULUMI_")):
            click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"cd {shlex.quote(str(_LEFT_RUNNING))}")


@main.command()
def stop() -> None:
    """End the sandbox that `start` left running."""
    click.echo("The sandbox is gone." if _stop() else "No sandbox runs.")


def _stop() -> bool:
    found = _RUNNING.exists()
    if found:
        aws.Sandbox.at(json.loads(_RUNNING.read_text())["AWS_ENDPOINT_URL"]).end()
    shutil.rmtree(_LEFT_RUNNING, ignore_errors=True)
    return found


def _type(workspace: Workspace, line: str) -> None:
    """Show a command as typed, and run it with its output as it comes."""
    click.secho(f"\n$ {line}", bold=True)
    answer = subprocess.run(
        shlex.split(line),
        cwd=workspace.path,
        env=workspace.environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if answer.returncode:
        raise click.ClickException(f"this failed with exit code {answer.returncode}")


def _show_routes(routes: lab.Routes) -> None:
    """Show a route table as the lecture looks at it."""
    table = Table("Destination", "Target", "Instance", "State", title_justify="left")
    table.title = "aws ec2 describe-route-tables"
    for destination, route in routes.items():
        target = route.get("NetworkInterfaceId") or route.get("GatewayId") or ""
        instance = route.get("InstanceId") or ""
        table.add_row(destination, target, instance, route.get("State"))
    Console(width=80).print()
    Console(width=80).print(table)


if __name__ == "__main__":
    try:
        main(prog_name="python -m sandbox")
    except engine.EngineError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
