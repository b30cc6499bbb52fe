"""The watch of Nodes: what wakes the watcher, and how it goes on after an end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from queue import Queue

import pytest

from routes.errors import DeniedError, LookupFailedError
from routes.model import Node
from routes.watch import nodes as nodes_module
from routes.watch.nodes import NodeWatch
from tests.builders import settings

NODE = settings(podCidrFrom="node")
SECONDS = 10


def node(name: str, *pod_cidrs: str) -> Node:
    return Node(
        name=name,
        provider_id=f"aws:///us-east-1a/i-{name}",
        addresses=(),
        pod_cidrs=pod_cidrs,
    )


A = node("a", "10.200.0.0/24")


class FakeCluster:
    """A cluster whose lists and events a test sends; an exception ends the watch."""

    lists: Queue[tuple[Node, ...] | Exception]
    events: Queue[tuple[bool, Node] | Exception]

    def __init__(self, _: object) -> None:
        self.is_closed = False

    def versioned_nodes(self) -> tuple[tuple[Node, ...], str]:
        listed = self.lists.get()
        if isinstance(listed, Exception):
            raise listed
        return listed, "1"

    def changes(self, version: str) -> Iterator[tuple[bool, Node]]:
        assert version == "1"
        while True:
            event = self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """Follow a cluster without Nodes, and count how often the watcher is woken."""
    FakeCluster.lists, FakeCluster.events = Queue(), Queue()
    monkeypatch.setattr("routes.kube.cluster.Cluster", FakeCluster)
    monkeypatch.setattr(nodes_module, "_PAUSE", 0)
    counter = threading.Semaphore(0)
    watch = NodeWatch(counter.release)
    watch.follow(NODE)
    watch.follow(NODE)
    FakeCluster.lists.put(())
    yield counter
    watch.follow(settings())
    FakeCluster.lists.put(LookupFailedError("ended"))
    FakeCluster.events.put((True, A))


def is_woken(counter: threading.Semaphore) -> bool:
    return counter.acquire(timeout=SECONDS)


def test_a_node_wakes_it_when_it_has_pod_cidrs_changes_and_disappears(
    woken: threading.Semaphore,
) -> None:
    for event in (
        (False, A),
        (False, replace(A, provider_id="aws:///us-east-1a/i-b")),
        (True, A),
    ):
        FakeCluster.events.put(event)
        assert is_woken(woken)


def test_heartbeats_and_nodes_without_pod_cidrs_do_not_wake_it(
    woken: threading.Semaphore,
) -> None:
    for event in (
        (False, node("b")),
        (True, node("b")),
        (False, A),
        (False, A),
        (False, A),
        (True, A),
    ):
        FakeCluster.events.put(event)

    assert is_woken(woken)
    assert is_woken(woken)
    assert not woken.acquire(timeout=0.2)


@pytest.mark.parametrize("listed", [(A, node("c", "10.200.3.0/24")), ()])
def test_after_an_end_the_nodes_are_listed_again_and_a_difference_wakes_it(
    woken: threading.Semaphore, listed: tuple[Node, ...]
) -> None:
    FakeCluster.events.put((False, A))
    assert is_woken(woken)

    FakeCluster.events.put(LookupFailedError("410 Gone"))
    FakeCluster.lists.put(listed)

    assert is_woken(woken)


def test_without_a_difference_it_sleeps_on(woken: threading.Semaphore) -> None:
    FakeCluster.events.put((False, A))
    assert is_woken(woken)

    FakeCluster.events.put(LookupFailedError("410 Gone"))
    FakeCluster.lists.put((A,))

    assert not woken.acquire(timeout=0.2)


def test_a_missing_right_is_one_warning(
    woken: threading.Semaphore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            FakeCluster.events.put(DeniedError("watch on nodes"))
            FakeCluster.lists.put(())
        FakeCluster.events.put((False, A))
        assert is_woken(woken)

    mine = (r for r in caplog.records if r.name == nodes_module.__name__)
    assert [record.getMessage() for record in mine] == ["watch on nodes"]


def test_another_source_needs_no_cluster() -> None:
    before = threading.active_count()

    NodeWatch(lambda: None).follow(settings())

    assert threading.active_count() == before
