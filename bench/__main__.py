"""`python -m bench`: measure every contender in turn, and write the results.

`python -m bench controllers` measures the watcher beside AWS's cloud controller.
"""

from __future__ import annotations

import os
import tempfile
from itertools import product
from pathlib import Path
from typing import Final

import click

from bench.contenders import Contender, Floor, Loop, Program, Terraform
from bench.controllers import CONTENDERS, follow, tables
from bench.measure import CommandFailedError
from bench.results import Case, Results, render
from bench.watching import watch
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control
from sandbox.kube.binaries import PROGRAMS
from sandbox.pulumi.engine import AWS_VERSION, CLI_VERSION, ensure, heed_interrupts

_HERE: Final = Path(__file__).resolve().parent
_TOOLS: Final = _HERE.parent / ".bench"
_QUOTA: Final = 1100
_FEW: Final = 10
"""The maximum number of workers with which the loop runs in every round."""
_MANY: Final = 100
"""The maximum number of workers with more than one round."""
_MOST: Final = 200
"""The maximum number of workers for the peers, which would take hours for more."""
_WATCHED: Final = (50, 1000)


@click.group(invoke_without_command=True)
@click.option("--workers", multiple=True, type=int, default=(3, 50, 200, 1000))
@click.option(
    "--latency", multiple=True, type=int, default=(0, 40), help="Added per call, in ms."
)
@click.option("--rounds", default=3, show_default=True, help="One from 101 workers on.")
@click.pass_context
def main(
    context: click.Context,
    workers: tuple[int, ...],
    latency: tuple[int, ...],
    rounds: int,
) -> None:
    """Measure this program beside its peers in the sandbox."""
    if context.invoked_subcommand:
        return
    heed_interrupts()
    engine = ensure()
    _TOOLS.mkdir(exist_ok=True)
    contenders: list[Contender] = [Program(engine), Floor(engine), Loop(_TOOLS)]
    absent = {}
    try:
        contenders.insert(2, Terraform(_TOOLS))
    except CommandFailedError as error:
        absent[Terraform.name] = str(error)
    results = Results(absent)
    for size, delay in product(workers, latency):
        with Sandbox() as box:
            box.control(Control(quota=_QUOTA))
            lab = labs.create_lab(box.client("ec2"), workers=size)
            for number in range(rounds if size <= _MANY else 1):
                turn = number % len(contenders)
                for contender in contenders[turn:] + contenders[:turn]:
                    if not _takes_part(contender, size, number):
                        continue
                    round_ = f"{size} workers, {delay} ms, round {number + 1}"
                    click.echo(f"{round_}: {contender.name}")
                    try:
                        _measure(contender, lab, box, delay, results)
                    except CommandFailedError as error:
                        if isinstance(contender, Program):
                            raise
                        reason = " ".join(str(error).split())[-300:]
                        absent[f"{contender.name} ({round_})"] = reason
                    _clear(lab, box)
        results.write()
    for size in _WATCHED:
        click.echo(f"watching {size} workers, three minutes")
        results.watched.append(watch(size, engine))
        results.write()
    click.echo("Written: bench/RESULTS.md, results.csv and chart.svg")


@main.command()
@click.option("--nodes", multiple=True, type=int, default=(50, 300))
def controllers(nodes: tuple[int, ...]) -> None:
    """Measure `watch` beside AWS's cloud controller, on clusters of this size."""
    heed_interrupts()
    engine = ensure()
    figures = []
    loads = []
    for size, contender in product(nodes, CONTENDERS):
        click.echo(f"{size} Nodes, {contender.name}: about ten minutes")
        loads.append(os.getloadavg()[0])
        figures.append(follow(contender, size, engine))
        loads.append(os.getloadavg()[0])
        click.echo(figures[-1])
    provider = "with a stand-in for" if engine.stand_in else "with"
    render(
        "CONTROLLERS.md",
        loads=(min(loads), max(loads)),
        versions=(
            *(f"{each.name} {each.version}" for each in PROGRAMS),
            f"Pulumi {CLI_VERSION} {provider} pulumi-aws {AWS_VERSION}",
        ),
        sizes=tables(figures),
    )
    click.echo("Written: bench/CONTROLLERS.md")


def _takes_part(contender: Contender, size: int, number: int) -> bool:
    """Return whether a contender runs in this round."""
    if isinstance(contender, Loop):
        return size <= _FEW or (size <= _MOST and number == 0)
    return size <= _MOST or type(contender) is Program


def _measure(
    contender: Contender, lab: labs.Lab, box: Sandbox, delay: int, results: Results
) -> None:
    """Run the steps of one contender, with added latency in ms."""
    box.control(Control(quota=_QUOTA, latency=delay / 1000))
    try:
        with tempfile.TemporaryDirectory() as folder:
            for step, measured in contender.steps(lab, box, Path(folder)):
                case = Case(len(lab.workers), delay, contender.name, step)
                results.add(case, contender, measured)
                click.echo(f"  {step:24} {measured.seconds:7.2f} s")
    finally:
        box.control(Control(quota=_QUOTA))


def _clear(lab: labs.Lab, box: Sandbox) -> None:
    """Remove a contender's routes, so that the next one starts without any."""
    ec2 = box.client("ec2")
    for destination in labs.routes(ec2, lab.table_id):
        if destination.startswith("10.200."):
            ec2.delete_route(
                RouteTableId=lab.table_id, DestinationCidrBlock=destination
            )


if __name__ == "__main__":
    main()
