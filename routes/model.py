"""What the program knows of EC2, as values: no network, no Pulumi."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)
from typing import Annotated, Final, Generic, TypeAlias, TypeVar

from pydantic import Field

NAMESPACE: Final = "pod-routes"
"""Of the configuration keys, and of the component's type."""
COMPONENT_TYPE: Final = f"{NAMESPACE}:index:PodNetworkRoutes"
ROUTE_TYPE: Final = "aws:ec2/route:Route"

Network: TypeAlias = IPv4Network | IPv6Network
Destination: TypeAlias = Annotated[Network | str, Field(union_mode="left_to_right")]
"""A network, or the id of what stands for several: `pl-...`, of rules also `sg-...`."""

Target_co = TypeVar("Target_co", covariant=True)
"""A string, or whatever stands for one before it is known: `pulumi.Input[str]`."""


@dataclass(frozen=True)
class Selector:
    """One entry of `workers` or `routeTables`: an id, or a Name tag.

    In a worker's Name tag `*` and `?` are EC2's filter wildcards; every other character
    stands for itself.
    """

    text: str

    @property
    def is_id(self) -> bool:
        """Whether the entry pins one instance or route table by its id."""
        return self.text.startswith(("i-", "rtb-"))

    @property
    def is_pattern(self) -> bool:
        """Whether the entry may match several instances."""
        return not self.is_id and any(character in self.text for character in "*?")

    @property
    def filter_value(self) -> str:
        r"""The value for EC2's filter, in which `\` would escape a wildcard."""
        return self.text.replace("\\", "\\\\")

    def selects(self, *, id: str, name: str) -> bool:  # noqa: A002 - EC2's word
        """Return whether a thing with this id and Name tag is meant."""
        if self.is_id:
            return id == self.text
        if self.is_pattern:
            return fnmatchcase(name, self.text.replace("[", "[[]"))
        return name == self.text

    def __str__(self) -> str:
        return self.text if self.is_id else f"Name={self.text}"


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The primary network interface (device index 0), attached to its instance."""

    id: str
    subnet_id: str
    source_dest_check: bool
    security_group_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One live EC2 instance that the configuration names.

    Attributes:
        name: the Name tag, or the instance id where there is none.
        state: pending, running, stopping or stopped.
        interface: None while no primary interface is attached.
        pod_cidrs: at most one network per IP family; empty where they were not read.
    """

    name: str
    instance_id: str
    state: str
    availability_zone: str
    launch_time: datetime
    private_ip: IPv4Address | None
    interface: Interface | None
    pod_cidrs: tuple[Network, ...] = ()

    @property
    def label(self) -> str:
        """What people call it: the name, and the id that tells namesakes apart."""
        if self.name == self.instance_id:
            return self.name
        return f"{self.name} ({self.instance_id})"


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """A VPC with every CIDR block associated with it, both IP families."""

    id: str
    cidrs: tuple[Network, ...]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One entry of a route table, as EC2 lists it.

    Attributes:
        destination: a network, or the id of a prefix list (`pl-...`).
        target: the id of what the route points to: `eni-...`, `igw-...`, `local` ...;
            empty where EC2 names none.
        instance_id: the instance behind an interface target, where there is one.
        state: active or blackhole.
        origin: CreateRouteTable, CreateRoute, EnableVgwRoutePropagation or
            Advertisement.
    """

    destination: Destination
    target: str
    instance_id: str | None = None
    state: str = "active"
    origin: str = "CreateRoute"

    @property
    def is_to_interface(self) -> bool:
        """Whether the target is a network interface, the only kind that a pod's is."""
        return self.target.startswith("eni-")

    @property
    def is_static(self) -> bool:
        """Whether somebody declared it: not `local`, not propagated by a gateway."""
        return self.origin == "CreateRoute"

    @property
    def is_propagated(self) -> bool:
        """Whether a virtual private gateway or a VPC route server put it there."""
        return self.origin in {"EnableVgwRoutePropagation", "Advertisement"}


@dataclass(frozen=True, kw_only=True)
class RouteTable:
    """A route table, its entries, and the subnets that use it.

    Attributes:
        main: whether subnets without an association of their own use it.
        subnet_ids: the subnets associated with it by name.
    """

    id: str
    name: str
    vpc_id: str
    routes: tuple[Route, ...]
    main: bool = False
    subnet_ids: tuple[str, ...] = ()

    def static_routes(self) -> dict[Network, Route]:
        """Return the entries that a CreateRoute for the same network collides with.

        Propagated routes are left out: a static one stands beside them and wins
        (VPC User Guide, "Route priority"). So are prefix lists.
        """
        return {
            route.destination: route
            for route in self.routes
            if not isinstance(route.destination, str) and route.is_static
        }


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """Everything that the program read from EC2, before anything is judged.

    Attributes:
        account, region: as whom and where it was read.
        tables: what each entry of `routeTables` matches.
        vpcs: the VPCs of those tables; workers are looked up only when it is one.
        workers: what each entry of `workers` matches, live instances only.
        unreadable: instance id to the reason why its pod CIDRs could not be read.
        prefix_lists: prefix list id to its IP family (IPv4, IPv6) and its MaxEntries;
            read only for a quota.
    """

    account: str
    region: str
    tables: Mapping[Selector, tuple[RouteTable, ...]]
    vpcs: tuple[Vpc, ...]
    workers: Mapping[Selector, tuple[Worker, ...]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    prefix_lists: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PodRoute(Generic[Target_co]):
    """A route that the program declares: one worker's pod CIDR in one route table.

    The table and the destination shape the resource graph and are plain values; the
    target may be a Pulumi output.
    """

    route_table_id: str
    destination: Network
    network_interface_id: Target_co
    worker: str
    instance_id: Target_co | None = None
    private_ip: Target_co | None = None

    @property
    def import_id(self) -> str:
        """The identity that AWS and `pulumi import` give the route."""
        return import_id(self.route_table_id, self.destination)


def parse_network(text: str) -> Network:
    """Return the network that a CIDR such as 10.200.0.0/24 or fd00:200::/64 names.

    Raises:
        ValueError: not a CIDR, or one with host bits set. The message completes "the
            value ..." and holds nothing of the value but the network it lies in.
    """
    interface = _interface(text)
    if interface is None:
        raise ValueError("is not a CIDR such as 10.200.0.0/24")
    if interface.ip != interface.network.network_address:
        raise ValueError(f"has host bits set; its network is {interface.network}")
    return interface.network


def _interface(text: str) -> IPv4Interface | IPv6Interface | None:
    """Read address/length; `ipaddress` alone takes netmasks and scopes, EC2 neither."""
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


def in_address_order(network: Network) -> tuple[int, int, int]:
    """Sort networks: IPv4 before IPv6, then by address, then shortest prefix first."""
    return network.version, int(network.network_address), network.prefixlen


def by_destination(workers: Iterable[Worker]) -> dict[Network, Worker]:
    """Return each pod CIDR and its worker, in the order of routes."""
    targets = {cidr: worker for worker in workers for cidr in worker.pod_cidrs}
    return {cidr: targets[cidr] for cidr in sorted(targets, key=in_address_order)}


def networks_of(
    destination: Destination, prefix_lists: Mapping[str, tuple[Network, ...]]
) -> tuple[Network, ...]:
    """Return the networks that a route or a rule names, itself or by a prefix list."""
    if isinstance(destination, str):
        return prefix_lists.get(destination, ())
    return (destination,)


def import_id(route_table_id: str, destination: object) -> str:
    """Return the identity that AWS and `pulumi import` give a route."""
    return f"{route_table_id}_{destination}"
