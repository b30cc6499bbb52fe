"""Which pod CIDRs a stack caches, and when they are read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routes import cache
from routes.cache import PARSER, CachedPodCidrs
from routes.model import Worker
from tests.builders import networks, settings, worker

DUAL = worker(0, pod_cidrs=networks("10.200.0.0/24", "fd00:200::/64"))


def cached(*workers: Worker, **changes: str) -> tuple[CachedPodCidrs, ...]:
    """Return the cache after an update of these workers, as the engine returns it."""
    output = cache.to_output(workers, settings(**changes))
    return cache.from_output(json.loads(json.dumps(output), parse_int=float))


def test_the_output_has_the_pod_cidrs_and_what_they_depend_on() -> None:
    assert cache.to_output([DUAL], settings()) == {
        "source": "userData",
        "key": "pod-cidr",
        "parser": PARSER,
        "podCidrs": {"i-0 2026-11-01T10:00:00+00:00": "10.200.0.0/24,fd00:200::/64"},
    }


@pytest.mark.parametrize("state", ["pending", "running"])
def test_a_worker_that_was_not_stopped_since_is_in_the_cache(state: str) -> None:
    """The User Guide: user data is modified "while the instance is stopped"."""
    now = replace(DUAL, pod_cidrs=(), state=state)

    assert cache.lookup(cached(DUAL), settings(), [now]) == {"i-0": DUAL.pod_cidrs}


def test_a_fault_is_cached_if_it_is_given_and_never_stored_in_the_stack() -> None:
    bad = replace(DUAL, pod_cidrs=())
    faulty = cache.cacheable([bad], settings(), {"i-0": "it is empty"})

    assert cache.lookup(faulty, settings(), [bad]) == {"i-0": "it is empty"}
    assert cache.to_output([bad], settings())["podCidrs"] == {}


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(
            replace(DUAL, launch_time=DUAL.launch_time + timedelta(seconds=1)),
            id="started again",
        ),
        pytest.param(replace(DUAL, instance_id="i-1"), id="another instance"),
        pytest.param(replace(DUAL, state="stopped"), id="stopped"),
        pytest.param(replace(DUAL, state="stopping"), id="stopping"),
    ],
)
def test_a_worker_that_may_have_other_user_data_is_not_in_the_cache(
    now: Worker,
) -> None:
    assert cache.lookup(cached(DUAL), settings(), [now]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"podCidrKey": "cidr"}, id="another key"),
        pytest.param({"podCidrFrom": "tag"}, id="another source"),
    ],
)
def test_pod_cidrs_from_elsewhere_are_read_again(changes: dict[str, str]) -> None:
    assert cache.lookup(cached(DUAL, **changes), settings(), [DUAL]) == {}
    assert cache.lookup(cached(DUAL), settings(**changes), [DUAL]) == {}


def test_a_tag_is_always_read_again() -> None:
    tagged = {"podCidrFrom": "tag"}

    assert cache.lookup(cached(DUAL, **tagged), settings(**tagged), [DUAL]) == {}


def test_pod_cidrs_that_another_parser_read_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = cached(DUAL)
    monkeypatch.setattr(cache, "PARSER", PARSER + 1)

    assert cache.lookup(before, settings(), [DUAL]) == {}


@pytest.mark.parametrize("state", ["pending", "stopping", "stopped"])
def test_a_worker_that_is_not_running_is_not_cached(state: str) -> None:
    assert cache.cacheable([replace(DUAL, state=state)], settings()) == ()


@pytest.mark.parametrize(("seconds", "count"), [(30, 0), (-30, 0), (90, 1)])
def test_a_worker_that_was_just_started_is_not_cached(seconds: int, count: int) -> None:
    """EC2 may still return its former user data: it was changed while stopped."""
    started = datetime.now(UTC) - timedelta(seconds=seconds)

    entries = cache.cacheable([replace(DUAL, launch_time=started)], settings())

    assert len(entries) == count


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
def test_a_changed_output_is_ignored(
    tamper: Callable[[dict[str, Any]], object],
) -> None:
    output = cache.to_output([DUAL], settings())
    tamper(output)

    assert cache.from_output(output) == ()


@pytest.mark.parametrize("output", [None, [], {}, "", 7, [7], [{"worker": "worker-0"}]])
def test_a_stack_without_the_output_has_no_cache(output: object) -> None:
    assert cache.from_output(output) == ()
