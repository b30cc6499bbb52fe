"""`python -m routes`: the commands beside the Pulumi program."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.status import Status

from component.version import VERSION
from routes import commands, doctor, settings
from routes.aws.access import load_access
from routes.aws.clients import connect, region_of
from routes.aws.discovery import discover, look_up
from routes.engine import state
from routes.errors import RoutesError
from routes.kube import nodes_to_compare
from routes.planning import adoption, plan
from routes.report import github, html, terminal
from routes.report.summary import Summary
from routes.verify import collect, verification
from routes.verify.header_space import Traffic
from routes.verify.planned import after_update
from routes.verify.snapshot import Snapshot, load, save
from routes.verify.trace import find_endpoint
from routes.verify.verification import Verification

_PATH = click.Path(dir_okay=False, path_type=Path)
_MAX_PORTS: Final = 65535
_STACK = click.option("--stack", "name", help="The stack; by default the selected one.")


@click.group()
@click.version_option(VERSION, message="%(version)s")
def main() -> None:
    """Adopt existing routes, verify that pods can talk, and keep routes in place."""


@main.command(
    "import-file",
    short_help="Adopt routes created by hand.",
    epilog="""\b
    Example:
      python -m routes import-file > import.json
    """,
)
@_STACK
@click.pass_context
def import_file(context: click.Context, *, name: str | None) -> None:
    """Print the file with which `pulumi import` adopts routes created by hand.

    It lists the desired routes that exist with the right target, or a deleted one, and
    aren't in the stack's state. Nothing is changed, in AWS or in the stack.

    Exit code 1: a desired route has another target. 2: an error.
    """
    stack = state.read(name)
    configured = settings.load(stack.config, stack.name)
    access = load_access(stack.config, stack.name)
    planned = plan.validated(configured, look_up(access, configured, stack.cached))
    desired, existing = planned.desired, planned.existing
    adoptable, conflicting = adoption.unmanaged_routes(desired, existing, stack.managed)
    document = adoption.document(adoptable, stack.components)
    click.echo(json.dumps(document, indent=2))
    conflicts = adoption.conflicts(conflicting, desired, existing)
    lines = [*map(str, (*planned.problems, *conflicts))]
    managed = len(desired.keys() & existing.keys() & stack.managed.keys())
    lines.append(
        f"{len(adoptable)} to adopt, {managed} managed already, {len(conflicting)} in"
        " conflict. Nothing was changed."
    )
    if adoptable:
        import_routes = commands.import_routes(stack.name, protect=configured.protect)
        lines.append("Save this as import.json, then:")
        lines.append(f"  {import_routes}")
        lines.append(f"  {commands.pulumi(stack.name, 'preview')}")
    click.echo("\n".join(lines), err=True)
    context.exit(1 if conflicting else 0)


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
    help="Verify a saved snapshot, without a call to AWS.",
)
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="ID",
    help="An instance, a Node or a subnet that must reach the pods too, or, with"
    " --to, a worker. Can be repeated.",
)
@click.option(
    "--to", "target", help="Trace the packets from one --from to this worker."
)
@click.option(
    "--planned",
    is_flag=True,
    help="Check the routes as the next update would leave them.",
)
@click.option("--save-snapshot", type=_PATH, help="Save what was read, as JSON.")
@click.option(
    "--protocol",
    type=click.Choice(["all", "tcp", "udp", "icmp"]),
    default="all",
    show_default=True,
    help="The packets to check.",
)
@click.option(
    "--port", type=click.IntRange(0, _MAX_PORTS), help="The port of tcp or udp."
)
@click.option(
    "--output",
    type=click.Choice(["text", "json", "html", "github"]),
    default="text",
    show_default=True,
    help="The format; github: annotations of a workflow's run.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the last line.")
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
    """Verify that the pods can talk, with read-only EC2 calls.

    Exit code 0: PASS. 1: FAIL, something is wrong. 2: UNKNOWN, or an error.
    """
    for is_wrong, message in (
        (
            name is not None and saved is not None,
            "Use --stack or --snapshot, not both.",
        ),
        (
            port is not None and protocol not in {"tcp", "udp"},
            "--port needs --protocol tcp or udp.",
        ),
        (
            target and (len(sources) != 1 or output != "text"),
            "--to needs one --from and text output.",
        ),
        (quiet and output != "text", "-q prints text: leave out --output."),
        (
            sources and saved and not target,
            "--from reads EC2: use it when saving the snapshot.",
        ),
    ):
        if is_wrong:
            raise click.UsageError(message)
    with Console(stderr=True).status("Reading the stack") as status:
        snapshot = load(saved) if saved else _read(name, sources, status)
        if save_snapshot:
            save(snapshot, save_snapshot)
        if planned:
            snapshot = after_update(snapshot)
        status.update(f"Verifying {len(snapshot.workers):,} workers")
        result = verification.verify(snapshot, Traffic(protocol, port))
    console = terminal.report_console()
    outcome = result.outcome
    if target:
        ends = find_endpoint(snapshot, sources[0]), find_endpoint(snapshot, target)
        if ends[0] == ends[1]:
            raise RoutesError(f"--from and --to are both {ends[0].label}.")
        outcome = terminal.show_trace(result, *ends, console, quiet=quiet)
    elif quiet:
        summary = Summary(result)
        terminal.conclude(outcome, summary.headline, summary.next, console)
    elif output == "text":
        terminal.show(result, console)
    else:
        click.echo(_WRITERS[output](result).encode())
    context.exit(outcome)


def _as_json(result: Verification) -> str:
    from routes.report.document import document  # noqa: PLC0415 - takes long

    return document(result).model_dump_json(by_alias=True, indent=2)


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
    if not host or not port.isdecimal() or int(port) > _MAX_PORTS:
        raise click.BadParameter(f"expected HOST:PORT, found {value}.")
    return host, int(port)


@main.command(
    "watch",
    short_help="Keep the routes in place as workers join and leave.",
    epilog="""\b
    Examples:
      python -m routes watch --stack prod --listen 127.0.0.1:9464
      python -m routes watch --stack prod --once
    """,
)
@_STACK
@click.option(
    "--once", is_flag=True, help="Reconcile until nothing has to change, then exit."
)
@click.option(
    "--interval",
    type=click.FloatRange(min=1),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="From one poll to the next.",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=_address,
    help="Serve /healthz and /metrics there.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="The format; auto is text in a terminal, else JSON.",
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
    """Update the stack whenever its workers, or its routes, change.

    Ctrl-C or SIGTERM ends it after the running update. A second signal cancels that
    update; without one, the watcher cancels it after a minute.

    Exit code with --once: 0: all is in place. 1: the plan was refused, or a fault
    blocks some routes. 2: an error, or somebody else's update is running.
    """
    # Only this command needs these modules, which are slow to import.
    from routes.watch import telemetry  # noqa: PLC0415
    from routes.watch.watcher import Outcome, Watcher  # noqa: PLC0415

    telemetry.configure_logging(log_format)
    metrics = telemetry.Telemetry(interval)
    watcher = Watcher(name or state.read(None).name, interval, metrics)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: watcher.stop())
    watcher.check()
    if listen:
        telemetry.serve(*listen, metrics)
    code = 0
    if once:
        codes = {Outcome.IN_SYNC: 0, Outcome.UPDATED: 0, Outcome.REFUSED: 1}
        code = codes.get(watcher.run_once(), 2)
    else:
        telemetry.notify_systemd("READY=1")
        watcher.run(beat=lambda: telemetry.notify_systemd("WATCHDOG=1"))
    if watcher.is_hanging:
        telemetry.exit_now(code)
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
def run_doctor(context: click.Context, *, name: str | None) -> None:
    """Check everything that a first preview needs.

    Exit code 0: nothing is missing. 1: something is. 2: some checks failed to complete.
    """
    with Console(stderr=True).status("Checking the stack and AWS"):
        rows = [*doctor.examine(name)]
    context.exit(doctor.show(rows, terminal.report_console()))


def _read(name: str | None, sources: Sequence[str], status: Status) -> Snapshot:
    """Read a stack and its VPC."""
    stack = state.read(name)
    configured = settings.load(stack.config, stack.name)
    access = load_access(stack.config, stack.name)
    clients = connect(access, region_of(access))
    status.update(f"Reading the workers of stack {stack.name}")
    with ThreadPoolExecutor() as pool:
        nodes = pool.submit(nodes_to_compare, configured)
        discovery = discover(
            clients,
            configured,
            stack.cached,
            stack.owners,
            list_nodes=nodes.result if configured.pod_cidr_from == "node" else None,
            whole_vpc=True,
        )
    planned = plan.draft(configured, discovery, stack)
    status.update(f"Reading {planned.vpc.id} around {len(planned.workers):,} workers")
    snapshot = replace(
        collect.snapshot(clients, stack, configured, discovery, planned),
        nodes=nodes.result(),
    )
    workers = {each for w in snapshot.workers for each in (w.name, w.instance_id)}
    named = map(snapshot.node_instance, sources)
    others = [each for each in named if each not in workers]
    return collect.with_sources(clients, snapshot, others) if others else snapshot


def run() -> None:
    """Run a command; report an operator's mistake in one message, with exit code 2."""
    with Path(os.devnull).open() as nothing:  # so that no helper can prompt
        os.dup2(nothing.fileno(), 0)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # if a terminal lacks a character
            stream.reconfigure(errors="replace")
    try:
        main()
    except (RoutesError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except Exception:  # noqa: BLE001 - a bug; 1 would mean FAIL
        traceback.print_exc()
        sys.exit(2)
