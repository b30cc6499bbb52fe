"""What keeps pods from talking although every route can be declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from routes import remedies
from routes.errors import Finding, Severity
from routes.health import check_is_on, not_running
from routes.model import Route, RouteTable, Worker, by_destination
from routes.networks import enclosing
from routes.settings import Settings


def warnings_of(
    settings: Settings,
    region: str,
    tables: Iterable[RouteTable],
    workers: Iterable[Worker],
) -> Iterator[Finding]:
    """Yield what is wrong beside the routes, with the command that mends it."""
    for worker in workers:
        yield from _check_is_on(worker, region)
        yield from _not_running(worker, region)
    wanted = by_destination(workers)
    for table in tables:
        for destination, route in table.static_routes().items():
            if route.state != "blackhole":
                continue
            if destination in wanted:
                yield from _own_blackhole(table, route, wanted[destination], region)
            elif enclosing(settings.cluster_cidr, destination):
                yield _foreign_blackhole(settings, table, route)


def _check_is_on(worker: Worker, region: str) -> Iterator[Finding]:
    ailment = check_is_on(worker, region)
    if ailment:
        yield Finding(
            where=worker.label,
            problem=f"{ailment.resource} {ailment.problem}, so EC2 drops what its pods"
            " send and receive.",
            remedy="Turn it off:",
            command=ailment.command,
            severity=Severity.WARNING,
        )


def _not_running(worker: Worker, region: str) -> Iterator[Finding]:
    ailment = not_running(worker, region)
    if ailment:
        yield Finding(
            where=worker.label,
            problem=f"the instance {ailment.problem}; until it runs, its routes are"
            " blackholes.",
            remedy={
                "pending": "Wait for it:",
                "stopping": "Start it once it has stopped. To wait for that:",
                "stopped": "Start it:",
            }[worker.state],
            command=ailment.command,
            severity=Severity.WARNING,
        )


def _own_blackhole(
    table: RouteTable, route: Route, worker: Worker, region: str
) -> Iterator[Finding]:
    """Warn where neither an update of the target nor a start of the worker mends it."""
    right_target = worker.interface and route.target == worker.interface.id
    if right_target and worker.state == "running":
        yield Finding(
            where=worker.label,
            problem=f"the route {route.destination} in {table.id} leads to its"
            f" interface {route.target}, and yet is a blackhole.",
            remedy="See how the interface is attached:",
            command=remedies.describe(route.target, region),
            severity=Severity.WARNING,
        )


def _foreign_blackhole(settings: Settings, table: RouteTable, route: Route) -> Finding:
    """Tell a worker that may come back from one that is gone.

    EC2 names a route's instance while the interface is attached to one. A stop leaves
    it so: "the root device and any other devices attached to the instance persist" (EC2
    API Reference, "StopInstances"). An interface of no instance may be gone, or on its
    way to another one; only DescribeNetworkInterfaces tells, which `verify` asks.
    """
    lies = f"the route {route.destination} to {route.target or 'nothing'}"
    if route.instance_id:
        return Finding(
            where=table.id,
            problem=f"{lies} is a blackhole, for {route.instance_id} does not run. No"
            " worker in this plan has that range: another's, perhaps.",
            severity=Severity.WARNING,
        )
    remedy, command = "if nobody needs it, its owner has to delete it.", ""
    if route.is_to_interface:
        remedy = "this reports if its interface is deleted:"
        command = remedies.verify(settings.stack)
    return Finding(
        where=table.id,
        problem=f"{lies} is a blackhole, and no worker's in this plan.",
        remedy=f"An update deletes it if this stack declared it. Otherwise, {remedy}",
        command=command,
        severity=Severity.WARNING,
    )
