"""Sets of packets as ranges of protocols, ports and addresses."""

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

    def intersects(self, other: Span) -> bool:
        """Return whether the two intersect."""
        return self.first <= other.last and other.first <= self.last

    def intersection(self, other: Span) -> Span:
        """Return the intersection, which must not be empty."""
        return Span(max(self.first, other.first), min(self.last, other.last))


PROTOCOLS: Final = Span(0, 255)
PORTS: Final = Span(0, 65535)
EPHEMERAL: Final = Span(1024, 65535)
"""The ports of replies (VPC User Guide, "Ephemeral ports")."""


class HeaderSpace(NamedTuple):
    """Packets of one IP version, by the header fields that rules match.

    Attributes:
        ports: the destination ports; for ICMP, 256 * type + code.
        addresses: of the remote end, as numbers.
    """

    protocols: Span
    ports: Span
    addresses: Span
    version: int

    def intersects(self, other: HeaderSpace) -> bool:
        """Return whether the two intersect."""
        return (
            self.version == other.version
            and self.addresses.intersects(other.addresses)
            and self.protocols.intersects(other.protocols)
            and self.ports.intersects(other.ports)
        )

    def subtract(self, other: HeaderSpace) -> Iterator[HeaderSpace]:
        """Yield what is left without the other, as disjoint header spaces."""
        if not self.intersects(other):
            yield self
            return
        rest = self
        for field in ("protocols", "addresses", "ports"):
            mine: Span = getattr(rest, field)
            taken: Span = getattr(other, field)
            if mine.first < taken.first:
                yield rest.narrowed(field, Span(mine.first, taken.first - 1))
            if taken.last < mine.last:
                yield rest.narrowed(field, Span(taken.last + 1, mine.last))
            rest = rest.narrowed(field, mine.intersection(taken))

    def narrowed(self, field: str, numbers: Span) -> HeaderSpace:
        """Return the header space with another range in one field."""
        changed: dict[str, Any] = {field: numbers}
        return self._replace(**changed)

    def intersection(self, other: HeaderSpace) -> HeaderSpace:
        """Return the intersection, which must not be empty."""
        return HeaderSpace(
            protocols=self.protocols.intersection(other.protocols),
            ports=self.ports.intersection(other.ports),
            addresses=self.addresses.intersection(other.addresses),
            version=self.version,
        )

    @property
    def is_usual(self) -> bool:
        """Whether TCP, UDP or ICMP, which pods use, is among the protocols."""
        return any(map(self.covers_protocol, self.usual_protocols))

    @property
    def kind(self) -> str:
        """Name the first of the protocols that pods use, and its ports."""
        if (self.protocols, self.ports) == (PROTOCOLS, PORTS):
            return "all traffic"
        number = next(
            filter(self.covers_protocol, self.usual_protocols), self.protocols.first
        )
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
    def usual_protocols(self) -> tuple[int, int, int]:
        """Return the numbers of the protocols that pods use."""
        return TCP, UDP, ICMP[self.version]

    def covers_protocol(self, number: int) -> bool:
        """Return whether packets of this protocol are among them."""
        return self.protocols.first <= number <= self.protocols.last


@dataclass(frozen=True)
class Traffic:
    """The packets that must arrive.

    Attributes:
        protocol: tcp, udp, icmp or all.
        port: the destination port; None for every port.
    """

    protocol: str = "all"
    port: int | None = None

    def forward(self, far: Network) -> HeaderSpace:
        """Return these packets, to or from a pod CIDR."""
        port = PORTS if self.port is None else Span(self.port, self.port)
        return self._packets(far, port)

    def reply(self, far: Network) -> HeaderSpace:
        """Return the replies to them, as a stateless filter sees them."""
        return self._packets(
            far, EPHEMERAL if self.protocol in {"tcp", "udp"} else PORTS
        )

    def _packets(self, far: Network, ports: Span) -> HeaderSpace:
        numbers = {"tcp": TCP, "udp": UDP, "icmp": ICMP[far.version]}
        number = numbers.get(self.protocol)
        return HeaderSpace(
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


def matching(
    protocol: int, ports: tuple[int, int] | None, network: Network
) -> HeaderSpace:
    """Return the packets that match a rule in EC2's notation.

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
    return HeaderSpace(
        protocols=PROTOCOLS if protocol < 0 else Span(protocol, protocol),
        ports=matches,
        addresses=span(network),
        version=network.version,
    )


def subtract(spaces: Iterable[HeaderSpace], rule: HeaderSpace) -> list[HeaderSpace]:
    """Return what is left of several header spaces."""
    return [rest for space in spaces for rest in space.subtract(rule)]


def first_usual(spaces: Iterable[HeaderSpace]) -> HeaderSpace | None:
    """Return the first header space with TCP, else UDP, else ICMP; None without any."""
    return min(
        (space for space in spaces if space.is_usual),
        key=lambda space: (
            next(
                i
                for i, n in enumerate(space.usual_protocols)
                if space.covers_protocol(n)
            ),
            space.ports,
            space.addresses,
        ),
        default=None,
    )


def _icmp(types_and_codes: Span) -> str:
    if types_and_codes == PORTS:
        return "icmp"
    kind, code = divmod(types_and_codes.first, 256)
    return f"icmp type {kind} code {code}"
