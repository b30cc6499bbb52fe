"""Hypothesis profiles, AWS without the machine's own settings, and the sandbox."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import botocore.loaders
import pytest
from hypothesis import Phase, settings

from sandbox.ec2.client import Sandbox
from sandbox.kube.control_plane import ControlPlane
from sandbox.netns.client import Network, NoNamespacesError
from sandbox.programs import ProgramError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# The same examples in each run; the soak looks for new ones.
settings.register_profile(
    "default", max_examples=100, deadline=timedelta(seconds=10), derandomize=True
)
settings.register_profile("soak", max_examples=5000, deadline=timedelta(seconds=10))
# One failing example kills a mutant; a smaller one would only take longer.
settings.register_profile(
    "mutants",
    max_examples=20,
    deadline=timedelta(seconds=10),
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


_LOADER = botocore.loaders.create_loader()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Report each group of tests that did not run, and what it needs."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not reporter:  # in a process of xdist
        return
    reasons = Counter(each.longrepr[2] for each in reporter.stats.get("skipped", ()))
    for reason, count in reasons.items():
        hint = " ".join(reason.removeprefix("Skipped: ").split())
        reporter.write_line(f"Tests that did not run: {count}: {hint}", yellow=True)


@pytest.fixture
def aws_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> pytest.MonkeyPatch:
    """Hide the machine's AWS settings, and set static credentials instead.

    Service descriptions are read once for all tests: that is most of a client's cost.
    """
    monkeypatch.setattr("botocore.session.create_loader", lambda *_: _LOADER)
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("aws")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # 1,300 of them
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    return monkeypatch


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Start one process with network namespaces for all tests of a process."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(Network())
            reason = "" if started.has_filters else "install nftables for nft"
        except NoNamespacesError as error:
            reason = str(error)
        if reason and "POD_ROUTES_REQUIRE_NETNS" in os.environ:
            pytest.fail(reason)
        if reason:
            pytest.skip(f"no packets can be sent: {reason}")
        yield started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests with a control plane follow each other, so that one starts it.

    pytest-xdist gives each of its processes a part of the list; idle, a control plane
    takes some percent of a processor.
    """
    items.sort(
        key=lambda item: "control_plane" not in getattr(item, "fixturenames", ())
    )


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Start one Kubernetes control plane for all tests of a process."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(ControlPlane())
        except ProgramError as error:
            if "POD_ROUTES_REQUIRE_KUBE" in os.environ:
                raise
            pytest.skip(f"no control plane: {error}")
        yield started


@pytest.fixture
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """Give each test a cluster without Nodes and without rights of its own."""
    control_plane.reset()
    return control_plane


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    """Start one server for all tests of a process."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def local_aws(running: Sandbox) -> Sandbox:
    """Give each test an empty account."""
    running.reset()
    return running


@pytest.fixture
def ec2(local_aws: Sandbox) -> EC2Client:
    """Read and change the account without the program and the engine."""
    return local_aws.client("ec2")
