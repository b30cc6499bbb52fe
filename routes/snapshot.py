"""What verification needs to know, as one value that can be saved and sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from routes.errors import Fault, RoutesError
from routes.model import Destination, Network, PodRoute, RouteTable, Vpc, Worker


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet of the VPC; its tables and its network ACL name it, not the reverse."""

    id: str
    name: str
    availability_zone: str
    cidrs: tuple[Network, ...]


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One numbered rule of a network ACL.

    Attributes:
        protocol: its number; -1 for all.
        ports: first and last; of ICMP, type and code, -1 for any; None for all.
        network: the far end: the source of what enters, the destination of what leaves.
    """

    number: int
    egress: bool
    allow: bool
    network: Network
    protocol: int = -1
    ports: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkAcl:
    """A network ACL and the subnets that it guards."""

    id: str
    subnet_ids: tuple[str, ...]
    rules: tuple[AclRule, ...]


@dataclass(frozen=True, kw_only=True)
class SecurityGroupRule:
    """One rule of a security group; all of them allow.

    Attributes:
        peer: the far end: a network, a prefix list `pl-...` or a group `sg-...`.
        protocol, ports: as in `AclRule`.
    """

    id: str
    group_id: str
    egress: bool
    peer: Destination
    protocol: int = -1
    ports: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Any instance of the VPC that is not terminated."""

    id: str
    name: str
    state: str
    subnet_id: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of a stack and its VPC. It holds no user data, and no secret.

    Attributes:
        route_table_ids: those that the configuration names.
        wanted: the routes that the plan asks for.
        faults: what the lookup and the plan found wrong.
        held: import id of each route in the stack's state, and its interface there;
            None where the state was not read.
        tables: every route table of the VPC.
        prefix_lists: the entries of each list that a route or a rule names.
        attachments: each interface of the VPC, and its instance, None if it has none.
    """

    stack: str
    account: str
    region: str
    vpc: Vpc
    cluster_cidrs: tuple[Network, ...]
    route_table_ids: tuple[str, ...]
    wanted: tuple[PodRoute[str], ...]
    workers: tuple[Worker, ...]
    faults: tuple[Fault, ...]
    held: Mapping[str, str] | None
    tables: tuple[RouteTable, ...]
    subnets: tuple[Subnet, ...]
    acls: tuple[NetworkAcl, ...]
    security_group_rules: tuple[SecurityGroupRule, ...]
    prefix_lists: Mapping[str, tuple[Network, ...]]
    attachments: Mapping[str, str | None]
    instances: tuple[Instance, ...]

    def table_of(self, subnet_id: str) -> RouteTable | None:
        """Return the table that a subnet uses: its own, or else the main one.

        See VPC User Guide, "Subnet route tables".
        """
        tables = {subnet: table for table in self.tables for subnet in table.subnet_ids}
        main = next((table for table in self.tables if table.main), None)
        return tables.get(subnet_id, main)

    def acl_of(self, subnet_id: str) -> NetworkAcl | None:
        """Return the network ACL of a subnet; EC2 gives each one exactly one."""
        return next((acl for acl in self.acls if subnet_id in acl.subnet_ids), None)

    def why_gone(self, interface_id: str) -> str:
        """Return why a route to this interface is a blackhole, "" if that is unknown.

        See VPC User Guide, "Routes", on the state of a route.
        """
        if interface_id not in self.attachments:
            return "the interface is gone"
        instance_id = self.attachments[interface_id]
        if instance_id is None:
            return "the interface is detached"
        for instance in self.instances:
            if instance.id == instance_id and instance.state != "running":
                return f"{instance_id} is {instance.state}"
        return ""


_ADAPTER: Final = TypeAdapter(Snapshot)


def save(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot as JSON."""
    path.write_bytes(_ADAPTER.dump_json(snapshot, indent=2) + b"\n")


def load(path: Path) -> Snapshot:
    """Read a snapshot that `save` wrote.

    Raises:
        RoutesError: the file is not there, or not such a snapshot.
    """
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise RoutesError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RoutesError(
            f"{path} is not a snapshot of this version: {where}: {first['msg']}."
            "\n  Write it again: python -m routes verify --save-snapshot"
        ) from None
