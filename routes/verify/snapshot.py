"""What verification needs to know, as one value that can be saved and sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import (
    AwareDatetime,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic.alias_generators import to_camel

from routes import __version__
from routes.errors import Finding, RoutesError
from routes.model import (
    Destination,
    Instance,
    NetworkAcl,
    PodRoute,
    RouteTable,
    SecurityGroupRule,
    Subnet,
    Vpc,
    Worker,
)
from routes.networks import Network
from routes.text import visible

PREFIX_LIST_ENTRIES: Final = "GetManagedPrefixListEntries"
INTERFACE_GONE: Final = "the interface is gone"


@with_config(
    ConfigDict(
        alias_generator=to_camel,
        defer_build=True,  # to read the docstrings takes longer than all else
        extra="forbid",
        use_attribute_docstrings=True,
    )
)
@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of a stack and its VPC. It holds no user data, and no secret."""

    version: Literal[2] = 2
    """Of the file's form; a program reads its own only."""
    program_version: str = __version__
    """Which version of the program read it."""
    taken_at: AwareDatetime
    """When it was read, in UTC."""
    stack: str
    account: str
    region: str
    vpc: Vpc
    cluster_cidrs: tuple[Network, ...]
    """The cluster's pod ranges, of the stack's configuration."""
    route_table_ids: tuple[str, ...]
    """The tables that the stack's configuration names."""
    route_table_entries: tuple[str, ...]
    """How it names them: ids and Name tags."""
    wanted: tuple[PodRoute[str], ...]
    """The routes that the plan asks for."""
    workers: tuple[Worker, ...]
    """The workers of the plan."""
    sources: tuple[Worker, ...] = ()
    """What else sends packets to pods, with its own addresses in place of pod CIDRs: an
    instance, or all of a subnet, whose security groups are not known."""
    faults: tuple[Finding, ...]
    """What the lookup and the plan found wrong."""
    refusals: tuple[Finding, ...] = ()
    """Why an update would be refused although the plan has no fault."""
    held_back: tuple[Finding, ...] = ()
    """What is wrong, and holds back no routes but those that it is about."""
    kept: tuple[str, ...] = ()
    """The import ids of routes in the state that an update leaves as they are."""
    waiting: tuple[Finding, ...] = ()
    """Why workers get no route yet, and are none of the plan."""
    undecided: tuple[str, ...]
    """The configured workers that the lookup did not find, or found more than once."""
    held: Mapping[str, str] | None
    """Of each route in the stack's state the import id and the interface there, empty
    where it leads to something else; null where the state was not read."""
    pending: tuple[str, ...]
    """What an update of the stack has begun: it still runs, or was interrupted."""
    tables: tuple[RouteTable, ...]
    """Every route table of the VPC."""
    subnets: tuple[Subnet, ...]
    """Every subnet of the VPC."""
    acls: tuple[NetworkAcl, ...]
    """Every network ACL of the VPC."""
    security_group_rules: tuple[SecurityGroupRule, ...]
    """The rules of the workers' groups."""
    prefix_lists: Mapping[str, tuple[Network, ...]]
    """The entries of each list that a route or a rule names."""
    attachments: Mapping[str, str | None]
    """Each interface of the VPC, and its instance, null if it has none."""
    nat_gateways: Mapping[str, str] = field(default_factory=dict)
    """Each NAT gateway that a route leads to, and its subnet."""
    states: Mapping[str, str]
    """Each subnet and interface of the VPC, and its state."""
    instances: tuple[Instance, ...]
    """Every live instance of the VPC."""
    unread: Mapping[str, str]
    """The actions that AWS denied, and what it said; what they tell is unknown."""
    planned: bool = False
    """Whether it is what an update of the stack would leave, not what stands."""

    @property
    def is_settled(self) -> bool:
        """Whether an update would do what the plan asks for, and may be proposed."""
        return not self.faults and not self.pending

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

    def unread_lists(self, destinations: Iterable[Destination]) -> list[str]:
        """Return the prefix lists among these whose entries AWS denied, sorted.

        If nothing was denied, a list that is absent has no entries.
        """
        if PREFIX_LIST_ENTRIES not in self.unread:
            return []
        named = {each for each in destinations if isinstance(each, str)}
        lists = {each for each in named if each.startswith("pl-")}
        return sorted(lists - self.prefix_lists.keys())

    def why_gone(self, interface_id: str) -> str:
        """Return why a route to this interface is a blackhole, "" if that is unknown.

        See VPC User Guide, "Routes", on the state of a route.
        """
        if "DescribeNetworkInterfaces" in self.unread:
            return ""
        if interface_id not in self.attachments:
            return INTERFACE_GONE
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


FORM: Final = TypeAdapter(Snapshot)
"""The file's form, whose JSON Schema is docs/schema/snapshot.json."""


def save(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot as JSON.

    Raises:
        RoutesError: there can be no such file.
    """
    try:
        path.write_bytes(FORM.dump_json(snapshot, by_alias=True, indent=2) + b"\n")
    except OSError as error:
        raise RoutesError(f"{path} cannot be written: {error.strerror}.") from None


def load(path: Path) -> Snapshot:
    """Read a snapshot that `save` wrote.

    Raises:
        RoutesError: the file is not there, or not such a snapshot.
    """
    try:
        content = path.read_bytes()
        with suppress(ValueError):  # the validation reports it
            content = json.dumps(_shown(json.loads(content))).encode()
        return FORM.validate_json(content)
    except OSError as error:
        raise RoutesError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        reason = f"{where}: {first['msg']}."
        if where == "takenAt":
            reason = "it says no takenAt, as those of version 1 do not."
        raise RoutesError(
            f"{path} is not a snapshot of version 2: {reason}"
            "\n  Write it again: python -m routes verify --save-snapshot"
        ) from None


def _shown(value: Any) -> Any:  # noqa: ANN401 - JSON's own
    """Return what JSON held, its texts as they may be shown: it may be anybody's."""
    match value:
        case str():
            return visible(value)
        case list():
            return [_shown(each) for each in value]
        case dict():
            return {visible(key): _shown(each) for key, each in value.items()}
        case _:
            return value
