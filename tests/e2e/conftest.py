"""Real `pulumi` commands, each test with its own account, backend, home and stack."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sandbox.ec2.client import Sandbox
from sandbox.pulumi.engine import Engine, EngineError, ensure, heed_interrupts
from tests.e2e.cli_user import CliUser, kill
from tests.e2e.moments import BEGINNING, Moments, unmanaged, with_routes
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
    """Start one provider for all commands of a test process, which halves their time.

    Each command starts the official one itself, as it does for a user.
    """
    if not engine.stand_in:
        yield {}
        return
    (launcher,) = Path(engine.plugins).glob("*/pulumi-resource-aws")
    environment = engine.environment(tmp_path_factory.mktemp("attached"))
    with subprocess.Popen(
        [launcher],
        env=environment | running.environment,
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
def moments(every_moment: Moments, local_aws: Sandbox) -> Moments:
    del local_aws  # reset before anything is restored
    return every_moment


@pytest.fixture
def user(moments: Moments) -> Iterator[CliUser]:
    """A user with the lab and a stack; unmanaged routes must stay as they are."""
    user = moments.after(*BEGINNING)
    before = unmanaged(user.routes())
    yield user
    assert unmanaged(user.routes()) == before


@pytest.fixture
def settled(user: CliUser, moments: Moments) -> CliUser:
    """The same, with every route created already."""
    del user  # that fixture compares the unmanaged routes at the end
    return moments.after(*BEGINNING, with_routes)


def to_be_watched(user: CliUser) -> None:
    user.configure(**WATCHED)


def watched_once(user: CliUser) -> None:
    user.does(f"{WATCH} --once")


@pytest.fixture
def watched(user: CliUser) -> CliUser:
    """A user whose stack can be watched."""
    to_be_watched(user)
    return user


@pytest.fixture
def served(user: CliUser, moments: Moments) -> CliUser:
    """The same, with every route created by a watcher."""
    del user  # that fixture compares the unmanaged routes at the end
    return moments.after(*BEGINNING, to_be_watched, watched_once)


@pytest.fixture
def watching(user: CliUser, tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    """Start watchers; they end with the test."""
    watches: list[Watch] = []

    def start(options: str = "", before: str = "", *, own: bool = False) -> Watch:
        log = tmp_path / "watch.log"
        watches.append(Watch(user, log, options, before, own=own))
        return watches[-1]

    yield start
    for watch in watches:
        if watch.process.poll() is None:
            kill(watch.process)
