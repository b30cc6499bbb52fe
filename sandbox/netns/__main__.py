"""The process with the namespaces: JSON lines in, JSON lines out."""

from __future__ import annotations

import json
import shutil
import sys

import click

from sandbox.netns.account import Worker
from sandbox.netns.kernel import Namespace, Vpc
from sandbox.netns.layout import Layout
from sandbox.netns.packets import Probe, send


def main() -> None:
    """Create a network or send probes for each line, until the input ends."""
    Namespace().close()  # fails if this machine doesn't allow namespaces
    click.echo(json.dumps(bool(shutil.which("nft"))))
    vpc = Vpc()
    for line in sys.stdin:
        request = json.loads(line)
        if "probes" in request:
            probes = [Probe(*probe) for probe in request["probes"]]
            click.echo(json.dumps(send(vpc.pods, probes, request["seconds"])))
        else:
            workers = [Worker(**worker) for worker in request.pop("workers")]
            vpc.create(Layout(workers=workers, **request))
            click.echo("null")


if __name__ == "__main__":
    main()
