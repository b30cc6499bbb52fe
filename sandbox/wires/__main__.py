"""The process behind the wires: JSON lines in, JSON lines out, until the input ends."""

from __future__ import annotations

import json
import shutil
import sys

import click

from sandbox.wires.account import Worker
from sandbox.wires.kernel import Namespace, Vpc
from sandbox.wires.layout import Layout
from sandbox.wires.packets import Probe, send


def main() -> None:
    """Lay what is asked for in place of what stands, or send what is asked for."""
    Namespace().close()  # shows whether it can be done at all
    click.echo(json.dumps(bool(shutil.which("nft"))))
    vpc = Vpc()
    for line in sys.stdin:
        order = json.loads(line)
        if "probes" in order:
            probes = [Probe(*probe) for probe in order["probes"]]
            click.echo(json.dumps(send(vpc.pods, probes, order["seconds"])))
        else:
            workers = [Worker(**worker) for worker in order.pop("workers")]
            vpc.lay(Layout(workers=workers, **order))
            click.echo("null")


if __name__ == "__main__":
    main()
