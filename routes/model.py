"""Values read from EC2, and the identity of routes; no calls, no Pulumi."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from ipaddress import IPv4Address, ip_network
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from routes.networks import Network, in_address_order
from routes.text import visible

NAMESPACE: Final = "pod-routes"
"""The namespace of configuration keys and of the component's type."""
COMPONENT_TYPE: Final = f"{NAMESPACE}:index:PodNetworkRoutes"
ROUTE_TYPE: Final = "aws:ec2/route:Route"

Destination: TypeAlias = Annotated[Network | str, Field(union_mode="left_to_right")]
"""A network, or the id of a prefix list (pl-...) or, in rules, a group (sg-...)."""

_ID: Final = re.compile(r"(?:i|rtb)-(?:[0-9a-f]{8}|[0-9a-f]{17})")
"""The id of an instance or a route table; new ones have "longer IDs (17-character IDs)"
(EC2 API Reference, ModifyIdFormat)."""

_PROVIDER_ID: Final = re.compile(r"(?:aws://.*/)?(i-[0-9a-f]+)")


@dataclass(frozen=True)
class Selector:
    """One entry of `workers` or `routeTables`: an id, or a Name tag.

    `*` and `?` are the wildcards of EC2's filters; every other character is literal.
    """

    text: str

    @property
    def is_id(self) -> bool:
        """Whether the entry is an id."""
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
        """Return whether it matches an id and a Name tag (None: no tag)."""
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
    """Convert adjacent wildcards of EC2's filters to a regular expression.

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
    """Whether EC2 drops packets that aren't from or to the interface's addresses."""
    security_group_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One live EC2 instance that the configuration selects."""

    name: str
    """The Name tag, or else the instance id."""
    instance_id: str
    state: str
    """pending, running, stopping or stopped."""
    availability_zone: str
    launch_time: datetime
    """The time of its last start."""
    private_ip: IPv4Address | None
    interface: Interface | None
    """None if no primary interface is attached."""
    pod_cidrs: tuple[Network, ...] = ()
    """At most one network per IP family; empty if they are not known."""

    @property
    def label(self) -> str:
        """The name and, as names may repeat, the id."""
        if self.name == self.instance_id:
            return self.name
        return f"{self.name} ({self.instance_id})"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One Node of the cluster's control plane."""

    name: str
    provider_id: str
    """Its `spec.providerID`, such as aws:///us-east-1a/i-0123456789abcdef0, or empty"""
    addresses: tuple[str, ...]
    """Its addresses of type InternalIP."""
    pod_cidrs: tuple[str, ...]
    """Its `spec.podCIDRs`, as the control plane has them."""

    @property
    def instance_id(self) -> str:
        """The instance that `provider_id` names, or empty.

        The forms are "aws:///<zone>/<awsInstanceId>", "aws:////<awsInstanceId>" and
        "<awsInstanceId>"; the "last token in the providerID is the aws resource ID"
        (cloud-provider-aws, pkg/providers/v1/instances.go, KubernetesInstanceID).
        """
        found = _PROVIDER_ID.fullmatch(self.provider_id)
        return found[1] if found else ""


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """A VPC."""

    id: str
    cidrs: tuple[Network, ...]
    """Every associated CIDR block, of both IP families."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One entry of a route table, as EC2 lists it."""

    destination: Destination
    """A network, or the id of a prefix list, pl-..."""
    target: str
    """eni-..., igw-..., local and so on; empty if EC2 names none."""
    instance_id: str | None = None
    """The instance behind an interface, if there is one."""
    state: str = "active"
    """active or blackhole."""
    origin: str = "CreateRoute"
    """CreateRouteTable, CreateRoute, EnableVgwRoutePropagation or Advertisement."""

    @property
    def is_to_interface(self) -> bool:
        """Whether the target is a network interface, as for all routes to pods."""
        return self.target.startswith("eni-")

    @property
    def is_static(self) -> bool:
        """Whether somebody created it: neither `local` nor propagated."""
        return self.origin == "CreateRoute"

    @property
    def is_propagated(self) -> bool:
        """Whether it is from a virtual private gateway or a VPC route server."""
        return self.origin in {"EnableVgwRoutePropagation", "Advertisement"}

    @property
    def is_target_deleted(self) -> bool:
        """Whether the target is an interface that was deleted or detached."""
        return (
            self.state == "blackhole" and self.is_to_interface and not self.instance_id
        )


@dataclass(frozen=True, kw_only=True)
class RouteTable:
    """A route table, its entries, and the subnets that use it."""

    id: str
    name: str
    """The Name tag, or empty."""
    vpc_id: str
    routes: tuple[Route, ...]
    main: bool = False
    """Whether subnets without an explicit association use it."""
    subnet_ids: tuple[str, ...] = ()
    """The subnets that are explicitly associated with it."""
    gateway_ids: tuple[str, ...] = ()
    """The internet and virtual private gateways associated with it."""
    owner: str = ""
    """The account that owns it; empty if EC2 doesn't report it."""


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet of the VPC; route tables and network ACLs refer to it."""

    id: str
    name: str
    availability_zone: str
    cidrs: tuple[Network, ...]


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One numbered rule of a network ACL."""

    number: int
    egress: bool
    """Whether it applies to packets that leave the subnet."""
    allow: bool
    network: Network
    """The remote end: the source of packets that enter, the destination of others."""
    protocol: int = -1
    """Its number; -1 for all."""
    ports: tuple[int, int] | None = None
    """First and last; for ICMP, type and code, -1 for any; null for all."""


@dataclass(frozen=True, kw_only=True)
class NetworkAcl:
    """A network ACL and its subnets."""

    id: str
    subnet_ids: tuple[str, ...]
    rules: tuple[AclRule, ...]


@dataclass(frozen=True, kw_only=True)
class SecurityGroupRule:
    """One rule of a security group; every rule allows."""

    id: str
    group_id: str
    egress: bool
    """Whether it applies to packets that leave the interface."""
    peer: Destination
    """The remote end: a network, a prefix list pl-... or a group sg-..."""
    protocol: int = -1
    """Its number; -1 for all."""
    ports: tuple[int, int] | None = None
    """First and last; for ICMP, type and code, -1 for any; null for all."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Any instance of the VPC that is not terminated."""

    id: str
    name: str
    state: str
    subnet_id: str


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """Everything that the program read from EC2.

    Attributes:
        account, region: of the credentials that read it.
        tables: the route tables that each entry of `routeTables` matches.
        deselected_tables: tables with routes of the stack that no entry matches.
        vpcs: the VPCs of those tables; workers are looked up only if there is one.
        workers: the live instances that each entry of `workers` matches.
        unreadable: instance id to the reason why its pod CIDRs are not known.
        unlisted: ids of live, selected workers that EC2's list of instances lacked.
        unconfirmed: ids of instances behind active routes of the stack that EC2 doesn't
            know by id.
        prefix_lists: prefix list id to its IP family (IPv4, IPv6) and its weight in a
            quota; read only if there is a quota.
        nodes: the cluster's Nodes, if pod CIDRs are read from them.
        all_tables, instances: everything that was read, selected or not; with
            `whole_vpc`, every table of the VPCs and every live instance of the VPC.
    """

    account: str
    region: str
    tables: Mapping[Selector, tuple[RouteTable, ...]]
    vpcs: tuple[Vpc, ...]
    deselected_tables: tuple[RouteTable, ...] = ()
    workers: Mapping[Selector, tuple[Worker, ...]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()
    unconfirmed: frozenset[str] = frozenset()
    prefix_lists: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    nodes: tuple[Node, ...] | None = None
    all_tables: tuple[RouteTable, ...] = ()
    instances: tuple[Instance, ...] = ()

    @cached_property
    def existing(self) -> Mapping[RouteKey, Route]:
        """The static routes of the selected and the deselected tables."""
        selected_tables = (table for each in self.tables.values() for table in each)
        return static_routes((*selected_tables, *self.deselected_tables))

    @cached_property
    def live(self) -> Mapping[str, Worker]:
        """Every worker that an entry matches, by instance id."""
        return {w.instance_id: w for each in self.workers.values() for w in each}


@dataclass(frozen=True, slots=True)
class RouteKey:
    """The identity of a route: its route table and its destination."""

    route_table_id: str
    destination: Destination

    @classmethod
    def parse(cls, import_id: str) -> RouteKey:
        """Return the key that an import id names."""
        table_id, _, destination = import_id.partition("_")
        return cls(table_id, as_destination(destination))

    @property
    def import_id(self) -> str:
        """The route's id for `pulumi import`; EC2 has none."""
        return f"{self.route_table_id}_{self.destination}"

    def __lt__(self, other: RouteKey) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[str, tuple[int, ...], str]:
        """By table, then networks by address, then prefix lists."""
        if isinstance(self.destination, str):
            return self.route_table_id, (7,), self.destination
        return self.route_table_id, in_address_order(self.destination), ""

    def __str__(self) -> str:
        return f"{self.route_table_id} {self.destination}"


@dataclass(frozen=True, kw_only=True)
class PodRoute:
    """A desired route: one worker's pod CIDR in one route table."""

    route_table_id: str
    destination: Network
    network_interface_id: str
    worker: str
    """The worker's name."""
    instance_id: str | None = None
    private_ip: str | None = None

    @property
    def key(self) -> RouteKey:
        """The identity of the route."""
        return RouteKey(self.route_table_id, self.destination)


@dataclass(frozen=True, kw_only=True)
class ManagedRoute:
    """A route in the stack's state, whatever its URN and parents."""

    urn: str
    target: str
    """Its network interface, "" if it has another kind of target."""
    instance_id: str = ""
    """The instance behind that interface, "" if there is none."""


def selected(matches: Mapping[Selector, Iterable[Worker]]) -> tuple[Worker, ...]:
    """Return the workers that entries select without ambiguity, sorted by name.

    A pattern selects all its matches; a plain name or an id only a single match.
    """
    workers: dict[str, Worker] = {}
    for selector, each in matches.items():
        by_id = {worker.instance_id: worker for worker in each}
        if selector.is_pattern or len(by_id) == 1:
            workers |= by_id
    return tuple(sorted(workers.values(), key=lambda w: (w.name, w.instance_id)))


def unmatched(matches: Mapping[Selector, Iterable[Worker]]) -> tuple[str, ...]:
    """Return the entries that match no worker, or several without a wildcard."""
    return tuple(
        sorted(
            visible(selector.text)
            for selector, workers in matches.items()
            if not selected({selector: workers})
        )
    )


def networks_of(
    destination: Destination, prefix_lists: Mapping[str, tuple[Network, ...]]
) -> tuple[Network, ...]:
    """Return the networks of a destination: itself, or those of its prefix list."""
    if isinstance(destination, str):
        return prefix_lists.get(destination, ())
    return (destination,)


def static_routes(tables: Iterable[RouteTable]) -> dict[RouteKey, Route]:
    """Return the tables' static routes, with which a CreateRoute collides.

    Propagated routes are left out: a static route to the same destination can be
    created, and takes priority (VPC User Guide, "Route priority").
    """
    return {
        RouteKey(table.id, route.destination): route
        for table in tables
        for route in table.routes
        if route.is_static
    }


def as_destination(text: str) -> Destination:
    """Return the network that a text names, or the text itself: a prefix list's id."""
    try:
        return ip_network(text)
    except ValueError:
        return text
