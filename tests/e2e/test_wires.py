"""What `verify` says of the lab is what packets do, pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import pytest

from sandbox.wires import ping
from sandbox.wires.account import read
from sandbox.wires.client import Wires
from tests.e2e import test_verify as verifying
from tests.e2e.person import Person
from tests.e2e.test_verify import obey, remedies, verify

verified = verifying.verified


def arriving(wires: Wires, person: Person) -> set[tuple[str, str]]:
    """Return the pairs of instance ids between which packets arrive."""
    found = ping.arrivals(wires, read(person.ec2))
    return {pair for pair, kind in found.items() if kind == "ok"}


def reachable(found: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the pairs that `verify` calls reachable."""
    reachability = found["reachability"]
    homes = {
        each: n for n, group in enumerate(reachability["groups"]) for each in group
    }
    return {
        (source, target)
        for source, target in permutations(homes, 2)
        if reachability["verdicts"][
            reachability["matrix"][homes[source]][homes[target]]
        ]["reachable"]
    }


def turn_to_a_gateway(person: Person) -> None:
    person.ec2.replace_route(
        RouteTableId=person.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        GatewayId=person.lab.gateway_id,
    )


def terminate(person: Person) -> None:
    person.ec2.terminate_instances(InstanceIds=[person.lab.workers["worker-1"]])


@pytest.mark.parametrize(
    ("break_it", "left"),
    [
        (verifying.delete_route, 6),
        (verifying.stop_instance, 6),
        (verifying.turn_check_on, 6),
        (verifying.remove_pod_rule, 0),
        (verifying.deny_in_acl, 6),
        (verifying.use_another_table, 6),
        (turn_to_a_gateway, 6),
        (terminate, 6),
    ],
)
def test_packets_stop_where_verify_says(
    wires: Wires, verified: Person, break_it: Callable[[Person], None], left: int
) -> None:
    break_it(verified)

    arrived = arriving(wires, verified)

    assert arrived == reachable(verify(verified))
    assert len(arrived) == left


@pytest.mark.parametrize(
    "breaks",
    [
        pytest.param(
            [
                verifying.delete_route,
                verifying.turn_check_on,
                verifying.remove_pod_rule,
                verifying.deny_in_acl,
            ],
            id="four at once",
        ),
        pytest.param([verifying.use_another_table], id="a table is missing"),
    ],
)
def test_packets_go_on_by_the_commands_that_verify_prints(
    wires: Wires, verified: Person, breaks: list[Callable[[Person], None]]
) -> None:
    for break_it in breaks:
        break_it(verified)

    for _ in range(2):  # a table that is added still has to be filled
        for command in remedies(verify(verified)["causes"]):
            obey(verified, command)

    assert verify(verified)["well"]
    assert len(arriving(wires, verified)) == 12
