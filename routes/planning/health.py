"""Reasons why a worker doesn't forward packets, whatever its routes are."""

from __future__ import annotations

from routes import commands
from routes.errors import Finding
from routes.model import Worker


def not_running(worker: Worker, region: str) -> Finding | None:
    """Return a finding if the instance isn't running."""
    if worker.state == "running":
        return None
    return Finding(
        resource=worker.instance_id,
        problem=f"is {worker.state}",
        command=commands.start(worker.instance_id, worker.state, region),
    )


def source_dest_check_on(worker: Worker, region: str) -> Finding | None:
    """Return a finding if the source/destination check is on.

    An instance that forwards packets needs it off (VPC User Guide, "NAT instances",
    "Disable source/destination checks").
    """
    interface = worker.interface
    if not interface or not interface.source_dest_check:
        return None
    return Finding(
        resource=interface.id,
        problem="has its source/destination check on",
        command=commands.disable_check(interface.id, region),
    )
