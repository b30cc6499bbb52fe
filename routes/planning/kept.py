"""Managed routes that an update leaves alone: their right target isn't known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routes import commands
from routes.errors import Finding, truncated
from routes.model import (
    Discovery,
    PodRoute,
    RouteKey,
    RouteTable,
    Selector,
    Worker,
    selected,
)

if TYPE_CHECKING:
    from routes.engine.state import Stack


def kept_routes(
    discovery: Discovery,
    stack: Stack,
    table_ids: Iterable[str],
    ready: Iterable[Worker],
    desired: Mapping[RouteKey, PodRoute],
) -> set[RouteKey]:
    """Return the managed routes that stay as the state has them.

    A desired route with the target of the last update isn't kept. Any other is kept if
    - its table wasn't read, or may still be selected;
    - EC2 doesn't know the instance behind it, or its worker isn't ready; or
    - no ready worker needs it, but one that isn't ready, or an unmatched entry, may.

    Args:
        discovery: what was read from EC2.
        stack: the state.
        table_ids: the tables of the plan.
        ready: the workers of the plan.
        desired: their routes.
    """
    doubt = _Doubt.of(discovery, stack, table_ids, ready)
    return {
        key
        for key in stack.managed
        if not _is_as_applied(stack, key, desired.get(key))
        and doubt.is_undetermined(discovery, stack, key, is_desired=key in desired)
    }


def _is_as_applied(stack: Stack, key: RouteKey, new: PodRoute | None) -> bool:
    applied = stack.last_applied.get(key)
    return bool(
        applied and new and new.network_interface_id == applied.network_interface_id
    )


@dataclass(frozen=True, kw_only=True)
class _Doubt:
    """The parts of a discovery that aren't certain.

    Attributes:
        table_ids: the tables of the plan, and those that certainly aren't selected.
        not_ready: the instances that are listed and get no route now.
        destinations: their pod CIDRs, as far as they are known.
        has_unread_worker: whether an instance with routes, or one that EC2 doesn't
            know, has an unknown pod CIDR: two workers may have swapped theirs.
        interfaces: the instance behind each interface of a listed worker.
        unmatched: the entries that select no worker.
    """

    table_ids: set[str]
    not_ready: set[str]
    destinations: set[object]
    has_unread_worker: bool
    interfaces: Mapping[str, str]
    unmatched: list[Selector]

    @classmethod
    def of(
        cls,
        discovery: Discovery,
        stack: Stack,
        table_ids: Iterable[str],
        ready: Iterable[Worker],
    ) -> _Doubt:
        live = discovery.live
        not_ready = live.keys() - {worker.instance_id for worker in ready}
        # Without the outputs of an update, a route may be for any of them.
        served = {*stack.owners.values()} if stack.last_applied else not_ready
        return cls(
            table_ids={*table_ids, *(t.id for t in discovery.deselected_tables)}
            - _possibly_selected(discovery),
            not_ready=not_ready,
            destinations={cidr for each in not_ready for cidr in live[each].pod_cidrs},
            has_unread_worker=bool(discovery.unconfirmed)
            or any(not live[each].pod_cidrs for each in not_ready & served),
            interfaces={
                w.interface.id: w.instance_id for w in live.values() if w.interface
            },
            unmatched=[
                entry
                for entry, matches in discovery.workers.items()
                if not selected({entry: matches})
            ],
        )

    def is_undetermined(
        self, discovery: Discovery, stack: Stack, key: RouteKey, *, is_desired: bool
    ) -> bool:
        """Return whether the right target of a managed route isn't known."""
        applied = stack.last_applied.get(key)
        route = stack.managed[key]
        existing = discovery.existing.get(key)
        target = applied.network_interface_id if applied else route.target
        instances = {
            self.interfaces.get(target, ""),
            (applied.instance_id if applied else None) or "",
            route.instance_id,
            (existing.instance_id if existing else None) or "",
        }
        if key.route_table_id not in self.table_ids:
            return True
        if is_desired and discovery.nodes is not None:
            return False  # the control plane gives a pod CIDR to one Node at a time
        if instances & (self.not_ready | discovery.unconfirmed):
            return True
        if is_desired:
            return False
        name = applied.worker if applied else None
        return (
            key.destination in self.destinations
            or (self.has_unread_worker and bool(instances & discovery.live.keys()))
            or any(
                not applied or entry.selects(id=each, name=name)
                for entry in self.unmatched
                for each in instances
            )
        )


def _possibly_selected(discovery: Discovery) -> set[str]:
    """Return the deselected tables that an entry of `routeTables` may be for.

    Names are matched by a filter; a table that the answer lacks is read by its id. If
    an entry matches no table, or several, it may be for any of them.
    """
    is_clear = all(len(each) == 1 for each in discovery.tables.values())
    return {
        table.id
        for table in discovery.deselected_tables
        if not is_clear or _is_selected(discovery, table)
    }


def _is_selected(discovery: Discovery, table: RouteTable) -> bool:
    return any(
        entry.selects(id=table.id, name=table.name or None)
        for entry in discovery.tables
    )


def inconsistencies(discovery: Discovery, stack: Stack) -> Iterator[Finding]:
    """Yield the contradictions between EC2's answers, and with the state."""
    yield from _missing_tables(discovery, stack)
    for table in discovery.deselected_tables:
        if _is_selected(discovery, table):
            yield Finding(
                resource=table.id,
                problem="EC2's list of route tables was incomplete. It lacked this one,"
                " which an entry selects, so none of its routes is deleted.",
                hint="Try again.",
            )
    for key in sorted(stack.managed.keys() & discovery.existing):
        instance_id = discovery.existing[key].instance_id or stack.owners[key]
        if instance_id in discovery.unconfirmed:
            yield Finding(
                resource=str(key),
                problem=f"EC2 lists {instance_id} as the active target of this route,"
                " but doesn't know that instance by its id.",
                hint="One of the two answers is out of date: try again.",
            )


def _missing_tables(discovery: Discovery, stack: Stack) -> Iterator[Finding]:
    known = {table.id for each in discovery.tables.values() for table in each}
    known |= {table.id for table in discovery.deselected_tables}
    missing: dict[str, list[str]] = {}
    for key in sorted(stack.managed):
        if key.route_table_id not in known:
            missing.setdefault(key.route_table_id, []).append(str(key))
    for table_id, routes in missing.items():
        yield Finding(
            resource=table_id,
            problem=f"stack {stack.name} has routes in this table, and EC2 does not"
            " list it:",
            details=truncated(routes, 10),
            hint="If the table was deleted, this removes its routes from the state:",
            command=commands.pulumi(stack.name, "refresh"),
        )
