"""The changes that a watcher makes or leaves alone, and how it describes them."""

from __future__ import annotations

from typing import Any

import pytest

from routes.engine.state import Stack
from routes.errors import SettingsError
from routes.model import RouteKey
from routes.watch.diff import Diff, check_settings, compare
from tests import builders
from tests.builders import discovery, key, pod_route, route, settings, table, worker

WATCHED = settings(workers="worker-*", unready="skip", maxRemovals="50%")
IN_PLACE = table(*(route(f"10.200.{n}.0/24", f"eni-{n}") for n in range(3)))
ALL = {key(f"10.200.{n}.0/24"): f"eni-{n}" for n in range(3)}
FIRST, SECOND, THIRD = ALL


def stack(targets: dict[RouteKey, str] = ALL, **changes: Any) -> Stack:  # noqa: ANN401
    """Return a stack that manages these routes, by default the lab's three."""
    return builders.stack(targets, **changes)


def diff_of(
    managing: Stack,
    *,
    tables: Any = (IN_PLACE,),  # noqa: ANN401
    count: int = 3,
) -> Diff:
    """Compare a stack with so many workers and these tables."""
    workers = {WATCHED.workers[0]: tuple(worker(n) for n in range(count))}
    return compare(WATCHED, discovery(workers, tables), managing)


def test_nothing_is_changed_if_plan_state_and_table_agree() -> None:
    diff = diff_of(stack())

    assert diff.is_in_sync
    assert (diff.workers, diff.desired, diff.in_place) == (3, 3, 3)
    assert str(diff) == "3 of 3 routes are in place"


@pytest.mark.parametrize(
    ("managed", "tables", "count", "text"),
    [
        pytest.param({}, [table()], 3, "3 to add", id="a first update"),
        pytest.param(ALL, [IN_PLACE], 4, "1 to add", id="a worker joined"),
        pytest.param(ALL, [IN_PLACE], 2, "1 to remove", id="a worker left"),
        pytest.param(
            ALL | {SECOND: "eni-old"},
            [
                table(
                    route("10.200.0.0/24", "eni-0"),
                    route("10.200.1.0/24", "eni-old"),
                    route("10.200.2.0/24", "eni-2"),
                )
            ],
            3,
            "1 to retarget",
            id="a worker was replaced",
        ),
        pytest.param(
            ALL,
            [table(route("10.200.0.0/24", "eni-0"), route("10.200.2.0/24", "eni-9"))],
            3,
            "2 drifted: rtb-1 10.200.1.0/24 (deleted), rtb-1 10.200.2.0/24 (to eni-9)",
            id="one deleted and one retargeted by hand",
        ),
    ],
)
def test_a_difference_needs_an_update(
    managed: dict[RouteKey, str], tables: list[Any], count: int, text: str
) -> None:
    diff = diff_of(stack(managed), tables=tables, count=count)

    assert not diff.is_in_sync
    assert str(diff) == text
    assert bool(diff.drifted) is ("drifted" in text)


def test_changes_of_an_interrupted_update_are_due_until_the_outputs_have_them() -> None:
    last_applied = {
        SECOND: pod_route("10.200.1.0/24", "eni-old"),
        THIRD: pod_route("10.200.2.0/24", "eni-2"),
    }

    diff = diff_of(stack(last_applied=last_applied))

    assert str(diff) == "2 to record"
    assert diff.changes == {(FIRST, "eni-0"), (SECOND, "eni-1")}


def test_drift_is_repaired_without_a_warning() -> None:
    assert diff_of(stack(), tables=[table()]).warnings == ()


def test_a_pending_newcomer_is_a_warning() -> None:
    namesake = worker(9, pod_cidrs=worker(0).pod_cidrs)
    read = discovery({WATCHED.workers[0]: (worker(0), namesake)}, [IN_PLACE])

    diff = compare(WATCHED, read, stack({FIRST: "eni-0"}))

    assert [warning.resource for warning in diff.warnings] == ["worker-9 (i-9)"]
    assert diff.pending_workers == 1
    assert diff.is_in_sync


def test_a_change_that_the_plan_refuses_is_not_made() -> None:
    diff = diff_of(stack(), count=1)

    (fault,) = diff.faults
    assert fault.resource == "pod-routes:maxRemovals"
    assert not diff.changes
    assert not diff.is_in_sync


def test_of_the_existing_routes_only_an_interrupted_updates_own_is_imported() -> None:
    """Somebody else's route to the right interface stays somebody else's."""
    name = SECOND.import_id
    interrupted = stack(
        {FIRST: "eni-0"},
        pending=(f"creating {name}",),
        pending_creates={SECOND: "eni-1"},
    )

    diff = diff_of(interrupted)

    assert not diff.is_in_sync
    assert diff.is_recovery
    assert [each["name"] for each in diff.import_file["resources"]] == ["rtb-1", name]
    assert str(diff) == f"creating {name}"


@pytest.mark.parametrize(
    ("target", "imported"),
    [
        pytest.param("eni-9", 2, id="it exists, and no worker needs it"),
        pytest.param("eni-1", 0, id="somebody else created it"),
    ],
)
def test_a_route_of_an_interrupted_update_is_imported_even_if_no_worker_needs_it(
    target: str, imported: int
) -> None:
    """Its worker was replaced or terminated meanwhile: the next update deletes it."""
    created = key("10.200.9.0/24")
    interrupted = stack(
        pending=(f"creating {created.import_id}",), pending_creates={created: target}
    )

    diff = diff_of(interrupted, tables=[table(route("10.200.9.0/24", "eni-9"))])

    assert len(diff.import_file["resources"]) == imported


def test_a_route_that_a_failed_update_may_have_created_is_imported_if_it_exists() -> (
    None
):
    """EC2 created it, and the answer was lost; the state has no pending operation."""
    read = discovery(tables=[IN_PLACE])
    attempted = {SECOND: "eni-1", key("10.200.9.0/24"): "eni-9"}

    diff = compare(WATCHED, read, stack({FIRST: "eni-0"}), attempted=attempted)

    assert diff.unrecorded == {(SECOND, "eni-1")}
    assert str(diff) == "1 to import"


def test_a_route_created_in_a_table_that_was_deselected_since_is_left_alone() -> None:
    """Nothing in the configuration says that this stack may manage that table."""
    created = key("10.200.9.0/24", "rtb-2")
    interrupted = stack(pending=("creating it",), pending_creates={created: "eni-9"})
    old = table(route("10.200.9.0/24", "eni-9"), id="rtb-2", name="old")
    read = discovery(tables=[IN_PLACE], deselected_tables=(old,))

    diff = compare(WATCHED, read, interrupted)

    assert diff.unrecorded == frozenset()


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        pytest.param({}, ["maxRemovals", "unready"], id="neither"),
        pytest.param({"unready": "skip"}, ["maxRemovals"], id="no limit"),
        pytest.param({"maxRemovals": "100%"}, ["unready"], id="workers must be ready"),
        pytest.param(
            {"maxRemovals": "9", "unready": "skip", "protect": "true"},
            ["protect"],
            id="no route can be deleted",
        ),
    ],
)
def test_a_stack_is_watched_only_with_the_settings_that_limit_a_fault(
    changes: dict[str, str], missing: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        check_settings(settings(**changes))

    assert [fault.resource for fault in refused.value.faults] == [
        f"pod-routes:{key}" for key in missing
    ]
    assert all("--stack dev" in fault.command for fault in refused.value.faults)
