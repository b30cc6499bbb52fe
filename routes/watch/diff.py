"""The changes that a reconciliation has to make, or every reason not to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from routes import commands
from routes.errors import FaultsError, Finding, SettingsError, truncated
from routes.model import NAMESPACE, Discovery, RouteKey, static_routes
from routes.planning import adoption, drift, plan
from routes.planning.removals import Allowance
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.engine.state import Stack

Routes: TypeAlias = frozenset[tuple[RouteKey, str]]
"""Routes and their targets, "" for one that is deleted."""
_MAX_NAMED: Final = 3
"""The maximum number of drifted routes in a log line."""


def check_settings(settings: Settings) -> None:
    """Refuse to update unattended without the settings that limit a fault's effect.

    Raises:
        SettingsError: lists every wrong or missing key, and how to fix it.
    """
    faults = []
    if settings.unready != "skip":
        faults.append(
            Finding(
                resource=f"{NAMESPACE}:unready",
                problem=f"expected skip, found {settings.unready}: one worker that is"
                " not ready would block all others.",
                hint="To skip workers until they are ready:",
                command=commands.config_set(
                    settings.stack, f"{NAMESPACE}:unready", "skip"
                ),
            )
        )
    if "max_removals" not in settings.model_fields_set:
        faults.append(
            Finding(
                resource=f"{NAMESPACE}:maxRemovals",
                problem="it is not set: an incomplete list of workers would delete all"
                " their routes.",
                hint="Set how many an update may delete, for example:",
                command=commands.config_set(
                    settings.stack, f"{NAMESPACE}:maxRemovals", "25%"
                ),
            )
        )
    if settings.protect:
        faults.append(
            Finding(
                resource=f"{NAMESPACE}:protect",
                problem="expected false, found true: an update can't delete a protected"
                " route, and fails each time.",
                hint=f"Here {NAMESPACE}:maxRemovals protects routes. Remove this key:",
                command=commands.config_rm(settings.stack, f"{NAMESPACE}:protect"),
            )
        )
    if faults:
        raise SettingsError(
            f"Stack {settings.stack} is not configured to be watched.", faults
        )


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What differs between the plan, the state and the tables.

    Attributes:
        workers: how many the plan has.
        desired: how many routes it has.
        in_place: how many of those exist with the right target.
        added, retargeted, removed: the routes that an update would create, retarget and
            delete, according to plan and state.
        drifted: routes whose table differs from the state, with their current targets,
            "" if deleted.
        deferred: drifted routes that are not repaired yet, and routes that are not
            deleted yet.
        outdated: routes that an interrupted update created or retargeted, and that
            differ in the stack's outputs.
        checked: interfaces whose source/destination check has to be turned off.
        faults: those that block only the routes they are about.
        refusal: why nothing may be changed.
        is_destroyed: whether somebody destroyed the stack, so nothing must be changed.
        pending: operations of an update that is running, or was interrupted.
        unrecorded: routes that such an update, or a failed one, created, and that the
            state lacks; `import_file` lists them.
        pending_workers: how many get no route yet, each with a warning.
        warnings: problems that keep pods from talking, or a worker without a route.
    """

    workers: int = 0
    desired: int = 0
    in_place: int = 0
    added: Routes = frozenset()
    retargeted: Routes = frozenset()
    removed: Routes = frozenset()
    drifted: Routes = frozenset()
    deferred: Routes = frozenset()
    outdated: Routes = frozenset()
    checked: frozenset[str] = frozenset()
    faults: tuple[Finding, ...] = ()
    refusal: FaultsError | None = None
    is_destroyed: bool = False
    pending: tuple[str, ...] = ()
    unrecorded: Routes = frozenset()
    import_file: Mapping[str, Any] = field(default_factory=dict)
    pending_workers: int = 0
    warnings: tuple[Finding, ...] = ()

    @property
    def changes(self) -> frozenset[object]:
        """Everything that an update has to change."""
        routes = self.added | self.retargeted | self.removed | self.outdated
        routes |= self.drifted | self.unrecorded
        return routes | self.checked | {*self.pending}

    @property
    def is_recovery(self) -> bool:
        """Whether an earlier update has to be completed first."""
        return bool(self.pending or self.unrecorded)

    @property
    def is_in_sync(self) -> bool:
        """Whether plan, state and tables agree."""
        return not (
            self.changes
            or self.deferred
            or self.faults
            or self.refusal
            or self.is_destroyed
        )

    def __str__(self) -> str:
        if self.pending:
            return ", ".join(self.pending)
        parts = (
            (self.unrecorded, "to import"),
            (self.added, "to add"),
            (self.retargeted, "to retarget"),
            (self.removed, "to remove"),
            (self.outdated, "to record"),
            (self.drifted, f"drifted: {describe(self.drifted)}"),
            (self.checked, "source/destination check(s) to turn off"),
        )
        changes = ", ".join(f"{len(each)} {what}" for each, what in parts if each)
        return changes or f"{self.in_place} of {self.desired} routes are in place"


def describe(drifted: Routes) -> str:
    """Return the first drifted routes, with their targets."""
    rows = (
        f"{key} ({f'to {target}' if target else 'deleted'})"
        for key, target in sorted(drifted)
    )
    return ", ".join(truncated(rows, _MAX_NAMED))


def compare(
    settings: Settings,
    discovery: Discovery,
    stack: Stack,
    allowance: Allowance | None = None,
    attempted: Mapping[RouteKey, str] | None = None,
) -> Diff:
    """Compare the plan with the state and the tables.

    Args:
        settings: the configuration.
        discovery: what was read from EC2.
        stack: the state.
        allowance: how many routes may be deleted; None for `maxRemovals`.
        attempted: the routes that an update failed to create, and their targets: EC2
            may have created them, and its answer may have been lost.
    """
    try:
        check_settings(settings)
        unrecorded = _unrecorded(
            discovery, stack, {**(attempted or {}), **stack.pending_creates}
        )
        if stack.pending or unrecorded:
            keys = sorted(key for key, _ in unrecorded)
            return Diff(
                pending=stack.pending,
                unrecorded=unrecorded,
                import_file=adoption.document(keys, stack.components),
            )
        planned = plan.validated(settings, discovery, stack, allowance)
    except FaultsError as refusal:
        return Diff(refusal=refusal)
    managed = stack.targets
    desired = {k: r.network_interface_id for k, r in planned.declared.items()}
    applied = {
        key: route.network_interface_id for key, route in stack.last_applied.items()
    } or managed  # before the first update there are no outputs
    both = desired.keys() & managed.keys()
    retargeted = {key for key in both if managed[key] != desired[key]}
    outdated = {k for k in both - retargeted if applied.get(k) != managed[k]}
    drift_warnings = {*drift.warnings_of(planned.desired, planned.drift, stack)}
    return Diff(
        workers=len(planned.workers),
        desired=len(planned.desired),
        in_place=sum(
            key in planned.existing
            and planned.existing[key].target == route.network_interface_id
            for key, route in planned.desired.items()
        ),
        added=frozenset((k, desired[k]) for k in desired.keys() - managed.keys()),
        retargeted=frozenset((k, desired[k]) for k in retargeted),
        removed=frozenset(
            (k, "") for k in managed.keys() - desired.keys() - planned.kept
        ),
        drifted=frozenset((k, r.target if r else "") for k, r in planned.drift.items()),
        outdated=frozenset((k, desired[k]) for k in outdated),
        checked=frozenset(planned.checked),
        faults=tuple(sorted(planned.problems)),
        pending_workers=len(planned.pending),
        warnings=tuple(w for w in planned.warnings if w not in drift_warnings),
    )


def _unrecorded(
    discovery: Discovery, stack: Stack, attempted: Mapping[RouteKey, str]
) -> Routes:
    """Return the routes that an update created, and that aren't in the state.

    Those that no worker needs any more are included: the next update deletes them. A
    table that is no longer selected is left alone.
    """
    existing = static_routes(t for each in discovery.tables.values() for t in each)
    return frozenset(
        (key, target)
        for key, target in attempted.items()
        if key not in stack.managed
        and key in existing
        and existing[key].target == target
    )
