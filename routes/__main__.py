"""`python -m routes`: what goes with the program outside the engine."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import click
from rich.console import Console

from routes import (
    adopt,
    ec2,
    page,
    plan,
    report,
    session,
    settings,
    snapshot,
    stack,
    summary,
    verify,
    vpc,
)
from routes.errors import RoutesError
from routes.packets import Question
from routes.snapshot import Snapshot

_PATH = click.Path(dir_okay=False, path_type=Path)


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
    discovery = ec2.look_up(session.load(held.config), wanted)
    planned = plan.make(wanted, discovery)
    found = adopt.adopt(planned, held, discovery.region)
    click.echo(json.dumps(found.document, indent=2))
    for note in found.notes:
        click.echo(str(note), err=True)
    if found.routes:
        count = len(found.routes)
        click.echo(
            f"{count} route{'s' * (count > 1)} can be taken over. Save this as"
            " import.json:"
            f"\n  pulumi import --stack {name} --file import.json --yes"
            f" --generate-code=false --protect={str(wanted.protect).lower()}"
            f"\n  pulumi preview --stack {name} --expect-no-changes",
            err=True,
        )
    else:
        click.echo("There is nothing to take over.", err=True)


@main.command("verify")
@click.option("--stack", "name", help="The stack to verify.")
@click.option(
    "--snapshot",
    "saved",
    type=_PATH,
    help="Judge a saved snapshot; nothing is read from AWS.",
)
@click.option("--save-snapshot", type=_PATH, help="Keep what was read, as JSON.")
@click.option(
    "--protocol",
    type=click.Choice(["all", "tcp", "udp", "icmp"]),
    default="all",
    show_default=True,
    help="Which packets must arrive.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Of tcp or udp.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--html", type=_PATH, help="Write a report to open in a browser.")
@click.pass_context
def verify_pods(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    name: str | None,
    saved: Path | None,
    save_snapshot: Path | None,
    protocol: str,
    port: int | None,
    as_json: bool,
    html: Path | None,
) -> None:
    """Prove that the pods can talk, from read-only EC2 calls alone.

    Exits with 0 when all is well, 1 when not, 2 when it could not tell.
    """
    if (name is None) == (saved is None):
        raise click.UsageError("Give either --stack or --snapshot.")
    if port is not None and protocol not in {"tcp", "udp"}:
        raise click.UsageError("--port needs --protocol tcp or udp.")
    moment = snapshot.load(saved) if saved else _read(str(name))
    if save_snapshot:
        snapshot.save(moment, save_snapshot)
    found = verify.verify(moment, Question(protocol, port))
    if html:
        html.write_text(page.render(found), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(summary.document(found), indent=2))
    else:
        report.show(found, Console(highlight=False))
    context.exit(0 if found.is_well else 1)


def _read(name: str) -> Snapshot:
    """Look up a stack and its VPC as they are now."""
    held = stack.read(name)
    wanted = settings.load(held.config, name)
    access = session.load(held.config)
    clients = session.connect(access, session.region_of(access))
    discovery = ec2.discover(clients, wanted)
    return vpc.snapshot(clients, held, wanted, discovery, plan.draft(wanted, discovery))


def run() -> None:
    """Run a command; an operator's mistake is one message and exit code 2."""
    try:
        main(prog_name="python -m routes")
    except (RoutesError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except Exception:  # noqa: BLE001 - a bug: 1 would say that all is not well
        traceback.print_exc()
        sys.exit(2)


if __name__ == "__main__":
    run()
