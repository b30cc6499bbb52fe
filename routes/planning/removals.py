"""Managed routes that an update would delete, and why some must not be deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routes import commands
from routes.errors import Finding, truncated
from routes.model import NAMESPACE, Discovery, PodRoute, RouteKey
from routes.networks import enclosing
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How many routes may be deleted now."""

    limit: int
    reason: str
    """Why no more may be deleted: a clause of the message."""


def not_deletable(  # noqa: PLR0913, PLR0917 - what a plan is made of, and its limit
    settings: Settings,
    discovery: Discovery,
    stack: Stack,
    desired: Mapping[RouteKey, PodRoute],
    removed: Collection[RouteKey],
    allowance: Allowance | None = None,
) -> tuple[set[RouteKey], list[Finding]]:
    """Return which routes must not be deleted, and why.

    Args:
        settings: the limits.
        discovery: what was read from EC2.
        stack: the state.
        desired: the routes of the plan.
        removed: the managed routes that no worker of the plan needs.
        allowance: how many may be deleted; None for `maxRemovals` of one update.
    """
    if not removed or len(discovery.live) < settings.min_workers:  # a fault already
        return {*removed}, []
    served = {
        (key.route_table_id, r.network_interface_id) for key, r in desired.items()
    }
    not_ours = {
        key: finding
        for key in sorted(removed)
        if (finding := _not_ours(settings, discovery, stack, key, served))
    }
    ours = {*removed} - not_ours.keys()
    allowance = allowance or _of_one_update(settings, stack)
    refusals = [
        *_incomplete_list(discovery, ours),
        *_too_many(allowance, ours, stack),
    ]
    kept = {*removed} if refusals else {*not_ours}
    return kept, [*not_ours.values(), *refusals]


def _not_ours(
    settings: Settings,
    discovery: Discovery,
    stack: Stack,
    key: RouteKey,
    served: Collection[tuple[str, str]],
) -> Finding | None:
    """Return why a route is, or may be, somebody else's by now.

    It is somebody else's if no update of this program declared it, or if somebody
    retargeted it since the last one. Before a stack's first update, the target in the
    state counts. A route to a worker with a desired route in that table, or to a
    deleted interface, belongs to nobody else.
    """
    existing = discovery.existing.get(key)
    applied = stack.last_applied.get(key)
    is_pods = not isinstance(key.destination, str) and bool(
        enclosing(settings.cluster_cidr, key.destination)
    )
    if (applied or is_pods) and (
        not existing
        or (key.route_table_id, existing.target) in served
        or existing.is_target_deleted
    ):
        return None
    if not applied and (stack.last_applied or not is_pods):
        return _not_deleted(
            stack,
            key,
            f"it is in the state of stack {stack.name}, but this program didn't declare"
            " it: an update would delete it.",
            "To keep it, remove it from the state; AWS is not touched:",
        )
    before = applied.network_interface_id if applied else stack.managed[key].target
    target = existing.target if existing else ""
    if target == before:
        return None
    return _not_deleted(
        stack,
        key,
        f"the stack's route led to {before or 'something else'}, and now leads to"
        f" {target or 'nothing'}. No worker needs it, so an update would delete it.",
        "If it is somebody else's now, remove it from the state; AWS is not touched:",
    )


def _not_deleted(stack: Stack, key: RouteKey, problem: str, hint: str) -> Finding:
    return Finding(
        resource=str(key),
        problem=problem,
        hint=hint,
        command=commands.state_delete(stack.name, stack.managed[key].urn),
    )


def _incomplete_list(
    discovery: Discovery, removed: Collection[RouteKey]
) -> Iterator[Finding]:
    """Yield a fault if EC2's list of instances lacked live workers.

    It may have lacked the workers of the removed routes as well.
    """
    if discovery.unlisted and removed:
        yield Finding(
            resource=f"{NAMESPACE}:workers",
            problem="EC2's list of instances was incomplete. It lacked these, which are"
            " live when looked up by id, so no route is deleted:",
            details=truncated(sorted(discovery.unlisted), 10),
            hint="Try again.",
        )


def _of_one_update(settings: Settings, stack: Stack) -> Allowance:
    limit = settings.max_removals
    return Allowance(
        limit=allowed(limit, of=len(stack.managed)),
        reason=f"maxRemovals allows {limit}",
    )


def _too_many(
    allowance: Allowance, removed: Collection[RouteKey], stack: Stack
) -> Iterator[Finding]:
    """Yield a fault if the update would delete more routes than are allowed.

    A route is its table and its destination: renaming or replacing a worker removes
    none; another pod CIDR or another table does.
    """
    if len(removed) <= allowance.limit:
        return
    yield Finding(
        resource=f"{NAMESPACE}:maxRemovals",
        problem=f"this update would delete {len(removed)} of the {len(stack.managed)}"
        f" routes of stack {stack.name}; {allowance.reason}:",
        details=truncated(map(str, sorted(removed)), 20),
        hint="Check the configuration and the workers. If these routes should be"
        " deleted, this allows it once:",
        command=commands.update_allowing(stack.name, len(removed)),
    )


def allowed(limit: str, *, of: int) -> int:
    """Return how many of `of` routes may be deleted.

    A percentage is rounded down, but one above 0% allows at least one route: otherwise,
    at 25%, a stack of three could not delete a terminated worker's route.
    """
    number = int(limit.removesuffix("%"))
    if not limit.endswith("%"):
        return number
    return max(of * number // 100, min(number, of, 1))
