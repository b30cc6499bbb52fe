"""How a plan's CPU time grows with the workers, as a ratio."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from routes.model import Discovery
from routes.planning import plan
from tests.builders import discovery, networks, settings, table, worker

FEW = 1_000
MANY = 8_000
CONFIGURED = settings(clusterCidr="10.128.0.0/9", routeQuota="100000")


def numbered(count: int, pod_cidr: Callable[[int], str]) -> Discovery:
    """Return that many workers, each with the lab's values but its own name."""
    return discovery(
        [
            worker(
                0,
                name=f"worker-{number}",
                instance_id=f"i-{number}",
                pod_cidrs=networks(pod_cidr(number)),
            )
            for number in range(count)
        ],
        [table()],
    )


def apart(number: int) -> str:
    return f"{IPv4Address('10.128.0.0') + 256 * number}/24"


def alike(number: int) -> str:
    del number
    return "10.200.0.0/24"


def cpu_seconds(lookup: Discovery) -> float:
    """Return the minimum of three runs: other load only adds."""

    def once() -> float:
        start = time.process_time()
        plan.draft(CONFIGURED, lookup)
        return time.process_time() - start

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    ("pod_cidr", "faults"),
    [
        pytest.param(apart, 0, id="no fault"),
        pytest.param(alike, MANY - 1, id="every worker has the same pod CIDR"),
    ],
)
def test_eight_times_the_workers_are_not_sixty_four_times_the_work(
    pod_cidr: Callable[[int], str], faults: int
) -> None:
    few, many = (numbered(count, pod_cidr) for count in (FEW, MANY))

    assert len(plan.draft(CONFIGURED, many).faults) == faults
    assert cpu_seconds(many) < 16 * cpu_seconds(few)
