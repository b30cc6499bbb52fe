"""Parse, compare and sort networks of both IP families."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network


def parse_network(text: str) -> Network:
    """Return the network that a CIDR such as 10.200.0.0/24 or fd00:200::/64 names.

    Raises:
        ValueError: not a CIDR, or one with host bits set. The message completes "the
            value ..." and quotes nothing but the network that the value lies in.
    """
    interface = _interface(text)
    if interface is None:
        raise ValueError("is not a CIDR such as 10.200.0.0/24")
    if interface.ip != interface.network.network_address:
        raise ValueError(f"has host bits set; its network is {interface.network}")
    return interface.network


def _interface(text: str) -> IPv4Interface | IPv6Interface | None:
    """Parse address/length, without the netmasks and scopes of `ipaddress`."""
    address, _, length = text.partition("/")
    if "%" in address or not (length.isascii() and length.isdigit()):
        return None
    try:
        return ip_interface(text)
    except ValueError:
        return None


def contains(outer: Network, inner: Network) -> bool:
    """Return whether every address of `inner` is one of `outer`."""
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def enclosing(outers: Iterable[Network], inner: Network) -> Network | None:
    """Return the first network that contains all of `inner`."""
    return next((outer for outer in outers if contains(outer, inner)), None)


def in_address_order(network: Network) -> tuple[int, int, int]:
    """Sort networks: IPv4 before IPv6, then by address, then shortest prefix first."""
    return network.version, int(network.network_address), network.prefixlen
