"""What keeps pods from talking although every route can be declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from routes import commands
from routes.errors import Fault
from routes.model import (
    Network,
    Route,
    RouteTable,
    Worker,
    by_destination,
    contains,
)
from routes.settings import Settings


def warnings(
    settings: Settings,
    region: str,
    tables: Iterable[RouteTable],
    workers: Iterable[Worker],
) -> Iterator[Fault]:
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
            elif any(contains(net, destination) for net in settings.cluster_cidr):
                yield _stale_blackhole(table, destination, route, region)


def _check_is_on(worker: Worker, region: str) -> Iterator[Fault]:
    """See VPC User Guide, "NAT instances", on source/destination checks."""
    if worker.interface and worker.interface.source_dest_check:
        yield Fault(
            where=worker.label,
            problem=f"the source/destination check of {worker.interface.id} is on, so"
            " EC2 drops what its pods send and receive.",
            remedy="Turn it off:",
            command=commands.check_off(worker.interface.id, region),
        )


def _not_running(worker: Worker, region: str) -> Iterator[Fault]:
    if worker.state == "running":
        return
    yield Fault(
        where=worker.label,
        problem=f"the instance is {worker.state}; until it runs, its routes are"
        " blackholes.",
        remedy={
            "pending": "Wait for it:",
            "stopping": "Start it once it has stopped. To wait for that:",
            "stopped": "Start it:",
        }[worker.state],
        command=commands.start(worker.instance_id, worker.state, region),
    )


def _own_blackhole(
    table: RouteTable, route: Route, worker: Worker, region: str
) -> Iterator[Fault]:
    """Warn where neither an update of the target nor a start of the worker mends it."""
    right_target = worker.interface and route.target == worker.interface.id
    if right_target and worker.state == "running":
        yield Fault(
            where=worker.label,
            problem=f"the route {route.destination} in {table.id} leads to its"
            f" interface {route.target}, and yet is a blackhole.",
            remedy="See how the interface is attached:",
            command=commands.describe_interface(route.target, region),
        )


def _stale_blackhole(
    table: RouteTable, destination: Network, route: Route, region: str
) -> Fault:
    return Fault(
        where=table.id,
        problem=f"the route {destination} to {route.target or 'nothing'} is a"
        " blackhole, and no worker's in this plan.",
        remedy="An update removes it if this stack declared it. Otherwise, if nobody"
        " needs it:",
        command=commands.remove_route(table.id, route, region),
    )
