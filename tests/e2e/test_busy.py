"""Many changes at once, and wrong answers: each worker keeps its route."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from sandbox import lab as labs
from sandbox.ec2.answers import LOGIN_PAGE
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.e2e.cli_user import CliUser
from tests.e2e.watching import WATCHED, Poll, Watch, target, until

_NOTHING = Fault(action="None")


class Cluster:
    """Workers that join and leave at random, and the routes that they should have."""

    def __init__(self, user: CliUser, seed: int) -> None:
        self.user = user
        self.chance = random.Random(seed)  # noqa: S311 - repeatable
        self.owners = dict(enumerate(user.lab.workers.values()))
        """The number of each worker that should have a route, and its instance."""
        self.joined: dict[tuple[str, str], float] = {}
        """The destination and target of each worker that joined, and when."""
        self.touched: set[int] = set()
        """Workers whose route was changed by hand, so that it was missing for a while.
        """
        self.newcomers: list[str] = []
        """Instances that never get a route."""
        self._addresses = iter(range(10, 250))

    def start(self, number: int, user_data: str = "") -> str:
        return labs.add_worker(
            self.user.ec2,
            self.user.lab,
            f"worker-{number}",
            address=f"10.0.3.{next(self._addresses)}",
            user_data=user_data or labs.user_data(number),
        )

    def join(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            number = max(self.owners) + 1
            if number < 20:
                one = self.owners[number] = self.start(number)
                route = labs.pod_cidr(number), target(self.user, one)
                self.joined[route] = time.time()

    def leave(self) -> None:
        """Terminate a worker that joined; the lab's own stay.

        Its route was not changed by hand: the program deletes no such route.
        """
        later = [each for each in self.owners if each > 4 and each not in self.touched]
        if later:
            instance_id = self.owners.pop(self.chance.choice(later))
            self.user.ec2.terminate_instances(InstanceIds=[instance_id])

    def stop(self) -> None:
        """Restart a worker; a stopped one keeps its route."""
        one = self.owners[self.chance.choice([*self.owners])]
        self.user.ec2.stop_instances(InstanceIds=[one])
        self.user.ec2.start_instances(InstanceIds=[one])

    def replace(self) -> None:
        """Start a namesake, then terminate the old worker, which has the route."""
        number = self.chance.choice([*self.owners][1:])
        old, self.owners[number] = self.owners[number], self.start(number)
        self.user.ec2.terminate_instances(InstanceIds=[old])
        self.touched.add(number)

    def disturb(self) -> None:
        """Delete or retarget a route by hand."""
        number = self.chance.choice([*self.owners])
        other = self.chance.choice([*self.owners.values(), *self.newcomers])
        self.touched.add(number)
        with suppress(self.user.ec2.exceptions.ClientError):  # not created yet
            if self.chance.random() < 0.5:
                self.user.ec2.delete_route(
                    RouteTableId=self.user.lab.table_id,
                    DestinationCidrBlock=labs.pod_cidr(number),
                )
            else:
                self.user.ec2.replace_route(
                    RouteTableId=self.user.lab.table_id,
                    DestinationCidrBlock=labs.pod_cidr(number),
                    NetworkInterfaceId=target(self.user, other),
                )

    def misbehave(self, local_aws: Sandbox) -> None:
        """Have EC2 answer wrongly, late, or not at all, until the next call of this."""
        one = self.owners[self.chance.choice([*self.owners])]
        faults = (
            Fault(action="DescribeInstances", bare=(one,)),
            Fault(action="DescribeInstances", unlisted=(one,), unless=one),
            Fault(action="DescribeInstances", unlisted=(one,)),
            Fault(action="CreateRoute", lost=True, times=1),
            Fault(action="DescribeRouteTables", stale=self.chance.uniform(1, 8)),
            Fault(action="DescribeInstances", html=LOGIN_PAGE, times=2),
        )
        local_aws.control(Control(faults=(self.chance.choice([*faults, _NOTHING]),)))

    def desired(self) -> dict[str, str]:
        return {
            labs.pod_cidr(number): target(self.user, instance)
            for number, instance in self.owners.items()
        }


@pytest.mark.parametrize("seconds", [25, pytest.param(600, marks=pytest.mark.soak)])
def test_during_many_changes_no_worker_is_ever_without_its_route(
    watched: CliUser, local_aws: Sandbox, watching: Callable[..., Watch], seconds: float
) -> None:
    """Whatever EC2 answers. The fixture compares the unmanaged routes at the end."""
    watched.configure(**WATCHED | {"maxRemovals": 1000})
    cluster = Cluster(watched, seed=7)
    with Poll(local_aws, watched.lab.table_id) as poll:
        watch = watching(own=True)
        watch.logs("Updated")
        bad = cluster.start(20, user_data="pod-cidr=none")
        conflicting = cluster.start(21, user_data=labs.user_data(0))
        cluster.newcomers += [bad, conflicting]
        events = [cluster.join] * 4 + [cluster.leave, cluster.stop, cluster.replace]
        began = time.time()
        while time.time() < began + seconds:
            cluster.chance.choice([*events, cluster.disturb])()
            if time.time() > began + seconds / 2:
                cluster.misbehave(local_aws)
            time.sleep(cluster.chance.uniform(1, 4))
        local_aws.control(Control())

        desired = cluster.desired()
        until(lambda: watched.pod_routes() == desired, watch)
        until(lambda: "in place" in watch.messages[-1], watch)
    watch.ends()

    watched.does("pulumi preview --expect-no-changes --refresh")
    for newcomer in (bad, conflicting):
        reported = [line for line in watch.messages if f"({newcomer}): it gets" in line]
        reported = [line for line in reported if line.startswith("worker-")]
        cleared = [
            line for line in watch.messages if line.startswith("Warning cleared")
        ]
        assert 0 < len(reported) <= 1 + sum(newcomer in line for line in cleared)
    for number, instance in cluster.owners.items():
        route = labs.pod_cidr(number), target(watched, instance)
        if number not in cluster.touched:
            assert route not in poll.unlisted, (route, watch.messages)
    assert poll.reads > seconds
    updates = [
        float(each.split()[2]) for each in watch.messages if "Updated in" in each
    ]
    lookups = [
        each.seconds
        for each in local_aws.calls()
        if each.action == "DescribeRouteTables"
    ]
    waits = {
        route: poll.first[route] - min(each for each in lookups if each >= since)
        for route, since in cluster.joined.items()
        if since < began + seconds / 2 - 5  # later EC2 may answer wrongly
        and route in poll.first  # else it left, or was replaced, before
    }
    assert waits
    assert max(waits.values()) < 1 + max(updates) + 4, waits
