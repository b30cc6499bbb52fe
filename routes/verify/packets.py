"""Packets as ranges, protocol by port by address, and what a rule leaves of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import Any, Final, NamedTuple

from routes.networks import Network

TCP: Final = 6
UDP: Final = 17
ICMP: Final = {4: 1, 6: 58}
"""The protocol numbers of ICMP and ICMPv6, by IP version."""


class Span(NamedTuple):
    """Whole numbers from first to last, both included."""

    first: int
    last: int

    def meets(self, other: Span) -> bool:
        """Return whether the two share a number."""
        return self.first <= other.last and other.first <= self.last

    def shared(self, other: Span) -> Span:
        """Return the numbers of both, which must meet."""
        return Span(max(self.first, other.first), min(self.last, other.last))


PROTOCOLS: Final = Span(0, 255)
PORTS: Final = Span(0, 65535)
EPHEMERAL: Final = Span(1024, 65535)
"""Where replies go (VPC User Guide, "Ephemeral ports")."""


class Packets(NamedTuple):
    """A box of packets of one IP version, told apart by what rules look at.

    Attributes:
        ports: the destination ports; of ICMP, 256 * type + code.
        addresses: of the far end, as numbers.
    """

    protocols: Span
    ports: Span
    addresses: Span
    version: int

    def meets(self, other: Packets) -> bool:
        """Return whether the two share a packet."""
        return (
            self.version == other.version
            and self.addresses.meets(other.addresses)
            and self.protocols.meets(other.protocols)
            and self.ports.meets(other.ports)
        )

    def minus(self, other: Packets) -> Iterator[Packets]:
        """Yield what is left without the other's packets, as boxes that do not meet."""
        if not self.meets(other):
            yield self
            return
        rest = self
        for axis in ("protocols", "addresses", "ports"):
            mine: Span = getattr(rest, axis)
            taken: Span = getattr(other, axis)
            if mine.first < taken.first:
                yield rest.only(axis, Span(mine.first, taken.first - 1))
            if taken.last < mine.last:
                yield rest.only(axis, Span(taken.last + 1, mine.last))
            rest = rest.only(axis, mine.shared(taken))

    def only(self, axis: str, numbers: Span) -> Packets:
        """Return the packets with another range on one axis."""
        changed: dict[str, Any] = {axis: numbers}
        return self._replace(**changed)

    def shared(self, other: Packets) -> Packets:
        """Return the packets of both, which must meet."""
        return Packets(
            protocols=self.protocols.shared(other.protocols),
            ports=self.ports.shared(other.ports),
            addresses=self.addresses.shared(other.addresses),
            version=self.version,
        )

    @property
    def is_common(self) -> bool:
        """Whether TCP, UDP or ICMP is among the protocols: what pods speak."""
        return any(map(self.covers_protocol, self.common))

    @property
    def kind(self) -> str:
        """Name the first of the protocols that pods speak, and its ports."""
        if (self.protocols, self.ports) == (PROTOCOLS, PORTS):
            return "all traffic"
        number = next(filter(self.covers_protocol, self.common), self.protocols.first)
        if number == ICMP[self.version]:
            return _icmp(self.ports)
        name = {TCP: "tcp", UDP: "udp"}.get(number, f"protocol {number}")
        if number not in {TCP, UDP} or self.ports == PORTS:
            return name
        if self.ports.first == self.ports.last:
            return f"{name} {self.ports.first}"
        return f"{name} {self.ports.first}-{self.ports.last}"

    @property
    def network(self) -> Network:
        """Return the first network among the addresses."""
        if self.version == 4:  # noqa: PLR2004
            return next(summarize_address_range(*map(IPv4Address, self.addresses)))
        return next(summarize_address_range(*map(IPv6Address, self.addresses)))

    @property
    def common(self) -> tuple[int, int, int]:
        """Return the numbers of the protocols that pods speak."""
        return TCP, UDP, ICMP[self.version]

    def covers_protocol(self, number: int) -> bool:
        """Return whether packets of this protocol are among them."""
        return self.protocols.first <= number <= self.protocols.last


@dataclass(frozen=True)
class Question:
    """Which packets must arrive.

    Attributes:
        protocol: tcp, udp, icmp, or all of every protocol.
        port: the destination port; every port where it is None.
    """

    protocol: str = "all"
    port: int | None = None

    def forward(self, far: Network) -> Packets:
        """Return the packets to or from a pod CIDR that the question asks for."""
        port = PORTS if self.port is None else Span(self.port, self.port)
        return self._packets(far, port)

    def reply(self, far: Network) -> Packets:
        """Return the answers to them, as a stateless filter sees them."""
        return self._packets(
            far, EPHEMERAL if self.protocol in {"tcp", "udp"} else PORTS
        )

    def _packets(self, far: Network, ports: Span) -> Packets:
        numbers = {"tcp": TCP, "udp": UDP, "icmp": ICMP[far.version]}
        number = numbers.get(self.protocol)
        return Packets(
            protocols=PROTOCOLS if number is None else Span(number, number),
            ports=ports,
            addresses=span(far),
            version=far.version,
        )

    def __str__(self) -> str:
        if self.protocol == "all":
            return "all protocols"
        return self.protocol if self.port is None else f"{self.protocol} {self.port}"


def span(network: Network) -> Span:
    """Return a network's addresses as numbers."""
    return Span(int(network.network_address), int(network.broadcast_address))


def matched(protocol: int, ports: tuple[int, int] | None, network: Network) -> Packets:
    """Return the packets that a rule matches, in EC2's notation of rules.

    Ports count for TCP and UDP; for ICMP they are type and code, -1 for any. Protocol
    -1 is every protocol (EC2 API Reference, "IpPermission" and "NetworkAclEntry").
    """
    matches = PORTS
    if ports and protocol in {TCP, UDP}:
        matches = Span(*ports)
    elif ports and protocol in ICMP.values() and ports[0] >= 0:
        kind, code = ports
        matches = Span(
            256 * kind + max(code, 0), 256 * kind + (code if code >= 0 else 255)
        )
    return Packets(
        protocols=PROTOCOLS if protocol < 0 else Span(protocol, protocol),
        ports=matches,
        addresses=span(network),
        version=network.version,
    )


def without(packets: Iterable[Packets], rule: Packets) -> list[Packets]:
    """Return what is left of several boxes."""
    return [rest for box in packets for rest in box.minus(rule)]


def first_common(packets: Iterable[Packets]) -> Packets | None:
    """Return the first box of TCP, then UDP, then ICMP; None if there is none."""
    found = [box for box in packets if box.is_common]
    return min(
        found,
        key=lambda box: (
            next(i for i, n in enumerate(box.common) if box.covers_protocol(n)),
            box.ports,
            box.addresses,
        ),
        default=None,
    )


def _icmp(types_and_codes: Span) -> str:
    if types_and_codes == PORTS:
        return "icmp"
    kind, code = divmod(types_and_codes.first, 256)
    return f"icmp type {kind} code {code}"
