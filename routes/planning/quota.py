"""How many routes each table will hold, against the account's quota."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from routes.errors import Finding, Severity
from routes.model import NAMESPACE, Discovery, RouteTable, Worker, by_destination
from routes.networks import Network


def compare(
    quota: int,
    discovery: Discovery,
    tables: Iterable[RouteTable],
    workers: Iterable[Worker],
) -> tuple[list[Finding], list[Finding]]:
    """Return what is past the quota of routes per table, and what is near it.

    Args:
        quota: for each IP family (VPC User Guide, "Amazon VPC quotas"); 0 for no check.
        discovery: for the sizes of prefix lists.
        tables: as they stand.
        workers: who get a route in each.
    """
    past = []
    near = []
    for table in tables if quota else ():
        for family, count, grows in _static_counts(discovery, table, workers):
            routes = f"{count} static {family} routes"
            if grows and count > quota:
                told = f"it would hold {routes}, past the quota of {quota}."
                past.append(_finding(table, told, Severity.FAULT))
            elif count > 0.8 * quota:
                told = f"it will hold {routes}, over 80% of the quota of {quota}."
                near.append(_finding(table, told, Severity.WARNING))
    return past, near


def _finding(table: RouteTable, problem: str, severity: Severity) -> Finding:
    return Finding(
        where=table.id,
        problem=problem,
        remedy="Ask AWS for a higher quota of routes per route table, then set"
        f" {NAMESPACE}:routeQuota to it.",
        severity=severity,
    )


def _static_counts(
    discovery: Discovery, table: RouteTable, workers: Iterable[Worker]
) -> Iterator[tuple[str, int, bool]]:
    """Yield each IP family of the workers, what its quota counts, and if that grows.

    Counted is what stands once the update has created its routes, and before it deletes
    any. Propagated and local routes do not count; a prefix list counts the most entries
    that it may have (VPC User Guide, "Amazon VPC quotas" and "Managed prefix lists").
    """
    standing = {route.destination for route in table.routes if route.is_static}
    wanted = by_destination(workers)
    counts: Counter[str] = Counter()
    for destination in standing | set(wanted):
        if isinstance(destination, str):
            family, size = discovery.prefix_lists.get(destination, ("IPv4", 1))
            counts[family] += size
        else:
            counts[_family(destination)] += 1
    growing = {_family(network) for network in wanted if network not in standing}
    for family in sorted({_family(network) for network in wanted}):
        yield family, counts[family], family in growing


def _family(network: Network) -> str:
    return f"IPv{network.version}"
