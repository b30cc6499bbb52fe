"""Managed routes about which something is not known now: they stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, first
from routes.model import Discovery, PodRoute, RouteTable, Worker, selected, standing

if TYPE_CHECKING:
    from routes.engine.state import Stack


def undecided(
    discovery: Discovery,
    stack: Stack,
    tables: Iterable[RouteTable],
    workers: Iterable[Worker],
    desired: Mapping[str, PodRoute[str]],
) -> set[str]:
    """Return the import ids of managed routes that cannot be decided.

    A route's table was not read, or an entry may be for it; or EC2 names an instance
    behind the route and does not know that by its id; or its worker is listed and is
    not ready; or nobody needs it, and it is to the pod CIDR of a worker that is not
    ready, or an entry that selects nobody now may be for its worker.

    Two workers may have swapped their pod CIDRs: while one that has routes is unread,
    nobody knows whether it needs what another live one no longer does. Without the
    outputs of an update, each unread worker may be the one that a route is for.

    A route that is desired as the last update declared it is decided, wherever it leads
    now.

    Args:
        discovery: what EC2 answered.
        stack: what it manages.
        tables: those of the plan.
        workers: those of the plan, which are ready.
        desired: their routes, by import id.
    """
    read = [*tables, *discovery.former_tables]
    existing = standing(read)
    ids = {table.id for table in read} - _unclear(discovery)
    listed = {w.instance_id: w for each in discovery.workers.values() for w in each}
    not_ready = listed.keys() - {worker.instance_id for worker in workers}
    destinations = {str(cidr) for each in not_ready for cidr in listed[each].pod_cidrs}
    served = {*stack.owners.values()} if stack.declared else not_ready
    unread = bool(discovery.unconfirmed) or any(
        not listed[each].pod_cidrs for each in not_ready & served
    )
    by_interface = {w.interface.id: w for w in listed.values() if w.interface}
    idle = [
        entry
        for entry, each in discovery.workers.items()
        if not selected({entry: each})
    ]
    found = set()
    for key, route in stack.managed.items():
        declared = stack.declared.get(key)
        target = declared.network_interface_id if declared else route.target
        new = desired.get(key)
        if declared and new and new.network_interface_id == target:
            continue
        table_id, _, destination = key.partition("_")
        instances = {
            by_interface[target].instance_id if target in by_interface else "",
            (declared.instance_id if declared else None) or "",
            route.instance_id,
            (existing[key].instance_id if key in existing else None) or "",
        }
        name = declared.worker if declared else None
        if (
            table_id not in ids
            or instances & (not_ready | discovery.unconfirmed)
            or (
                not new
                and (
                    destination in destinations
                    or (unread and instances & listed.keys())
                    or any(
                        not declared or entry.selects(id=each, name=name)
                        for entry in idle
                        for each in instances
                    )
                )
            )
        ):
            found.add(key)
    return found


def _unclear(discovery: Discovery) -> set[str]:
    """Return the former tables that an entry of `routeTables` may still be for.

    Names are matched by a filter: a table that this leaves out is read by its id. So
    nobody knows for which table an entry is that matches none, or several.
    """
    is_clear = all(len(each) == 1 for each in discovery.tables.values())
    return {
        table.id
        for table in discovery.former_tables
        if not is_clear or _is_selected(discovery, table)
    }


def _is_selected(discovery: Discovery, table: RouteTable) -> bool:
    return any(
        entry.selects(id=table.id, name=table.name or None)
        for entry in discovery.tables
    )


def findings(
    discovery: Discovery, stack: Stack, tables: Iterable[RouteTable]
) -> Iterator[Finding]:
    """Yield what no worker and no entry is to blame for."""
    read = [*tables, *discovery.former_tables]
    selected_tables = {t.id for each in discovery.tables.values() for t in each}
    in_tables: dict[str, list[str]] = {}
    for key in sorted(stack.managed):
        in_tables.setdefault(key.partition("_")[0], []).append(key)
    for table_id in in_tables.keys() - {table.id for table in read} - selected_tables:
        yield Finding(
            where=table_id,
            problem=f"stack {stack.name} has routes in this table, and EC2 does not"
            " list it:",
            rows=first((key.replace("_", " ") for key in in_tables[table_id]), 10),
            remedy="If the table was deleted, this removes its routes from the state:",
            command=remedies.pulumi(stack.name, "refresh"),
        )
    for table in discovery.former_tables:
        if _is_selected(discovery, table):
            yield Finding(
                where=table.id,
                problem="EC2's list of route tables was short. It lacked this one,"
                " which an entry selects, so none of its routes is deleted.",
                remedy="Try again.",
            )
    existing = standing(read)
    for key in sorted(stack.managed.keys() & existing):
        instance_id = existing[key].instance_id or stack.owners[key]
        if instance_id in discovery.unconfirmed:
            yield Finding(
                where=key.replace("_", " "),
                problem=f"EC2 lists {instance_id} as the active target of this route,"
                " and does not know that instance by its id.",
                remedy="One of the two answers is out of date: try again.",
            )
