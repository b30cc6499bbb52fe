"""Managed routes that an update would delete, and why some must not be deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routes import remedies
from routes.errors import Finding, first
from routes.model import (
    NAMESPACE,
    Destination,
    Discovery,
    PodRoute,
    Route,
    as_destination,
    standing,
)
from routes.networks import Network, enclosing
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How many routes may be deleted now."""

    most: int
    reason: str
    """Why no more may: a clause for the operator."""


def refused(  # noqa: PLR0913, PLR0917 - what a plan is made of, and its limit
    settings: Settings,
    discovery: Discovery,
    stack: Stack,
    desired: Iterable[PodRoute[str]],
    removed: Collection[str],
    allowance: Allowance | None = None,
) -> tuple[set[str], list[Finding]]:
    """Return which of the routes that an update would delete it must not, and why.

    Args:
        settings: the limits.
        discovery: what EC2 answered.
        stack: what it manages.
        desired: the routes of the plan.
        removed: the import ids of managed routes that nothing in the plan needs.
        allowance: how many may be deleted; None for `maxRemovals` of one update.
    """
    live = {w.instance_id for each in discovery.workers.values() for w in each}
    if not removed or len(live) < settings.min_workers:  # the lookup's own fault
        return {*removed}, []
    tables = [table for each in discovery.tables.values() for table in each]
    existing = standing([*tables, *discovery.former_tables])
    served = {(route.route_table_id, route.network_interface_id) for route in desired}
    not_ours = {
        key: reason
        for key in sorted(removed)
        if (reason := _not_ours(settings, stack, key, existing.get(key), served))
    }
    rest = {*removed} - not_ours.keys()
    allowance = allowance or _of_one_update(settings, stack)
    reasons = [*_short_list(discovery, rest), *_too_many(allowance, rest, stack)]
    kept = {*removed} if reasons else {*not_ours}
    return kept, [*not_ours.values(), *reasons]


def _not_ours(
    settings: Settings,
    stack: Stack,
    key: str,
    existing: Route | None,
    served: Collection[tuple[str, str]],
) -> Finding | None:
    """Return why a route is, or may be, somebody else's by now.

    It is if no update of this program declared it, or if it leads elsewhere than the
    last one had it. A stack without outputs has had no update: there the state says
    where its routes led. If a route leads to a worker that the plan serves in that
    table, or to an interface that is gone, it is nobody's.
    """
    declared = stack.declared.get(key)
    table_id, _, destination = key.partition("_")
    is_pods = _is_in(settings.cluster_cidr, as_destination(destination))
    if (declared or is_pods) and (
        not existing or (table_id, existing.target) in served or existing.is_target_gone
    ):
        return None
    if not declared and (stack.declared or not is_pods):
        return _not_deleted(
            stack,
            key,
            f"it is in the state of stack {stack.name}, and this program did not"
            " declare it: an update would delete it.",
            "If it is to stay, remove it from the state; AWS is not touched:",
        )
    before = declared.network_interface_id if declared else stack.managed[key].target
    target = existing.target if existing else ""
    if target == before:
        return None
    return _not_deleted(
        stack,
        key,
        f"the stack's route was to {before or 'something else'}, and leads to"
        f" {target or 'nothing'} now. No worker needs it, so an update would delete"
        " it.",
        "If it is somebody else's now, remove it from the state; AWS is not touched:",
    )


def _not_deleted(stack: Stack, key: str, problem: str, remedy: str) -> Finding:
    return Finding(
        where=key.replace("_", " "),
        problem=problem,
        remedy=remedy,
        command=remedies.let_go(stack.name, stack.managed[key].urn),
    )


def _is_in(ranges: Iterable[Network], destination: Destination) -> bool:
    return not isinstance(destination, str) and bool(enclosing(ranges, destination))


def _short_list(discovery: Discovery, removed: Collection[str]) -> Iterator[Finding]:
    """Yield a fault if EC2's list of instances lacked workers that are live.

    So it may have lacked the workers of the other routes as well.
    """
    if discovery.missed and removed:
        yield Finding(
            where=f"{NAMESPACE}:workers",
            problem="EC2's list of instances was short. It lacked these, which are live"
            " when asked for by id, so no route is deleted:",
            rows=first(sorted(discovery.missed), 10),
            remedy="Try again.",
        )


def _of_one_update(settings: Settings, stack: Stack) -> Allowance:
    limit = settings.max_removals
    return Allowance(
        most=allowed(limit, of=len(stack.managed)), reason=f"maxRemovals allows {limit}"
    )


def _too_many(
    allowance: Allowance, removed: Collection[str], stack: Stack
) -> Iterator[Finding]:
    """Yield a fault if the stack would lose more routes than it may.

    A route is its table and its destination: a worker that is renamed or replaced takes
    none away; one with another pod CIDR, or in another table, does.
    """
    if len(removed) <= allowance.most:
        return
    yield Finding(
        where=f"{NAMESPACE}:maxRemovals",
        problem=f"this update would delete {len(removed)} of the {len(stack.managed)}"
        f" routes of stack {stack.name}; {allowance.reason}:",
        rows=first((name.replace("_", " ") for name in sorted(removed)), 20),
        remedy="Check the configuration and the workers. If these routes are to go,"
        " this allows it once:",
        command=remedies.update_removing(stack.name, len(removed)),
    )


def allowed(limit: str, *, of: int) -> int:
    """Return how many routes may be deleted, of so many.

    A percentage is rounded down, but one above 0% allows at least one route: else 25%
    would forbid a stack of three to follow a worker that is terminated.
    """
    number = int(limit.removesuffix("%"))
    if not limit.endswith("%"):
        return number
    return max(of * number // 100, min(number, of, 1))
