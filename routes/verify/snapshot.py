"""Everything that a verification needs, as one value that can be saved and sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AwareDatetime,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    with_config,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from component.version import VERSION
from routes.errors import Finding, RoutesError
from routes.model import (
    Destination,
    Instance,
    NetworkAcl,
    Node,
    PodRoute,
    Route,
    RouteKey,
    RouteTable,
    SecurityGroupRule,
    Subnet,
    Vpc,
    Worker,
    static_routes,
)
from routes.networks import Network
from routes.nodes import by_instance
from routes.text import visible

PREFIX_LIST_ENTRIES: Final = "GetManagedPrefixListEntries"
INTERFACE_DELETED: Final = "the interface is deleted"


def _parse_key(value: object) -> RouteKey:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    return RouteKey.parse(value)


ImportId: TypeAlias = Annotated[
    RouteKey,
    PlainValidator(_parse_key),
    PlainSerializer(lambda key: key.import_id),
    WithJsonSchema({"type": "string"}),
]
"""A route's key, which in JSON is its import id."""


@with_config(
    ConfigDict(
        alias_generator=to_camel,
        defer_build=True,  # reading the docstrings is the slowest part
        extra="forbid",
        use_attribute_docstrings=True,
    )
)
@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A stack and its VPC at one moment. It contains no user data and no secrets."""

    version: Literal[3] = 3
    """The version of this format."""
    program_version: str = VERSION
    """The version of the program that read it."""
    taken_at: AwareDatetime
    """When it was read, in UTC."""
    stack: str
    account: str
    region: str
    vpc: Vpc
    cluster_cidrs: tuple[Network, ...]
    """The cluster's pod ranges, from the stack's configuration."""
    route_table_ids: tuple[str, ...]
    """The tables that the stack's configuration selects."""
    route_table_entries: tuple[str, ...]
    """The configuration's entries for them: ids and Name tags."""
    desired: tuple[PodRoute, ...]
    """The routes of the plan."""
    workers: tuple[Worker, ...]
    """The workers of the plan."""
    sources: tuple[Worker, ...] = ()
    """Other senders of packets to pods, with their own addresses in place of pod CIDRs:
    an instance, or a whole subnet, whose security groups are not known."""
    faults: tuple[Finding, ...]
    """The faults because of which the plan is refused."""
    refusals: tuple[Finding, ...] = ()
    """Why an update would be refused although the plan has no fault."""
    blocked: tuple[Finding, ...] = ()
    """Problems that block only the routes they are about."""
    kept: tuple[ImportId, ...] = ()
    """The managed routes that an update leaves as they are."""
    checked: tuple[str, ...] = ()
    """Interfaces whose source/destination check an update turns off."""
    nodes: tuple[Node, ...] = ()
    """The cluster's Nodes; empty if they can't be read."""
    pending_workers: tuple[Finding, ...] = ()
    """Why selected workers are not in the plan yet."""
    unmatched: tuple[str, ...]
    """The entries of `workers` without a clear match."""
    managed: Mapping[ImportId, str] | None
    """Each route in the stack's state and its network interface there, empty if the
    target is of another kind; null if the state was not read."""
    pending_operations: tuple[str, ...]
    """Operations of an update that still runs, or was interrupted."""
    tables: tuple[RouteTable, ...]
    """Every route table of the VPC."""
    subnets: tuple[Subnet, ...]
    """Every subnet of the VPC."""
    acls: tuple[NetworkAcl, ...]
    """Every network ACL of the VPC."""
    security_group_rules: tuple[SecurityGroupRule, ...]
    """The rules of the workers' security groups."""
    prefix_lists: Mapping[str, tuple[Network, ...]]
    """The entries of each prefix list in a route or a rule."""
    attachments: Mapping[str, str | None]
    """Each interface of the VPC and its instance, null if it has none."""
    nat_gateways: Mapping[str, str] = field(default_factory=dict)
    """Each NAT gateway that is a route's target, and its subnet."""
    states: Mapping[str, str]
    """The state of each subnet and interface of the VPC."""
    instances: tuple[Instance, ...]
    """Every live instance of the VPC."""
    denied: Mapping[str, str]
    """Each action that AWS denied, and AWS's message."""
    planned: bool = False
    """Whether its routes are as an update would leave them."""

    @property
    def can_update(self) -> bool:
        """Whether the plan has no fault and no update is pending."""
        return not self.faults and not self.pending_operations

    @cached_property
    def existing(self) -> Mapping[RouteKey, Route]:
        """The static routes of every table."""
        return static_routes(self.tables)

    def node_instance(self, name: str) -> str:
        """Return the instance of the Node with this name, or the name itself."""
        owned = by_instance(self.nodes, self.workers)
        found = (i for i, each in owned.items() if name in {n.name for n in each})
        return next(found, name)

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

    def unread_prefix_lists(self, destinations: Iterable[Destination]) -> list[str]:
        """Return the prefix lists among these whose entries AWS denied, sorted.

        If no call was denied, a list that `prefix_lists` lacks has no entries.
        """
        if PREFIX_LIST_ENTRIES not in self.denied:
            return []
        lists = {
            each
            for each in destinations
            if isinstance(each, str) and each.startswith("pl-")
        }
        return sorted(lists - self.prefix_lists.keys())

    def why_blackhole(self, interface_id: str) -> str:
        """Return why a route to this interface is a blackhole, "" if that is unknown.

        See VPC User Guide, "Routes", on the state of a route.
        """
        if "DescribeNetworkInterfaces" in self.denied:
            return ""
        if interface_id not in self.attachments:
            return INTERFACE_DELETED
        if self.attachments[interface_id] is None:
            return "the interface is detached"
        instance = self.instance_of(interface_id)
        if instance and instance.state != "running":
            return f"{instance.id} is {instance.state}"
        return ""

    def instance_of(self, interface_id: str) -> Instance | None:
        """Return the live instance that an interface is attached to."""
        instance_id = self.attachments.get(interface_id)
        return next((one for one in self.instances if one.id == instance_id), None)


FORMAT: Final = TypeAdapter(Snapshot)
"""The file's format; its JSON Schema is docs/schema/snapshot.json."""
_RENAMED_KEYS: Final = {
    "wanted": "desired",
    "held": "managed",
    "heldBack": "blocked",
    "waiting": "pendingWorkers",
    "undecided": "unmatched",
    "pending": "pendingOperations",
    "unread": "denied",
    "where": "resource",
    "rows": "details",
    "remedy": "hint",
}
"""The keys of version 2 that version 3 renamed."""
_RENAMED_SEVERITIES: Final = {"fault": "error", "note": "info"}


def save(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot as JSON.

    Raises:
        RoutesError: the file can't be written.
    """
    try:
        path.write_bytes(FORMAT.dump_json(snapshot, by_alias=True, indent=2) + b"\n")
    except OSError as error:
        raise RoutesError(f"{path} cannot be written: {error.strerror}.") from None


def load(path: Path) -> Snapshot:
    """Read a snapshot of version 2 or 3.

    Raises:
        RoutesError: the file doesn't exist, or isn't such a snapshot.
    """
    try:
        content = path.read_bytes()
        with suppress(ValueError):  # the validation reports it
            document = _escaped(json.loads(content))
            if isinstance(document, dict) and document.get("version") == 2:  # noqa: PLR2004
                document = _renamed(document) | {"version": 3}
            content = json.dumps(document).encode()
        return FORMAT.validate_json(content)
    except OSError as error:
        raise RoutesError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RoutesError(
            f"{path} is not a snapshot of version 2 or 3: {where}: {first['msg']}."
            "\n  Write it again: python -m routes verify --save-snapshot FILE"
        ) from None


def _escaped(value: Any) -> Any:  # noqa: ANN401 - JSON's own
    """Return JSON with control characters escaped: anybody may have written it."""
    match value:
        case str():
            return visible(value)
        case list():
            return [_escaped(each) for each in value]
        case dict():
            return {visible(key): _escaped(each) for key, each in value.items()}
        case _:
            return value


def _renamed(value: Any) -> Any:  # noqa: ANN401 - JSON's own
    """Return JSON of version 2 with the names of version 3."""
    match value:
        case list():
            return [_renamed(each) for each in value]
        case dict():
            renamed = {
                _RENAMED_KEYS.get(key, key): _renamed(each)
                for key, each in value.items()
            }
            severity = renamed.get("severity")
            if isinstance(severity, str):
                renamed["severity"] = _RENAMED_SEVERITIES.get(severity, severity)
            return renamed
        case _:
            return value
