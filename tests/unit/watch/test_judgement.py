"""When a watcher acts, when it leaves things alone, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from routes.engine.state import Stack
from routes.errors import SettingsError
from routes.watch.judgement import Verdict, check, judge
from tests import builders
from tests.builders import discovery, pod_route, route, settings, table, worker

WATCHED = settings(workers="worker-*", unready="skip", maxRemovals="50%")
STANDING = table(*(route(f"10.200.{n}.0/24", f"eni-{n}") for n in range(3)))
ALL = {f"rtb-1_10.200.{n}.0/24": f"eni-{n}" for n in range(3)}


def stack(targets: dict[str, str] = ALL, **changes: Any) -> Stack:  # noqa: ANN401
    """Return a stack that holds these routes, by default the lab's three."""
    return builders.stack(targets, **changes)


def look(held: Stack, *, tables: Any = (STANDING,), count: int = 3) -> Verdict:  # noqa: ANN401
    workers = {WATCHED.workers[0]: tuple(worker(n) for n in range(count))}
    return judge(WATCHED, discovery(workers, tables), held)


def test_nothing_is_done_where_plan_state_and_table_agree() -> None:
    verdict = look(stack())

    assert verdict.is_quiet
    assert (verdict.workers, verdict.wanted, verdict.in_place) == (3, 3, 3)
    assert str(verdict) == "3 of 3 routes are in place"


@pytest.mark.parametrize(
    ("held", "tables", "count", "said"),
    [
        pytest.param({}, [table()], 3, "3 to add", id="a first update"),
        pytest.param(ALL, [STANDING], 4, "1 to add", id="a worker joined"),
        pytest.param(ALL, [STANDING], 2, "1 to remove", id="a worker left"),
        pytest.param(
            ALL | {"rtb-1_10.200.1.0/24": "eni-old"},
            [
                table(
                    route("10.200.0.0/24", "eni-0"),
                    route("10.200.1.0/24", "eni-old"),
                    route("10.200.2.0/24", "eni-2"),
                )
            ],
            3,
            "1 to turn",
            id="a worker was replaced",
        ),
        pytest.param(
            ALL,
            [table(route("10.200.0.0/24", "eni-0"), route("10.200.2.0/24", "eni-9"))],
            3,
            "2 drifted: rtb-1 10.200.1.0/24 (deleted), rtb-1 10.200.2.0/24 (to eni-9)",
            id="one deleted and one turned by hand",
        ),
    ],
)
def test_a_difference_calls_for_an_update(
    held: dict[str, str], tables: list[Any], count: int, said: str
) -> None:
    verdict = look(stack(held), tables=tables, count=count)

    assert not verdict.is_quiet
    assert str(verdict) == said
    assert bool(verdict.drifted) is ("drifted" in said)


def test_what_an_interrupted_update_did_is_due_until_it_is_recorded() -> None:
    made, turned, other = ALL
    declared = {
        turned: pod_route("10.200.1.0/24", "eni-old"),
        other: pod_route("10.200.2.0/24", "eni-2"),
    }

    verdict = look(stack(declared=declared))

    assert str(verdict) == "2 to record"
    assert verdict.changes == {(made, "eni-0"), (turned, "eni-1")}


def test_drift_is_mended_and_not_warned_of() -> None:
    assert look(stack(), tables=[table()]).warnings == ()


def test_a_newcomer_that_has_to_wait_is_a_warning() -> None:
    twin = worker(9, pod_cidrs=worker(0).pod_cidrs)
    found = discovery({WATCHED.workers[0]: (worker(0), twin)}, [STANDING])

    verdict = judge(WATCHED, found, stack({"rtb-1_10.200.0.0/24": "eni-0"}))

    assert [warning.where for warning in verdict.warnings] == ["worker-9 (i-9)"]
    assert verdict.is_quiet


def test_what_the_plan_refuses_is_not_done() -> None:
    verdict = look(stack(), count=1)

    (fault,) = verdict.faults
    assert fault.where == "pod-routes:maxRemovals"
    assert not verdict.changes
    assert not verdict.is_quiet


def test_of_what_stands_only_what_an_interrupted_update_made_is_taken_over() -> None:
    """Somebody else's route to the right interface stays somebody else's."""
    held = {"rtb-1_10.200.0.0/24": "eni-0"}
    name = "rtb-1_10.200.1.0/24"
    begun = stack(held, pending=(f"creating {name}",), begun={name: "eni-1"})

    verdict = look(begun)

    assert not verdict.is_quiet
    assert [each["name"] for each in verdict.taken["resources"]] == [
        "rtb-1",
        "rtb-1_10.200.1.0/24",
    ]
    assert str(verdict) == "creating rtb-1_10.200.1.0/24"


@pytest.mark.parametrize(
    ("begun", "taken"),
    [
        pytest.param("eni-9", 2, id="it stands, and nobody needs it"),
        pytest.param("eni-1", 0, id="it was somebody else's"),
    ],
)
def test_what_an_interrupted_update_made_is_taken_over_for_nobody(
    begun: str, taken: int
) -> None:
    """Its worker was replaced or terminated meanwhile: the next update sees to it."""
    name = "rtb-1_10.200.9.0/24"
    held = stack(pending=(f"creating {name}",), begun={name: begun})

    verdict = look(held, tables=[table(route("10.200.9.0/24", "eni-9"))])

    assert len(verdict.taken["resources"]) == taken


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        pytest.param({}, ["maxRemovals", "unready"], id="neither"),
        pytest.param({"unready": "skip"}, ["maxRemovals"], id="no limit"),
        pytest.param({"maxRemovals": "100%"}, ["unready"], id="nobody may wait"),
        pytest.param(
            {"maxRemovals": "9", "unready": "skip", "protect": "true"},
            ["protect"],
            id="nothing can be removed",
        ),
    ],
)
def test_a_watcher_needs_what_a_person_would_look_after(
    changes: dict[str, str], missing: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        check(settings(**changes))

    assert [fault.where for fault in refused.value.faults] == [
        f"pod-routes:{key}" for key in missing
    ]
    assert all("--stack dev" in fault.command for fault in refused.value.faults)
