"""Managed routes about which something is not known now: they stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, first
from routes.model import Discovery, RouteTable, Worker, selected, standing

if TYPE_CHECKING:
    from routes.engine.state import Stack


def undecided(
    discovery: Discovery,
    stack: Stack,
    tables: Iterable[RouteTable],
    workers: Iterable[Worker],
    desired: Collection[str],
) -> set[str]:
    """Return the import ids of managed routes that cannot be decided.

    A route's table was not read; or EC2 names an instance behind it and does not know
    that by its id; or its worker is listed and is not ready; or nobody needs it, and
    an entry that selects nobody now may be for its worker.

    Args:
        discovery: what EC2 answered.
        stack: what it manages.
        tables: those of the plan.
        workers: those of the plan, which are ready.
        desired: the import ids of their routes.
    """
    read = [*tables, *discovery.former_tables]
    existing = standing(read)
    ids = {table.id for table in read}
    listed = {w.instance_id: w for each in discovery.workers.values() for w in each}
    not_ready = listed.keys() - {worker.instance_id for worker in workers}
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
        owner = (declared.instance_id if declared else None) or (
            by_interface[target].instance_id if target in by_interface else ""
        )
        behind = (existing[key].instance_id if key in existing else None) or ""
        # Whose a route is that no update has declared, only its target tells.
        owners = {owner} if owner else {route.instance_id, behind}
        name = declared.worker if declared else None
        if (
            key.partition("_")[0] not in ids
            or owners & not_ready
            or {owner, behind} & discovery.unconfirmed
            or (
                key not in desired
                and any(
                    not declared or entry.selects(id=each, name=name)
                    for entry in idle
                    for each in owners
                )
            )
        ):
            found.add(key)
    return found


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
