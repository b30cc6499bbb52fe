"""What keeps a worker from forwarding packets, whatever its routes are."""

from __future__ import annotations

from typing import NamedTuple

from routes import remedies
from routes.model import Worker


class Ailment(NamedTuple):
    """What is wrong with a worker's own resource: `resource problem` is a sentence."""

    resource: str
    problem: str
    command: str


def not_running(worker: Worker, region: str) -> Ailment | None:
    """Ask whether the instance runs."""
    if worker.state == "running":
        return None
    return Ailment(
        worker.instance_id,
        f"is {worker.state}",
        remedies.start(worker.instance_id, worker.state, region),
    )


def check_is_on(worker: Worker, region: str) -> Ailment | None:
    """Ask for the source/destination check, which must be off to forward.

    See VPC User Guide, "NAT instances", "Disable source/destination checks".
    """
    interface = worker.interface
    if not interface or not interface.source_dest_check:
        return None
    return Ailment(
        interface.id,
        "has its source/destination check on",
        remedies.check_off(interface.id, region),
    )
