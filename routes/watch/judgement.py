"""What one look found: nothing to do, an update, or every reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from routes import remedies
from routes.errors import FaultsError, Finding, SettingsError, first
from routes.model import NAMESPACE, Discovery, standing
from routes.planning import adopt, plan
from routes.planning.drift import drift, drifted
from routes.planning.removals import Allowance
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack

Routes: TypeAlias = frozenset[tuple[str, str]]
"""Import ids and targets, "" for one that goes."""
_NAMED: Final = 3
"""Drifted routes that a log line names."""


def check(settings: Settings) -> None:
    """Refuse to act alone without what keeps one bad worker, or list, from all others.

    Raises:
        SettingsError: which keys are not as they should be, and how to set each.
    """
    unfit = []
    if settings.unready != "skip":
        unfit.append(
            Finding(
                where=f"{NAMESPACE}:unready",
                problem=f"expected skip, found {settings.unready}: one worker that is"
                " not ready would hold up all others.",
                remedy="Let newcomers wait until they are:",
                command=remedies.set_key(
                    settings.stack, f"{NAMESPACE}:unready", "skip"
                ),
            )
        )
    if "max_removals" not in settings.model_fields_set:
        unfit.append(
            Finding(
                where=f"{NAMESPACE}:maxRemovals",
                problem="it is not set: a list of workers that is short by mistake"
                " would take all their routes away.",
                remedy="Say how many may go in one update, for example:",
                command=remedies.set_key(
                    settings.stack, f"{NAMESPACE}:maxRemovals", "25%"
                ),
            )
        )
    if settings.protect:
        unfit.append(
            Finding(
                where=f"{NAMESPACE}:protect",
                problem="expected false, found true: an update cannot remove a"
                " protected route, and fails at it each time.",
                remedy=f"{NAMESPACE}:maxRemovals is the guard here. Take this one out:",
                command=remedies.remove_key(settings.stack, f"{NAMESPACE}:protect"),
            )
        )
    if unfit:
        raise SettingsError(
            f"Stack {settings.stack} is not set up to be watched.", unfit
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What has to be done, and what there is to tell.

    Attributes:
        workers: those that the plan is for.
        wanted: how many routes it asks for; `in_place`, how many of them stand.
        added, turned, removed: the routes that an update would create, point elsewhere
            and delete, as far as state and plan tell.
        drifted: those that the tables no longer have as the state says, and where they
            lead now, "" for one that was deleted.
        deferred: such routes that are not repaired yet.
        unrecorded: those that an interrupted update made or turned, and that the
            stack's outputs do not have so.
        faults: what holds back the routes that it concerns, and nothing else.
        refusal: why nothing may be done.
        is_destroyed: whether somebody destroyed the stack, so that nothing is to be
            done.
        interrupted: what an update has begun that still runs, or that was interrupted.
        created: those that such an update, or one that failed, created, and that are
            not in the state; `taken` is their import file.
        waiting: how many workers get no route yet, each with a warning.
        warnings: what keeps pods from talking, or a worker from its route.
    """

    workers: int = 0
    wanted: int = 0
    in_place: int = 0
    added: Routes = frozenset()
    turned: Routes = frozenset()
    removed: Routes = frozenset()
    drifted: Routes = frozenset()
    deferred: Routes = frozenset()
    unrecorded: Routes = frozenset()
    faults: tuple[Finding, ...] = ()
    refusal: FaultsError | None = None
    is_destroyed: bool = False
    interrupted: tuple[str, ...] = ()
    created: Routes = frozenset()
    taken: Mapping[str, Any] = field(default_factory=dict)
    waiting: int = 0
    warnings: tuple[Finding, ...] = ()

    @property
    def changes(self) -> frozenset[object]:
        """All that an update has to do."""
        routes = self.added | self.turned | self.removed | self.unrecorded
        return routes | self.drifted | self.created | {*self.interrupted}

    @property
    def is_quiet(self) -> bool:
        """Whether plan, state and tables agree."""
        return not (
            self.changes
            or self.deferred
            or self.faults
            or self.refusal
            or self.is_destroyed
        )

    def __str__(self) -> str:
        if self.interrupted:
            return ", ".join(self.interrupted)
        parts = (
            (self.created, "to import"),
            (self.added, "to add"),
            (self.turned, "to turn"),
            (self.removed, "to remove"),
            (self.unrecorded, "to record"),
            (self.drifted, f"drifted: {named(self.drifted)}"),
        )
        changes = ", ".join(f"{len(each)} {what}" for each, what in parts if each)
        return changes or f"{self.in_place} of {self.wanted} routes are in place"


def named(drifted: Routes) -> str:
    """Return the first drifted routes, and where they lead."""
    rows = (
        f"{route.replace('_', ' ')} ({f'to {target}' if target else 'deleted'})"
        for route, target in sorted(drifted)
    )
    return ", ".join(first(rows, _NAMED))


def judge(
    settings: Settings,
    discovery: Discovery,
    stack: Stack,
    allowance: Allowance | None = None,
    attempted: Mapping[str, str] | None = None,
) -> Verdict:
    """Compare what is asked for with the state and with the tables.

    Args:
        settings: what is asked for.
        discovery: what EC2 answered.
        stack: with its state.
        allowance: how many of its routes may be deleted; None for `maxRemovals`.
        attempted: import ids and targets of the routes that an update failed to create:
            EC2 may have created them, and its answer have been lost.
    """
    try:
        check(settings)
        created = _created(discovery, stack, {**(attempted or {}), **stack.begun})
        if stack.pending or created:
            return Verdict(
                interrupted=stack.pending,
                created=created,
                taken=adopt.document((key for key, _ in created), stack.components),
            )
        planned = plan.make(settings, discovery, stack, allowance)
    except FaultsError as refusal:
        return Verdict(refusal=refusal)
    held = stack.targets
    wanted = {route.import_id: route.network_interface_id for route in planned.declared}
    recorded = {
        each: route.network_interface_id for each, route in stack.declared.items()
    } or held  # a program that has no such output
    kept = wanted.keys() & held.keys()
    turned = {each for each in kept if held[each] != wanted[each]}
    unrecorded = {each for each in kept - turned if recorded.get(each) != held[each]}
    of_drift = {*drift(planned.declared, planned.tables, stack)}
    return Verdict(
        workers=len(planned.workers),
        wanted=len(planned.routes),
        in_place=_in_place(planned),
        added=_routes(wanted, wanted.keys() - held.keys()),
        turned=_routes(wanted, turned),
        removed=frozenset(
            (each, "") for each in held.keys() - wanted.keys() - planned.kept
        ),
        drifted=frozenset(
            (route.import_id, now.target if now else "")
            for route, now in drifted(planned.declared, planned.tables, stack)
        ),
        unrecorded=_routes(wanted, unrecorded),
        faults=tuple(sorted(planned.problems)),
        waiting=len(planned.pending),
        warnings=tuple(each for each in planned.warnings if each not in of_drift),
    )


def _routes(targets: Mapping[str, str], names: Iterable[str]) -> Routes:
    return frozenset((each, targets[each]) for each in names)


def _created(
    discovery: Discovery, stack: Stack, attempted: Mapping[str, str]
) -> Routes:
    """Return the routes that an update created, and that are not in the state.

    Also those that nobody needs any more: the next update deletes them.
    """
    tables = (table for each in discovery.tables.values() for table in each)
    existing = standing(tables)
    return frozenset(
        (key, target)
        for key, target in attempted.items()
        if key not in stack.managed
        and key in existing
        and existing[key].target == target
    )


def _in_place(planned: plan.Plan) -> int:
    there = standing(planned.tables)
    return sum(
        route.import_id in there
        and there[route.import_id].target == route.network_interface_id
        for route in planned.routes
    )
