"""A plan with cached pod CIDRs equals one without, whatever happens to instances."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from routes.aws import discovery
from routes.aws.access import load_access
from routes.aws.clients import Clients, connect
from routes.cache import CachedPodCidrs, cacheable
from routes.model import selected
from routes.planning import plan
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.builders import settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

WORKERS = 2
SETTINGS = settings(workers="worker-*", clusterCidr="10.200.0.0/16")

events = st.one_of(
    st.just(("update", 0)),
    st.tuples(
        st.sampled_from(["stop", "start", "change", "restart with", "replace"]),
        st.integers(0, WORKERS - 1),
    ),
)
"""An event, and the number of its worker."""


@pytest.fixture(scope="module")
def clients(running: Sandbox) -> Clients:
    """Connect as the program does, for all examples."""
    endpoints = f'[{{"ec2": "{running.endpoint}", "sts": "{running.endpoint}"}}]'
    access = {
        "aws:endpoints": endpoints,
        "aws:accessKey": running.environment["AWS_ACCESS_KEY_ID"],
        "aws:secretKey": running.environment["AWS_SECRET_ACCESS_KEY"],
    }
    return connect(load_access(access), "us-east-1")


class Cluster:
    """Workers whose user data has another pod CIDR after each change."""

    def __init__(self, ec2: EC2Client) -> None:
        self.ec2 = ec2
        self.lab = labs.create_lab(ec2, workers=WORKERS)
        self.ids = [*self.lab.workers.values()]
        self.changes = WORKERS

    def user_data(self) -> str:
        self.changes += 1
        return labs.user_data(self.changes)

    def apply(self, event: str, number: int) -> None:
        """Apply an event, as far as EC2 allows it."""
        instance = self.ids[number]
        if event in {"stop", "restart with"}:
            self.ec2.stop_instances(InstanceIds=[instance])
        if event in {"change", "restart with"}:
            with suppress(self.ec2.exceptions.ClientError):  # refused while it runs
                self.ec2.modify_instance_attribute(
                    InstanceId=instance, UserData={"Value": self.user_data().encode()}
                )
        if event in {"start", "restart with"}:
            self.ec2.start_instances(InstanceIds=[instance])
        if event == "replace":
            self.ec2.terminate_instances(InstanceIds=[instance])
            self.ids[number] = labs.add_worker(
                self.ec2,
                self.lab,
                f"worker-{number}",
                address=f"10.0.1.{20 + number}",
                user_data=self.user_data(),
            )


@example(story=[("restart with", 0)])
@example(story=[("stop", 0), ("update", 0), ("change", 0)])
@example(story=[("stop", 0), ("change", 0), ("update", 0), ("start", 0)])
@given(story=st.lists(events, min_size=2, max_size=6))
@profile(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_plan_with_the_cache_equals_one_without(
    running: Sandbox, clients: Clients, story: list[tuple[str, int]]
) -> None:
    running.reset()
    cluster = Cluster(running.client("ec2"))
    cached: tuple[CachedPodCidrs, ...] = ()
    for event, number in [("update", 0), *story, ("update", 0)]:
        cluster.apply(event, number)
        with_cache = discovery.discover(clients, SETTINGS, cached)
        without = discovery.discover(clients, SETTINGS)
        assert with_cache == without
        assert plan.draft(SETTINGS, with_cache) == plan.draft(SETTINGS, without)
        if event == "update":
            cached = cacheable(selected(with_cache.workers), SETTINGS)
