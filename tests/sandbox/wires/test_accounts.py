"""Random accounts: the verification's verdict and the packets say the same."""

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
from routes.engine.state import Stack
from routes.memory import Reading, readings
from routes.model import selected
from routes.planning import plan
from routes.verify import collect
from routes.verify.packets import Question
from routes.verify.reachability import Verdict
from routes.verify.snapshot import Snapshot
from routes.verify.verification import Verification, verify
from sandbox.ec2.client import Sandbox
from sandbox.wires.account import read
from sandbox.wires.client import Wires
from sandbox.wires.packets import Probe
from tests.sandbox.wires.accounts import (
    HEALTHY,
    PODS,
    PORTS,
    REPLY_PORTS,
    Accounts,
    Standing,
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


class Judges:
    """The verification and the kernel, about one sandbox."""

    def __init__(self, box: Sandbox) -> None:
        self.ec2 = box.client("ec2")
        self.accounts = Accounts(self.ec2)
        self._settings = routes_settings.load(CONFIG, "dev")
        self._clients = connect(load_access(CONFIG, "dev"), "us-east-1")
        self._held: tuple[Reading, ...] = ()
        self._stack = Stack(name="dev", config=CONFIG, managed={}, components={})

    def verified(self, question: Question) -> Verification:
        return verify(self._snapshot(), question)

    def verdicts(self, question: Question) -> dict[tuple[int, int], Verdict]:
        found = self.verified(question).reachability
        ids = self.accounts.workers
        return {(a, b): found.between(ids[a], ids[b]) for a, b in PAIRS}

    def _snapshot(self) -> Snapshot:
        wanted = self._settings
        discovery = discover(self._clients, wanted, self._held, whole_vpc=True)
        self._held = readings(selected(discovery.workers), wanted)
        drafted = plan.draft(self._settings, discovery)
        return collect.snapshot(
            self._clients, self._stack, self._settings, discovery, drafted
        )

    def arrivals(self, wires: Wires, port: int) -> dict[tuple[int, int], bool]:
        """Return the pairs of which every packet is answered."""
        probes = [probe for a, b in PAIRS for probe in probes_between(a, b, port)]
        wires.lay(read(self.ec2))
        answers = wires.send(probes, 0.1)
        found = dict.fromkeys(PAIRS, False)
        found |= {(probe.source, probe.target): True for probe in probes}
        for probe, answered in zip(probes, answers, strict=True):
            found[probe.source, probe.target] &= answered
        return found


def probes_between(source: int, target: int, port: int) -> Iterator[Probe]:
    """Yield a packet from each address to one, for every kind of reply port.

    No rule looks at both ends' addresses, so it is enough that each end's own have all
    been there. There and back differ, or two would be one connection.
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
def judges() -> Iterator[Judges]:
    with Sandbox() as box, pytest.MonkeyPatch.context() as patch:
        for name, value in box.environment.items():
            patch.setenv(name, value)
        yield Judges(box)


def arrives(verdict: Verdict) -> bool:
    """Return what is documented.

    Of a security group's rule that names a group EC2 says "private IP addresses" of its
    interfaces, which pods' are not; the verification passes it with a note.
    """
    by_group = any("by naming a group only" in note.problem for note in verdict.notes)
    return not verdict.causes and not by_group


def agree(
    judges: Judges, wires: Wires, standing: Standing, port: int
) -> dict[tuple[int, int], bool]:
    """Ask both, and return what arrives."""
    judges.accounts.hold(standing)
    verdicts = judges.verdicts(Question("tcp", port))
    expected = {pair: arrives(verdict) for pair, verdict in verdicts.items()}

    found = judges.arrivals(wires, port)

    assert found == expected
    return found


def test_in_the_healthy_account_every_packet_arrives(
    judges: Judges, wires: Wires
) -> None:
    for port in PORTS:
        assert agree(judges, wires, HEALTHY, port) == dict.fromkeys(PAIRS, True)


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
            id="another worker sends nothing on",
        ),
        pytest.param(
            {("list", 0): ("10.200.0.8/30",), ("route", 1, ("list", 0)): 3},
            12,
            id="a static route comes before a prefix list's",
        ),
    ],
)
def test_packets_and_verdict_agree_on(
    judges: Judges, wires: Wires, changes: Standing, arriving: int
) -> None:
    assert sum(agree(judges, wires, {**HEALTHY, **changes}, 8080).values()) == arriving


@settings(max_examples=MOST, deadline=None)
@given(accounts(), st.sampled_from(PORTS))
def test_the_verdict_is_what_packets_do(
    judges: Judges, wires: Wires, standing: Standing, port: int
) -> None:
    agree(judges, wires, standing, port)
