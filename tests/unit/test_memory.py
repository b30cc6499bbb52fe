"""What a stack remembers of its workers, and when that is no longer to be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routes import memory
from routes.memory import PARSER, Reading
from routes.model import Worker
from tests.builders import networks, settings, worker

DUAL = worker(0, pod_cidrs=networks("10.200.0.0/24", "fd00:200::/64"))


def held(*workers: Worker, **changes: str) -> tuple[Reading, ...]:
    """Return what an update of these workers leaves, as the engine gives it back."""
    kept = memory.outputs(workers, settings(**changes))
    return memory.parse(json.loads(json.dumps(kept), parse_int=float))


def test_what_is_kept_is_the_pod_cidrs_and_what_they_depend_on() -> None:
    assert memory.outputs([DUAL], settings()) == {
        "source": "userData",
        "key": "pod-cidr",
        "parser": PARSER,
        "podCidrs": {"i-0 2026-11-01T10:00:00+00:00": "10.200.0.0/24,fd00:200::/64"},
    }


@pytest.mark.parametrize("state", ["pending", "running"])
def test_a_worker_that_was_not_stopped_since_is_known(state: str) -> None:
    """The User Guide: user data is modified "while the instance is stopped"."""
    now = replace(DUAL, pod_cidrs=(), state=state)

    assert memory.recall(held(DUAL), settings(), [now]) == {"i-0": DUAL.pod_cidrs}


def test_that_user_data_cannot_be_read_is_known_where_it_is_asked_for() -> None:
    bad = replace(DUAL, pod_cidrs=())
    seen = memory.readings([bad], settings(), {"i-0": "it is empty"})

    assert memory.recall(seen, settings(), [bad]) == {"i-0": "it is empty"}
    assert memory.outputs([bad], settings())["podCidrs"] == {}


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(
            replace(DUAL, launch_time=DUAL.launch_time + timedelta(seconds=1)),
            id="started again",
        ),
        pytest.param(replace(DUAL, instance_id="i-1"), id="another instance"),
        pytest.param(replace(DUAL, state="stopped"), id="stopped"),
        pytest.param(replace(DUAL, state="stopping"), id="on its way down"),
    ],
)
def test_a_worker_that_may_have_other_user_data_is_not_known(now: Worker) -> None:
    assert memory.recall(held(DUAL), settings(), [now]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"podCidrKey": "cidr"}, id="another key"),
        pytest.param({"podCidrFrom": "tag"}, id="another source"),
    ],
)
def test_what_was_read_otherwise_is_read_again(changes: dict[str, str]) -> None:
    assert memory.recall(held(DUAL, **changes), settings(), [DUAL]) == {}
    assert memory.recall(held(DUAL), settings(**changes), [DUAL]) == {}


def test_a_tag_is_always_read_again() -> None:
    tagged = {"podCidrFrom": "tag"}

    assert memory.recall(held(DUAL, **tagged), settings(**tagged), [DUAL]) == {}


def test_what_another_parser_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = held(DUAL)
    monkeypatch.setattr(memory, "PARSER", PARSER + 1)

    assert memory.recall(before, settings(), [DUAL]) == {}


@pytest.mark.parametrize("state", ["pending", "stopping", "stopped"])
def test_of_a_worker_that_does_not_run_nothing_is_kept(state: str) -> None:
    assert memory.readings([replace(DUAL, state=state)], settings()) == ()


@pytest.mark.parametrize(("seconds", "kept"), [(30, 0), (-30, 0), (90, 1)])
def test_of_a_worker_that_was_just_started_nothing_is_kept(
    seconds: int, kept: int
) -> None:
    """Its user data may be that of before: it was changed while it was stopped."""
    began = datetime.now(UTC) - timedelta(seconds=seconds)

    found = memory.readings([replace(DUAL, launch_time=began)], settings())

    assert len(found) == kept


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda output: output.pop(key)


def with_value(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda output: output.update({key: value})


def with_start(start: str, pod_cidrs: str) -> Callable[[dict[str, Any]], object]:
    return lambda output: output["podCidrs"].update({start: pod_cidrs})


START = "i-1 2026-11-01T10:00:00+00:00"


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(without("parser"), id="a member is missing"),
        pytest.param(with_value("more", 1), id="one is new"),
        pytest.param(with_start("i-0", "10.200.0.0/24"), id="no time"),
        pytest.param(with_start("i-0 soon", "10.200.0.0/24"), id="another time"),
        pytest.param(with_start(START, "10.200.0.1/24"), id="no network"),
        pytest.param(with_start(START, ""), id="nothing"),
    ],
)
def test_what_is_not_ours_is_forgotten(
    tamper: Callable[[dict[str, Any]], object],
) -> None:
    output = memory.outputs([DUAL], settings())
    tamper(output)

    assert memory.parse(output) == ()


@pytest.mark.parametrize("output", [None, [], {}, "", 7, [7], [{"worker": "worker-0"}]])
def test_a_stack_without_memory_has_none(output: object) -> None:
    assert memory.parse(output) == ()
