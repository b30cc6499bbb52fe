"""In random accounts, `verify` and real packets have the same results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routes import settings as routes_settings
from routes.aws.access import load_access
from routes.aws.clients import connect
from routes.aws.discovery import discover
from routes.cache import CachedPodCidrs, cacheable
from routes.engine.state import Stack
from routes.model import selected
from routes.planning import plan
from routes.verify import collect
from routes.verify.header_space import Traffic
from routes.verify.reachability import PairResult
from routes.verify.snapshot import Snapshot
from routes.verify.verification import Verification, verify
from sandbox.ec2.client import Sandbox
from sandbox.netns.account import read
from sandbox.netns.client import Network
from sandbox.netns.packets import Probe
from tests.sandbox.netns.accounts import (
    HEALTHY,
    PODS,
    PORTS,
    REPLY_PORTS,
    Account,
    Settings,
    accounts,
)

MOST = 5000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 100
CONFIG = {
    "aws:region": "us-east-1",
    "pod-routes:routeTables": "kubernetes",
    "pod-routes:workers": "worker-*",
    "pod-routes:clusterCidr": "10.200.0.0/16,fd00:200::/112",
}
PAIRS = list(permutations(range(len(PODS)), 2))


class Comparison:
    """The verification and the packets of one account."""

    def __init__(self, local_aws: Sandbox) -> None:
        self.ec2 = local_aws.client("ec2")
        self.account = Account(self.ec2)
        self._settings = routes_settings.load(CONFIG, "dev")
        self._clients = connect(load_access(CONFIG, "dev"), "us-east-1")
        self._cached: tuple[CachedPodCidrs, ...] = ()
        self._stack = Stack(name="dev", config=CONFIG, managed={}, components={})

    def verify(self, traffic: Traffic) -> Verification:
        return verify(self._snapshot(), traffic)

    def results(self, traffic: Traffic) -> dict[tuple[int, int], PairResult]:
        reachability = self.verify(traffic).reachability
        ids = self.account.workers
        return {(a, b): reachability.between(ids[a], ids[b]) for a, b in PAIRS}

    def _snapshot(self) -> Snapshot:
        discovery = discover(
            self._clients, self._settings, self._cached, whole_vpc=True
        )
        self._cached = cacheable(selected(discovery.workers), self._settings)
        drafted = plan.draft(self._settings, discovery)
        return collect.snapshot(
            self._clients, self._stack, self._settings, discovery, drafted
        )

    def answered(self, network: Network, port: int) -> dict[tuple[int, int], bool]:
        """Return the pairs of which every packet is answered."""
        probes = [probe for a, b in PAIRS for probe in probes_between(a, b, port)]
        network.create(read(self.ec2))
        pairs = dict.fromkeys(PAIRS, False)
        pairs |= {(probe.source, probe.target): True for probe in probes}
        for probe, answered in zip(probes, network.send(probes, 0.1), strict=True):
            pairs[probe.source, probe.target] &= answered
        return pairs


def probes_between(source: int, target: int, port: int) -> Iterator[Probe]:
    """Yield a packet from each address to one, for every range of reply ports.

    No rule is about the addresses of both ends, so it is enough that each address of
    each end is used. The two directions differ, or they would be one connection.
    """
    for here in map(ip_network, PODS[source]):
        for there in map(ip_network, PODS[target]):
            if here.version != there.version:
                continue
            for low, high in REPLY_PORTS:
                for number in range(4):
                    yield Probe(
                        source,
                        str(here[number]),
                        target,
                        str(there[(number + (source > target)) % 4]),
                        port,
                        high if number % 2 else low,
                    )


@pytest.fixture(scope="module")
def comparison() -> Iterator[Comparison]:
    with Sandbox() as local_aws, pytest.MonkeyPatch.context() as patch:
        for name, value in local_aws.environment.items():
            patch.setenv(name, value)
        yield Comparison(local_aws)


def arrives(result: PairResult) -> bool:
    """Return whether packets arrive, according to the documentation.

    EC2 documents that a security group's rule which names a group applies to the
    "private IP addresses" of its interfaces, and so not to pods. The verification
    passes it with a note.
    """
    by_group = any("by naming a group only" in note.problem for note in result.notes)
    return not result.causes and not by_group


def compare(
    comparison: Comparison, network: Network, account: Settings, port: int
) -> dict[tuple[int, int], bool]:
    """Expect equal results of both, and return the pairs of which packets arrive."""
    comparison.account.apply(account)
    results = comparison.results(Traffic("tcp", port))
    expected = {pair: arrives(result) for pair, result in results.items()}

    answered = comparison.answered(network, port)

    assert answered == expected
    return answered


def test_in_the_healthy_account_every_packet_arrives(
    comparison: Comparison, network: Network
) -> None:
    for port in PORTS:
        assert compare(comparison, network, HEALTHY, port) == dict.fromkeys(PAIRS, True)


@pytest.mark.parametrize(
    ("changes", "arriving"),
    [
        pytest.param(
            {("rule", 1, False, ("group", 1), -1, None): True}
            | {("groups of", worker): (1,) for worker in range(len(PODS))},
            0,
            id="a group stands for private addresses, so not for pods",
        ),
        pytest.param(
            {("route", 1, "10.200.0.8/30"): 3},
            8,
            id="another worker forwards nothing",
        ),
        pytest.param(
            {("list", 0): ("10.200.0.8/30",), ("route", 1, ("list", 0)): 3},
            12,
            id="a static route has priority over a prefix list's",
        ),
    ],
)
def test_verify_and_packets_agree(
    comparison: Comparison, network: Network, changes: Settings, arriving: int
) -> None:
    answered = compare(comparison, network, {**HEALTHY, **changes}, 8080)

    assert sum(answered.values()) == arriving


@settings(max_examples=MOST, deadline=None)
@given(accounts(), st.sampled_from(PORTS))
def test_verify_and_packets_agree_in_random_accounts(
    comparison: Comparison, network: Network, account: Settings, port: int
) -> None:
    compare(comparison, network, account, port)
