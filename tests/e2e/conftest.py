"""Real `pulumi` commands, each test with its own account, backend, home and stack."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sandbox.ec2.client import Sandbox
from sandbox.pulumi.engine import Engine, EngineError, ensure, heed_interrupts
from tests.e2e.moments import BEGINNING, Moments, unmanaged, with_routes
from tests.e2e.person import Person, kill
from tests.e2e.watching import WATCH, WATCHED, Watch


@pytest.fixture(scope="session")
def engine() -> Engine:
    heed_interrupts()
    try:
        return ensure()
    except EngineError as error:
        if "POD_ROUTES_REQUIRE_ENGINE" in os.environ:
            raise
        pytest.skip(f"no Pulumi engine: {error}")


@pytest.fixture(scope="session")
def attached(
    engine: Engine, running: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """Start one provider for all commands of a process of tests: half their time.

    The official one is started by each command, as it is for a user.
    """
    if not engine.stand_in:
        yield {}
        return
    (launcher,) = Path(engine.plugins).glob("*/pulumi-resource-aws")
    ours = engine.environment(tmp_path_factory.mktemp("attached"))
    with subprocess.Popen(
        [launcher],
        env=ours | running.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as provider:
        try:
            assert provider.stdout
            port = int(provider.stdout.readline())
            yield {"PULUMI_DEBUG_PROVIDERS": f"aws:{port}"}
        finally:
            provider.terminate()


@pytest.fixture(scope="session")
def every_moment(
    running: Sandbox,
    engine: Engine,
    attached: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Moments:
    return Moments(running, engine, attached, tmp_path_factory.mktemp("moments"))


@pytest.fixture
def moments(every_moment: Moments, box: Sandbox) -> Moments:
    del box  # reset before anything is put back
    return every_moment


@pytest.fixture
def person(moments: Moments) -> Iterator[Person]:
    """Somebody with the lab and a stack; unmanaged routes must stay as they are."""
    person = moments.after(*BEGINNING)
    before = unmanaged(person.routes())
    yield person
    assert unmanaged(person.routes()) == before


@pytest.fixture
def settled(person: Person, moments: Moments) -> Person:
    """The same, with every route declared already."""
    del person  # it compares the unmanaged routes at the end
    return moments.after(*BEGINNING, with_routes)


def to_be_watched(person: Person) -> None:
    person.configure(**WATCHED)


def watched_once(person: Person) -> None:
    person.does(f"{WATCH} --once")


@pytest.fixture
def watched(person: Person) -> Person:
    """Somebody whose stack can be watched."""
    to_be_watched(person)
    return person


@pytest.fixture
def served(person: Person, moments: Moments) -> Person:
    """The same, when a watcher has made every route."""
    del person  # it compares the unmanaged routes at the end
    return moments.after(*BEGINNING, to_be_watched, watched_once)


@pytest.fixture
def watching(person: Person, tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    """Start watchers that end with the test."""
    begun: list[Watch] = []

    def begin(options: str = "", before: str = "", *, own: bool = False) -> Watch:
        log = tmp_path / "watch.log"
        begun.append(Watch(person, log, options, before, own=own))
        return begun[-1]

    yield begin
    for watch in begun:
        if watch.process.poll() is None:
            kill(watch.process)
