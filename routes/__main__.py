"""`python -m routes`: what goes with the program outside the engine."""

from __future__ import annotations

import json
import sys

import click

from routes import adopt, ec2, plan, session, settings, stack
from routes.errors import RoutesError


@click.group()
def main() -> None:
    """Adopt routes made by hand, and prove that pods can talk."""


@main.command("import-file")
@click.option("--stack", "name", required=True, help="The stack to import into.")
def import_file(name: str) -> None:
    """Print the file with which `pulumi import` takes over routes made by hand.

    It lists what the plan wants, what stands with the right target, and what the stack
    does not hold yet. Nothing is changed, in AWS or in the stack.
    """
    held = stack.read(name)
    wanted = settings.load(held.config, name)
    access = session.load(held.config)
    clients = session.connect(access, session.region_of(access))
    discovery = ec2.discover(clients, wanted)
    planned = plan.make(wanted, discovery)
    found = adopt.adopt(planned.routes, planned.tables, held.targets, held.components)
    click.echo(json.dumps(found.document, indent=2))
    for note in found.notes:
        click.echo(str(note), err=True)
    if found.routes:
        click.echo(
            f"{len(found.routes)} routes can be taken over. Save this as import.json:"
            f"\n  pulumi import --stack {name} --file import.json --yes"
            f" --generate-code=false --protect={str(wanted.protect).lower()}"
            f"\n  pulumi preview --stack {name} --expect-no-changes",
            err=True,
        )
    else:
        click.echo("There is nothing to take over.", err=True)


def run() -> None:
    """Run a command; an operator's mistake is one message and exit code 2."""
    try:
        main(prog_name="python -m routes")
    except RoutesError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    run()
