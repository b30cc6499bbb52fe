"""Longest-prefix match, over whole networks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple

from routes.model import Route, RouteTable, networks_of
from routes.networks import Network, enclosing
from routes.verify.header_space import Span, span

_BITS: Final = {4: 32, 6: 128}
_FROM_VPN: Final = "EnableVgwRoutePropagation"


class RoutedRange(NamedTuple):
    """Addresses of one network that take the same route.

    Attributes:
        routes: empty if no route matches; several if EC2 picks one of them.
        prefix_length: of the match, None if there is none.
        unread: routes to prefix lists that were not read, and that may win instead.
    """

    addresses: Span
    routes: tuple[Route, ...]
    prefix_length: int | None
    unread: tuple[Route, ...] = ()


class ForwardingTable:
    """A route table, indexed for lookups.

    The longest matching prefix wins; among equals a static route, then one to a prefix
    list, then a propagated one. "If your route table references
    multiple prefix lists that have overlapping CIDR blocks to different targets, we
    randomly choose which route takes priority" (VPC User Guide, "Route priority").

    And "if propagated routes from a Site-to-Site VPN connection or AWS Direct Connect
    connection overlap with the local route for your VPC, the local route is most
    preferred even if the propagated routes are more specific" (Site-to-Site VPN User
    Guide, "Route tables and route priority").
    """

    def __init__(
        self,
        table: RouteTable,
        prefix_lists: Mapping[str, tuple[Network, ...]],
        unread: Collection[str] = (),
    ) -> None:
        """Index the routes.

        Args:
            table: the route table.
            prefix_lists: the entries of each prefix list that was read.
            unread: the table's prefix lists that were not read.
        """
        local = [
            route.destination
            for route in table.routes
            if route.target == "local" and not isinstance(route.destination, str)
        ]
        routes: dict[tuple[int, int, int], list[Route]] = {}
        for route in sorted(table.routes, key=_by_priority):
            for network in networks_of(route.destination, prefix_lists):
                if route.origin == _FROM_VPN and enclosing(local, network):
                    continue
                key = network.version, network.prefixlen, int(network.network_address)
                equals = routes.setdefault(key, [])
                if not equals or _rank(equals[0]) == _rank(route):
                    equals.append(route)
        lengths: defaultdict[int, set[int]] = defaultdict(set)
        bounds: defaultdict[int, set[int]] = defaultdict(set)
        for version, length, first in routes:
            lengths[version].add(length)
            bounds[version] |= {first, first + (1 << (_BITS[version] - length))}
        self._routes = {key: tuple(equals) for key, equals in routes.items()}
        self._lengths = {v: sorted(lengths[v], reverse=True) for v in _BITS}
        self._bounds = {v: sorted(bounds[v]) for v in _BITS}
        self._unread = tuple(r for r in table.routes if r.destination in unread)

    def match(self, version: int, address: int) -> tuple[tuple[Route, ...], int | None]:
        """Return one address' routes and prefix length, as in `RoutedRange`."""
        for length in self._lengths[version]:
            host = _BITS[version] - length
            routes = self._routes.get((version, length, address >> host << host))
            if routes:
                return routes, length
        return (), None

    def ranges(self, network: Network) -> Iterator[RoutedRange]:
        """Split a network wherever a route begins or ends."""
        addresses = span(network)
        bounds = self._bounds[network.version]
        inner = bounds[
            bisect_right(bounds, addresses.first) : bisect_left(
                bounds, addresses.last + 1
            )
        ]
        starts = [addresses.first, *inner]
        ends = [*(bound - 1 for bound in inner), addresses.last]
        for first, last in zip(starts, ends, strict=True):
            routes, length = self.match(network.version, first)
            is_certain = length == _BITS[network.version] and not _rank(routes[0])
            unread = () if is_certain else self._unread
            yield RoutedRange(Span(first, last), routes, length, unread)


def _by_priority(route: Route) -> tuple[int, str, str]:
    return _rank(route), route.target, str(route.destination)


def _rank(route: Route) -> int:
    if route.is_propagated:
        return 2
    return 1 if isinstance(route.destination, str) else 0
