"""Build values of the model for tests: the lab's, with changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address, ip_network
from typing import Any, TypeVar

from routes import settings as settings_module
from routes.engine.state import Stack
from routes.model import (
    COMPONENT_TYPE,
    ROUTE_TYPE,
    Destination,
    Discovery,
    Interface,
    ManagedRoute,
    Node,
    PodRoute,
    Route,
    RouteKey,
    RouteTable,
    Selector,
    Vpc,
    Worker,
)
from routes.networks import Network
from routes.settings import Settings

Named = TypeVar("Named", bound=Worker | RouteTable)

LAB_CONFIG = {
    "pod-routes:routeTables": "kubernetes",
    "pod-routes:workers": "worker-0,worker-1,worker-2",
    "pod-routes:clusterCidr": "10.200.0.0/16",
}
LOCAL = Route(
    destination=ip_network("10.0.0.0/16"), target="local", origin="CreateRouteTable"
)
INTERNET = Route(destination=ip_network("0.0.0.0/0"), target="igw-1")


def settings(**changes: str) -> Settings:
    """Return the lab's settings with other values for some keys."""
    own = {f"pod-routes:{key}": value for key, value in changes.items()}
    return settings_module.load(LAB_CONFIG | own, "dev")


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def worker(number: int = 0, **changes: Any) -> Worker:  # noqa: ANN401
    """Return the lab's worker of that number."""
    interface = Interface(
        id=f"eni-{number}", subnet_id="subnet-1", source_dest_check=False
    )
    values: dict[str, Any] = {
        "name": f"worker-{number}",
        "instance_id": f"i-{number}",
        "state": "running",
        "availability_zone": "us-east-1a",
        "launch_time": datetime(2026, 11, 1, 10, number, tzinfo=UTC),
        "private_ip": IPv4Address("10.0.1.20") + number,
        "interface": interface,
        "pod_cidrs": networks(f"10.200.{number}.0/24"),
    }
    return Worker(**(values | changes))


def node(number: int = 0, **changes: Any) -> Node:  # noqa: ANN401
    """Return the Node of the lab's worker of that number."""
    values: dict[str, Any] = {
        "name": f"worker-{number}",
        "provider_id": f"aws:///us-east-1a/i-{number}",
        "addresses": (f"10.0.1.{20 + number}",),
        "pod_cidrs": (f"10.200.{number}.0/24",),
    }
    return Node(**(values | changes))


def table(*routes: Route, **changes: Any) -> RouteTable:  # noqa: ANN401
    """Return the lab's route table, with more routes."""
    values: dict[str, Any] = {
        "id": "rtb-1",
        "name": "kubernetes",
        "vpc_id": "vpc-1",
        "routes": (LOCAL, INTERNET, *routes),
    }
    return RouteTable(**(values | changes))


def route(destination: str, target: str = "eni-9", **changes: str) -> Route:
    """Return a route to a network or a prefix list."""
    return Route(destination=_destination(destination), target=target, **changes)


def key(destination: str, table_id: str = "rtb-1") -> RouteKey:
    """Return the key of a route, by default in the lab's table."""
    return RouteKey(table_id, _destination(destination))


def _destination(text: str) -> Destination:
    return text if text.startswith("pl-") else ip_network(text)


def stack(
    targets: Mapping[str, str] | Mapping[RouteKey, str] | None = None,
    **changes: Any,  # noqa: ANN401
) -> Stack:
    """Return a stack whose state has routes to these targets.

    Args:
        targets: the network interface of each route, by its key or its import id.
        changes: other values of the stack.
    """
    managed = {}
    for each, target in (targets or {}).items():
        route_key = each if isinstance(each, RouteKey) else RouteKey.parse(each)
        managed[route_key] = ManagedRoute(urn=urn(route_key), target=target)
    values: dict[str, Any] = {
        "name": "dev",
        "config": {},
        "managed": managed,
        "components": {},
    }
    return Stack(**(values | changes))


def urn(route_key: RouteKey) -> str:
    """Return the URN that the program gives to a route."""
    types = f"{COMPONENT_TYPE}${ROUTE_TYPE}"
    return f"urn:pulumi:dev::pod-routes::{types}::{route_key.import_id}"


def pod_route(
    destination: str = "10.200.1.0/24",
    target: str = "eni-1",
    table_id: str = "rtb-1",
    instance_id: str | None = None,
) -> PodRoute:
    """Return a desired route, by default that of the lab's worker-1."""
    return PodRoute(
        route_table_id=table_id,
        destination=ip_network(destination),
        network_interface_id=target,
        worker="worker-1",
        instance_id=instance_id,
    )


def discovery(
    workers: Iterable[Worker] | Mapping[Selector, tuple[Worker, ...]] = (
        worker(0),
        worker(1),
        worker(2),
    ),
    tables: Iterable[RouteTable] | Mapping[Selector, tuple[RouteTable, ...]] = (
        table(),
    ),
    **changes: Any,  # noqa: ANN401
) -> Discovery:
    """Return a discovery.

    Args:
        workers: what each entry matches; without entries, each is selected by its name.
        tables: the same.
        changes: other values of the discovery.
    """
    if not isinstance(workers, Mapping):
        workers = by_name(workers)
    if not isinstance(tables, Mapping):
        tables = by_name(tables)
    values: dict[str, Any] = {
        "account": "123456789012",
        "region": "us-east-1",
        "tables": tables,
        "vpcs": (Vpc(id="vpc-1", cidrs=networks("10.0.0.0/16")),),
        "workers": workers,
    }
    return Discovery(**(values | changes))


def by_name(things: Iterable[Named]) -> dict[Selector, tuple[Named, ...]]:
    """Return what entries match that are the names of workers or tables."""
    matches: dict[Selector, tuple[Named, ...]] = {}
    for thing in things:
        selector = Selector(thing.name)
        matches[selector] = (*matches.get(selector, ()), thing)
    return matches


def one_line(message: object) -> str:
    """Undo the wrapping of a message."""
    return re.sub(r"\s+", " ", str(message))
