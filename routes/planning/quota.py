"""How many routes each table will hold, against the account's quota."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from routes.errors import Finding, Severity
from routes.model import NAMESPACE, Discovery, RouteTable, Worker, by_destination
from routes.networks import Network


def compare(
    quota: int,
    discovery: Discovery,
    tables: Iterable[RouteTable],
    workers: Sequence[Worker],
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
    wanted = by_destination(workers).keys()
    for table in tables if quota else ():
        counts = _static_counts(discovery, table, wanted)
        standing = table.static_routes()
        growing = {_family(each) for each in wanted if each not in standing}
        for family in sorted(set(map(_family, wanted))):
            count = counts[family]
            routes = f"{count} static {family} routes"
            if family in growing and count > quota:
                told = f"it would hold {routes}, past the quota of {quota}."
                past.append(_finding(table, told, Severity.FAULT))
            elif count > 0.8 * quota:
                told = f"it will hold {routes}, over 80% of the quota of {quota}."
                near.append(_finding(table, told, Severity.WARNING))
    return past, near


class Room:
    """What is left of the quota, in the table that has least."""

    def __init__(
        self,
        quota: int,
        discovery: Discovery,
        tables: Sequence[RouteTable],
        workers: Sequence[Worker],
    ) -> None:
        """Start with the routes of some workers, for the arguments of `compare`.

        Without a quota there is room for all.
        """
        wanted = by_destination(workers).keys()
        counts = [_static_counts(discovery, table, wanted) for table in tables if quota]
        self._left = {
            family: quota - max(each[family] for each in counts) if quota else math.inf
            for family in ("IPv4", "IPv6")
        }
        standing = [table.static_routes().keys() for table in tables]
        self._everywhere = frozenset(standing[0]).intersection(*standing[1:])

    def admits(self, worker: Worker) -> bool:
        """Take what a worker's new routes need, if it is there."""
        new = [each for each in worker.pod_cidrs if each not in self._everywhere]
        need = Counter(map(_family, new))
        if any(need[each] > self._left[each] for each in need):
            return False
        for family, count in need.items():
            self._left[family] -= count
        return True


def _finding(table: RouteTable, problem: str, severity: Severity) -> Finding:
    return Finding(
        where=table.id,
        problem=problem,
        remedy="Ask AWS for a higher quota of routes per route table, then set"
        f" {NAMESPACE}:routeQuota to it.",
        severity=severity,
    )


def _static_counts(
    discovery: Discovery, table: RouteTable, wanted: Collection[Network]
) -> Counter[str]:
    """Return what the quota of each IP family counts.

    Counted is what stands once the update has created its routes, and before it deletes
    any. Propagated and local routes do not count; a prefix list counts the most entries
    that it may have (VPC User Guide, "Amazon VPC quotas" and "Managed prefix lists").
    """
    standing = {route.destination for route in table.routes if route.is_static}
    counts: Counter[str] = Counter()
    for destination in standing.union(wanted):
        if isinstance(destination, str):
            family, size = discovery.prefix_lists.get(destination, ("IPv4", 1))
            counts[family] += size
        else:
            counts[_family(destination)] += 1
    return counts


def _family(network: Network) -> str:
    return f"IPv{network.version}"
