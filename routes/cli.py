"""`python -m routes`: what goes with the program outside the engine."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.status import Status

from routes import __version__, doctor, remedies, settings
from routes.aws.access import load_access
from routes.aws.clients import connect, region_of
from routes.aws.discovery import discover, look_up
from routes.engine import state
from routes.errors import RoutesError
from routes.planning import adopt, plan
from routes.report import github, html, terminal
from routes.report.summary import Summary
from routes.verify import collect, snapshot, verification
from routes.verify.packets import Question
from routes.verify.planned import after_update
from routes.verify.snapshot import Snapshot
from routes.verify.verification import Verification
from routes.verify.way import end_called

_PATH = click.Path(dir_okay=False, path_type=Path)
_MOST_PORTS: Final = 65535
_STACK = click.option("--stack", "name", help="The stack; else the selected one.")


@click.group()
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Adopt routes made by hand, prove that pods can talk, and keep it so."""


@main.command(
    "import-file",
    short_help="Take over routes made by hand.",
    epilog="""\b
    Example:
      python -m routes import-file > import.json
    """,
)
@_STACK
@click.pass_context
def import_file(context: click.Context, *, name: str | None) -> None:
    """Print the file with which `pulumi import` takes over routes made by hand.

    It lists what the plan wants, what stands with the right target, and what the stack
    does not hold yet. Nothing is changed, in AWS or in the stack.

    Exits with 1 when a route that is wanted leads elsewhere, 2 when it could not tell.
    """
    stack = state.read(name)
    wanted = settings.load(stack.config, stack.name)
    discovery = look_up(load_access(stack.config, stack.name), wanted, stack.readings)
    planned = plan.make(wanted, discovery)
    found = adopt.adopt(planned.routes, planned.tables, stack)
    document = adopt.document(
        (route.import_id for route in found.routes), stack.components
    )
    click.echo(json.dumps(document, indent=2))
    said = [*map(str, (*planned.problems, *found.in_the_way))]
    said.append(
        f"{len(found.routes)} to take over, {len(found.held)} held already,"
        f" {len(found.in_the_way)} to be turned first. Nothing was changed."
    )
    if found.routes:
        said.append("Save this as import.json, then:")
        said.append(f"  {remedies.import_routes(stack.name, protect=wanted.protect)}")
        said.append(f"  {remedies.pulumi(stack.name, 'preview')}")
    click.echo("\n".join(said), err=True)
    context.exit(1 if found.in_the_way else 0)


@main.command(
    "verify",
    epilog="""\b
    Examples:
      python -m routes verify
      python -m routes verify -q --protocol tcp --port 443
      python -m routes verify --from worker-0 --to worker-2
      python -m routes verify --stack prod --output html > report.html
    """,
)
@_STACK
@click.option(
    "--snapshot",
    "saved",
    type=_PATH,
    help="Judge a saved snapshot; nothing is read from AWS.",
)
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="ID",
    help="An instance or a subnet that has to reach the pods too; with --to also a"
    " worker. May be repeated.",
)
@click.option("--to", "target", help="Show the way to this worker, from one --from.")
@click.option(
    "--planned",
    is_flag=True,
    help="Check the routes as the next update would leave them.",
)
@click.option("--save-snapshot", type=_PATH, help="Keep what was read, as JSON.")
@click.option(
    "--protocol",
    type=click.Choice(["all", "tcp", "udp", "icmp"]),
    default="all",
    show_default=True,
    help="Which packets must arrive.",
)
@click.option("--port", type=click.IntRange(0, _MOST_PORTS), help="Of tcp or udp.")
@click.option(
    "--output",
    type=click.Choice(["text", "json", "html", "github"]),
    default="text",
    show_default=True,
    help="For people, programs, a browser, or as a workflow's annotations.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print the last line alone.")
@click.pass_context
def verify_pods(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    name: str | None,
    saved: Path | None,
    sources: tuple[str, ...],
    planned: bool,
    save_snapshot: Path | None,
    target: str | None,
    protocol: str,
    port: int | None,
    output: str,
    quiet: bool,
) -> None:
    """Prove that the pods can talk, from read-only EC2 calls alone.

    Exits with 0 when all is well, 1 when something is wrong, 2 when it could not tell.
    """
    for is_wrong, what in (
        (
            name is not None and saved is not None,
            "Give --stack or --snapshot, not both.",
        ),
        (
            port is not None and protocol not in {"tcp", "udp"},
            "--port needs --protocol tcp or udp.",
        ),
        (
            target and (len(sources) != 1 or output != "text"),
            "--to needs one --from, and prints text alone.",
        ),
        (quiet and output != "text", "-q prints a line of text: leave out --output."),
        (
            sources and saved and not target,
            "--from reads EC2: give it when the snapshot is saved.",
        ),
    ):
        if is_wrong:
            raise click.UsageError(what)
    with Console(stderr=True).status("Reading the stack") as status:
        moment = snapshot.load(saved) if saved else _read(name, sources, status)
        if save_snapshot:
            snapshot.save(moment, save_snapshot)
        if planned:
            moment = after_update(moment)
        status.update(f"Judging {len(moment.workers):,} workers")
        found = verification.verify(moment, Question(protocol, port))
    console = terminal.trimmed()
    outcome = found.outcome
    if target:
        ends = end_called(moment, sources[0]), end_called(moment, target)
        if ends[0] == ends[1]:
            raise RoutesError(f"--from and --to are both {ends[0].label}.")
        outcome = terminal.show_way(found, *ends, console, quiet=quiet)
    elif quiet:
        summary = Summary(found)
        terminal.conclude(outcome, summary.headline, summary.next, console)
    elif output == "text":
        terminal.show(found, console)
    else:
        click.echo(_WRITERS[output](found).encode())
    context.exit(outcome)


def _as_json(found: Verification) -> str:
    from routes.report.document import document  # noqa: PLC0415 - takes long

    return document(found).model_dump_json(by_alias=True, indent=2)


_WRITERS: Final[Mapping[str, Callable[[Verification], str]]] = {
    "json": _as_json,
    "html": html.render,
    "github": github.render,
}


def _address(
    _: click.Context, __: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """Read HOST:PORT."""
    if value is None:
        return None
    host, _colon, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _MOST_PORTS:
        raise click.BadParameter(f"expected HOST:PORT, found {value}.")
    return host, int(port)


@main.command(
    "watch",
    short_help="Keep the routes in place while workers come and go.",
    epilog="""\b
    Examples:
      python -m routes watch --stack prod --listen 127.0.0.1:9464
      python -m routes watch --stack prod --once
    """,
)
@_STACK
@click.option("--once", is_flag=True, help="Look and act until all is done, and end.")
@click.option(
    "--interval",
    type=click.FloatRange(min=1),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="From one look to the next.",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=_address,
    help="Answer there at /healthz and /metrics.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="JSON lines, unless a terminal reads them.",
)
@click.pass_context
def watch_stack(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    name: str | None,
    once: bool,
    interval: float,
    listen: tuple[str, int] | None,
    log_format: str,
) -> None:
    """Run the stack's update whenever its workers, or its routes, call for it.

    Ends at Ctrl-C or SIGTERM, after the update that runs. A second one cancels that; so
    does the watcher after a minute.

    With --once exits with 0 when all is in place, 1 when the plan was refused, 2 when
    a look or an update failed, or somebody else's update runs.
    """
    # Only this command needs these modules, which take a while to import.
    from routes.watch import operation  # noqa: PLC0415
    from routes.watch.watcher import Outcome, Watcher  # noqa: PLC0415

    operation.log(log_format)
    gauges = operation.Gauges(interval)
    watcher = Watcher(name or state.read(None).name, interval, gauges)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: watcher.stop())
    watcher.check()
    if listen:
        operation.serve(*listen, gauges)
    code = 0
    if once:
        codes = {Outcome.QUIET: 0, Outcome.CHANGED: 0, Outcome.REFUSED: 1}
        code = codes.get(watcher.run_once(), 2)
    else:
        operation.notify_systemd("READY=1")
        watcher.run(beat=lambda: operation.notify_systemd("WATCHDOG=1"))
    if watcher.is_hanging:
        operation.leave(code)
    context.exit(code)


@main.command(
    "doctor",
    epilog="""\b
    Example:
      python -m routes doctor --stack prod
    """,
)
@_STACK
@click.pass_context
def check_up(context: click.Context, *, name: str | None) -> None:
    """List what a first preview needs, and whether it is there.

    Exits with 0 when nothing is missing, 1 when something is, 2 when it could not tell.
    """
    with Console(stderr=True).status("Checking the stack and AWS"):
        checks = [*doctor.examine(name)]
    context.exit(doctor.show(checks, terminal.trimmed()))


def _read(name: str | None, sources: Sequence[str], status: Status) -> Snapshot:
    """Look up a stack and its VPC as they are now."""
    held = state.read(name)
    wanted = settings.load(held.config, held.name)
    access = load_access(held.config, held.name)
    clients = connect(access, region_of(access))
    status.update(f"Reading the workers of stack {held.name}")
    discovery = discover(clients, wanted, held.readings, held.owners, whole_vpc=True)
    planned = plan.draft(wanted, discovery, held)
    status.update(f"Reading {planned.vpc.id} around {len(planned.workers):,} workers")
    moment = collect.snapshot(clients, held, wanted, discovery, planned)
    known = {each for one in moment.workers for each in (one.name, one.instance_id)}
    others = [each for each in sources if each not in known]
    return collect.with_sources(clients, moment, others) if others else moment


def run() -> None:
    """Run a command; an operator's mistake is one message and exit code 2."""
    with Path(os.devnull).open() as nothing:  # for helpers that would ask
        os.dup2(nothing.fileno(), 0)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # of a terminal that lacks a character
            stream.reconfigure(errors="replace")
    try:
        main()
    except (RoutesError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except Exception:  # noqa: BLE001 - a bug: 1 would say that all is not well
        traceback.print_exc()
        sys.exit(2)
