"""`verify` agrees with real packets in the lab, pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import pytest

from sandbox.netns import ping
from sandbox.netns.account import read
from sandbox.netns.client import Network
from tests.e2e import test_verify as verifying
from tests.e2e.cli_user import CliUser
from tests.e2e.test_verify import causes, commands, follow, verify

verified = verifying.verified


def arriving(network: Network, user: CliUser) -> set[tuple[str, str]]:
    """Return the pairs of instance ids between which packets arrive."""
    arrivals = ping.arrivals(network, read(user.ec2))
    return {pair for pair, kind in arrivals.items() if kind == "ok"}


def reachable(result: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the pairs that `verify` reports as reachable."""
    reachability = result["reachability"]
    group_of = {
        each: n for n, group in enumerate(reachability["groups"]) for each in group
    }
    return {
        (source, target)
        for source, target in permutations(group_of, 2)
        for index in [reachability["matrix"][group_of[source]][group_of[target]]]
        if reachability["results"][index]["outcome"] == "reachable"
    }


def retarget_to_a_gateway(user: CliUser) -> None:
    user.ec2.replace_route(
        RouteTableId=user.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        GatewayId=user.lab.gateway_id,
    )


def terminate(user: CliUser) -> None:
    user.ec2.terminate_instances(InstanceIds=[user.lab.workers["worker-1"]])


@pytest.mark.parametrize(
    ("inject", "count"),
    [
        (verifying.delete_route, 6),
        (verifying.stop_instance, 6),
        (verifying.enable_check, 6),
        (verifying.remove_pod_rule, 0),
        (verifying.deny_in_acl, 6),
        (verifying.use_another_table, 6),
        (retarget_to_a_gateway, 6),
        (terminate, 6),
    ],
)
def test_packets_arrive_between_the_pairs_that_verify_reports_as_reachable(
    network: Network, verified: CliUser, inject: Callable[[CliUser], None], count: int
) -> None:
    inject(verified)

    arrived = arriving(network, verified)

    assert arrived == reachable(verify(verified))
    assert len(arrived) == count


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            [
                verifying.delete_route,
                verifying.enable_check,
                verifying.remove_pod_rule,
                verifying.deny_in_acl,
            ],
            id="four at once",
        ),
        pytest.param([verifying.use_another_table], id="a table is missing"),
    ],
)
def test_packets_arrive_after_the_commands_that_verify_suggests(
    network: Network, verified: CliUser, faults: list[Callable[[CliUser], None]]
) -> None:
    for inject in faults:
        inject(verified)

    for _ in range(2):  # a table that is selected still has to be filled
        for command in commands(causes(verify(verified))):
            follow(verified, command)

    assert verify(verified)["outcome"] == "PASS"
    assert len(arriving(network, verified)) == 12
