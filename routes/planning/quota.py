"""The number of routes in each table, and the account's quota."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from routes.errors import Finding, Severity
from routes.model import NAMESPACE, Destination, Route, RouteKey, Worker
from routes.networks import Network

Weights = Mapping[str, tuple[str, int]]
"""Prefix list id to its IP family, and how many routes it counts as."""


def compare(
    quota: int,
    weights: Weights,
    existing: Iterable[RouteKey],
    table_ids: Iterable[str],
    pod_cidrs: Collection[Network],
) -> tuple[list[Finding], list[Finding]]:
    """Return the tables that exceed the quota, and those that come close to it.

    Args:
        quota: routes per table and IP family (VPC User Guide, "Amazon VPC quotas"); 0
            for no check.
        weights: of the tables' prefix lists.
        existing: the static routes.
        table_ids: the tables of the plan.
        pod_cidrs: the desired destinations in each table.
    """
    exceeded = []
    close = []
    in_tables = _by_table(existing, table_ids if quota else ())
    for table_id, destinations in in_tables.items():
        counts = _counts(weights, destinations.union(pod_cidrs))
        growing = {_family(each) for each in pod_cidrs if each not in destinations}
        for family in sorted(set(map(_family, pod_cidrs))):
            routes = f"{counts[family]} static {family} routes"
            if family in growing and counts[family] > quota:
                problem = f"it would have {routes}; the quota is {quota}."
                exceeded.append(_finding(table_id, problem, Severity.ERROR))
            elif counts[family] > 0.8 * quota:
                problem = f"it will have {routes}, over 80% of the quota of {quota}."
                close.append(_finding(table_id, problem, Severity.WARNING))
    return exceeded, close


class Headroom:
    """The unused quota in the fullest table."""

    def __init__(
        self,
        quota: int,
        weights: Weights,
        existing: Mapping[RouteKey, Route],
        table_ids: Sequence[str],
        workers: Iterable[Worker],
    ) -> None:
        """Count the routes of `workers`; other arguments are those of `compare`.

        Without a quota there is room for every worker.
        """
        pod_cidrs = {cidr for worker in workers for cidr in worker.pod_cidrs}
        in_tables = [*_by_table(existing, table_ids).values()]
        counts = [_counts(weights, each | pod_cidrs) for each in in_tables]
        self._left = {
            family: quota - max(each[family] for each in counts) if quota else math.inf
            for family in ("IPv4", "IPv6")
        }
        self._everywhere = in_tables[0].intersection(*in_tables[1:])

    def admit(self, worker: Worker) -> bool:
        """Reserve a worker's new routes, and return whether there is room for them."""
        new = [each for each in worker.pod_cidrs if each not in self._everywhere]
        need = Counter(map(_family, new))
        if any(need[each] > self._left[each] for each in need):
            return False
        for family, count in need.items():
            self._left[family] -= count
        return True


def _by_table(
    existing: Iterable[RouteKey], table_ids: Iterable[str]
) -> dict[str, set[Destination]]:
    destinations: dict[str, set[Destination]] = {each: set() for each in table_ids}
    for key in existing:
        if key.route_table_id in destinations:
            destinations[key.route_table_id].add(key.destination)
    return destinations


def _finding(table_id: str, problem: str, severity: Severity) -> Finding:
    return Finding(
        resource=table_id,
        problem=problem,
        hint="Ask AWS for a higher quota of routes per route table, then set"
        f" {NAMESPACE}:routeQuota to it.",
        severity=severity,
    )


def _counts(weights: Weights, destinations: Iterable[Destination]) -> Counter[str]:
    """Count static routes by IP family, as the quota does.

    An update creates routes before it deletes any, so both count. Propagated and local
    routes don't; a prefix list counts its maximum of entries (VPC User Guide, "Amazon
    VPC quotas" and "Managed prefix lists").
    """
    counts: Counter[str] = Counter()
    for destination in destinations:
        if isinstance(destination, str):
            family, weight = weights.get(destination, ("IPv4", 1))
            counts[family] += weight
        else:
            counts[_family(destination)] += 1
    return counts


def _family(network: Network) -> str:
    return f"IPv{network.version}"
