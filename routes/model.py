"""What the program knows of EC2, as values: no network, no Pulumi."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, ip_network
from typing import Annotated, Final, Generic, TypeAlias, TypeVar

from pydantic import Field

from routes.networks import Network, in_address_order
from routes.text import visible

NAMESPACE: Final = "pod-routes"
"""Of the configuration keys, and of the component's type."""
COMPONENT_TYPE: Final = f"{NAMESPACE}:index:PodNetworkRoutes"
ROUTE_TYPE: Final = "aws:ec2/route:Route"

Destination: TypeAlias = Annotated[Network | str, Field(union_mode="left_to_right")]
"""A network, or the id of what stands for several: `pl-...`, of rules also `sg-...`."""

_ID: Final = re.compile(r"(?:i|rtb)-(?:[0-9a-f]{8}|[0-9a-f]{17})")
"""Of an instance or a route table; new ones have "longer IDs (17-character IDs)" (EC2
API Reference, ModifyIdFormat)."""

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
        return bool(_ID.fullmatch(self.text))

    @property
    def is_pattern(self) -> bool:
        """Whether the entry may match several instances."""
        return not self.is_id and any(character in self.text for character in "*?")

    @property
    def filter_value(self) -> str:
        r"""The value for EC2's filter, in which `\` would escape a wildcard."""
        return self.text.replace("\\", "\\\\")

    def selects(self, *, id: str, name: str | None) -> bool:  # noqa: A002 - EC2's word
        """Return whether a thing with this id and Name tag (None: no tag) is meant."""
        if self.is_id or name is None:
            return id == self.text
        parts = re.split(r"([*?]+)", self.text)
        pattern = "".join(
            _wildcards(p) if n % 2 else re.escape(p) for n, p in enumerate(parts)
        )
        return bool(re.fullmatch(pattern, name, re.DOTALL))

    def __str__(self) -> str:
        return self.text if self.is_id else f"Name={self.text}"


def _wildcards(run: str) -> str:
    """Translate adjacent wildcards of EC2's filters into a regular expression.

    "An asterisk (*) matches zero or more characters, and a question mark (?) matches
    zero or one character" (EC2 User Guide, "Find your Amazon EC2 resources").
    """
    return ".*" if "*" in run else f".{{0,{len(run)}}}"


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The primary network interface (device index 0), attached to its instance."""

    id: str
    subnet_id: str
    source_dest_check: bool
    """Whether EC2 drops what is not from or for the interface's own addresses."""
    security_group_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One live EC2 instance that the configuration names."""

    name: str
    """The Name tag, or the instance id where there is none."""
    instance_id: str
    state: str
    """pending, running, stopping or stopped."""
    availability_zone: str
    launch_time: datetime
    """When it was last started."""
    private_ip: IPv4Address | None
    interface: Interface | None
    """None while no primary interface is attached."""
    pod_cidrs: tuple[Network, ...] = ()
    """At most one network per IP family; empty where they were not read."""

    @property
    def label(self) -> str:
        """What people call it: the name, and the id that tells namesakes apart."""
        if self.name == self.instance_id:
            return self.name
        return f"{self.name} ({self.instance_id})"


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """A VPC."""

    id: str
    cidrs: tuple[Network, ...]
    """Every CIDR block associated with it, both IP families."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One entry of a route table, as EC2 lists it."""

    destination: Destination
    """A network, or the id of a prefix list, pl-..."""
    target: str
    """What the route points to: eni-..., igw-..., local; empty where EC2 names none."""
    instance_id: str | None = None
    """The instance behind an interface target, where there is one."""
    state: str = "active"
    """active or blackhole."""
    origin: str = "CreateRoute"
    """CreateRouteTable, CreateRoute, EnableVgwRoutePropagation or Advertisement."""

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

    @property
    def is_target_gone(self) -> bool:
        """Whether the target is an interface of no instance any more."""
        return (
            self.state == "blackhole" and self.is_to_interface and not self.instance_id
        )


@dataclass(frozen=True, kw_only=True)
class RouteTable:
    """A route table, its entries, and the subnets that use it."""

    id: str
    name: str
    """The Name tag, empty where there is none."""
    vpc_id: str
    routes: tuple[Route, ...]
    main: bool = False
    """Whether subnets without an association of their own use it."""
    subnet_ids: tuple[str, ...] = ()
    """The subnets associated with it by name."""
    gateway_ids: tuple[str, ...] = ()
    """The internet and virtual private gateways associated with it."""
    owner: str = ""
    """The account that it belongs to; empty where EC2 does not tell."""

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
class Subnet:
    """A subnet of the VPC; its tables and its network ACL name it, not the reverse."""

    id: str
    name: str
    availability_zone: str
    cidrs: tuple[Network, ...]


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One numbered rule of a network ACL."""

    number: int
    egress: bool
    """Whether it is about what leaves the subnet."""
    allow: bool
    network: Network
    """The far end: the source of what enters, the destination of what leaves."""
    protocol: int = -1
    """Its number; -1 for all."""
    ports: tuple[int, int] | None = None
    """First and last; of ICMP, type and code, -1 for any; null for all."""


@dataclass(frozen=True, kw_only=True)
class NetworkAcl:
    """A network ACL and the subnets that it guards."""

    id: str
    subnet_ids: tuple[str, ...]
    rules: tuple[AclRule, ...]


@dataclass(frozen=True, kw_only=True)
class SecurityGroupRule:
    """One rule of a security group; all of them allow."""

    id: str
    group_id: str
    egress: bool
    """Whether it is about what leaves the interface."""
    peer: Destination
    """The far end: a network, a prefix list pl-... or a group sg-..."""
    protocol: int = -1
    """Its number; -1 for all."""
    ports: tuple[int, int] | None = None
    """First and last; of ICMP, type and code, -1 for any; null for all."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Any instance of the VPC that is not terminated."""

    id: str
    name: str
    state: str
    subnet_id: str


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """Everything that the program read from EC2, before anything is judged.

    Attributes:
        account, region: as whom and where it was read.
        tables: what each entry of `routeTables` matches.
        former_tables: those that the stack has routes in and no entry matches.
        vpcs: the VPCs of those tables; workers are looked up only when it is one.
        workers: what each entry of `workers` matches, live instances only.
        unreadable: instance id to the reason why its pod CIDRs could not be read.
        missed: ids of workers that the list of instances lacked, although they are live
            and selected: the list was short.
        unconfirmed: ids of instances that EC2 names behind active routes of the stack,
            and does not know when asked for them by id.
        prefix_lists: prefix list id to its IP family (IPv4, IPv6) and what it counts in
            a quota; read only for one.
        all_tables, instances: whatever was read, selected or not; every table of the
            VPCs and every live instance of the VPC if the lookup was for a whole one.
    """

    account: str
    region: str
    tables: Mapping[Selector, tuple[RouteTable, ...]]
    vpcs: tuple[Vpc, ...]
    former_tables: tuple[RouteTable, ...] = ()
    workers: Mapping[Selector, tuple[Worker, ...]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    missed: frozenset[str] = frozenset()
    unconfirmed: frozenset[str] = frozenset()
    prefix_lists: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    all_tables: tuple[RouteTable, ...] = ()
    instances: tuple[Instance, ...] = ()


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
    """The worker's name."""
    instance_id: Target_co | None = None
    private_ip: Target_co | None = None

    @property
    def import_id(self) -> str:
        """The identity that AWS and `pulumi import` give the route."""
        return import_id(self.route_table_id, self.destination)


@dataclass(frozen=True, kw_only=True)
class ManagedRoute:
    """A route in the stack's state, whatever its URN and parents."""

    urn: str
    target: str
    """Its network interface, "" where it leads to something else."""
    instance_id: str = ""
    """The instance behind that interface, "" where there is none."""


def selected(matches: Mapping[Selector, Iterable[Worker]]) -> tuple[Worker, ...]:
    """Return the workers that entries select without ambiguity, sorted by name.

    A pattern selects all that it matches, a plain name or an id the only one.
    """
    found: dict[str, Worker] = {}
    for selector, workers in matches.items():
        named = {worker.instance_id: worker for worker in workers}
        if selector.is_pattern or len(named) == 1:
            found |= named
    return tuple(sorted(found.values(), key=lambda w: (w.name, w.instance_id)))


def unselected(matches: Mapping[Selector, Iterable[Worker]]) -> tuple[str, ...]:
    """Return the entries that select nobody, or several where one is meant, sorted."""
    return tuple(
        sorted(
            visible(selector.text)
            for selector, workers in matches.items()
            if not selected({selector: workers})
        )
    )


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


def standing(tables: Iterable[RouteTable]) -> dict[str, Route]:
    """Return every table's static routes, by their import ids."""
    return {
        import_id(table.id, destination): route
        for table in tables
        for destination, route in table.static_routes().items()
    }


def as_destination(text: str) -> Destination:
    """Return the network that a text names, or the text itself: a prefix list's id."""
    try:
        return ip_network(text)
    except ValueError:
        return text


def import_id(route_table_id: str, destination: object) -> str:
    """Return the identity that AWS and `pulumi import` give a route."""
    return f"{route_table_id}_{destination}"
