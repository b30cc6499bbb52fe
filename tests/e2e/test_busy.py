"""A busy time: whatever comes, goes and is answered, each worker keeps its route."""

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
from tests.e2e.person import Person
from tests.e2e.watching import WATCHED, Poll, Watch, target, until

_NOTHING = Fault(action="None")


class Cluster:
    """Workers that come and go by chance, and what the table should be at the end."""

    def __init__(self, person: Person, seed: int) -> None:
        self.person = person
        self.chance = random.Random(seed)  # noqa: S311 - repeatable
        self.owners = dict(enumerate(person.lab.workers.values()))
        """Number of each worker that should have a route, and its instance."""
        self.joined: dict[tuple[str, str], float] = {}
        """Destination and target of each worker that joined, and when."""
        self.touched: set[int] = set()
        """Whose route was changed by hand, so that it was gone for a while."""
        self.newcomers: list[str] = []
        """Instances that have to wait for good."""
        self._addresses = iter(range(10, 250))

    def start(self, number: int, user_data: str = "") -> str:
        return labs.add_worker(
            self.person.ec2,
            self.person.lab,
            f"worker-{number}",
            address=f"10.0.3.{next(self._addresses)}",
            user_data=user_data or labs.user_data(number),
        )

    def join(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            number = max(self.owners) + 1
            if number < 20:
                one = self.owners[number] = self.start(number)
                route = labs.pod_cidr(number), target(self.person, one)
                self.joined[route] = time.time()

    def leave(self) -> None:
        """Let one of those go that came later; the lab's own stay.

        A route that leads to somebody else is nobody's to remove.
        """
        later = [each for each in self.owners if each > 4 and each not in self.touched]
        if later:
            gone = self.owners.pop(self.chance.choice(later))
            self.person.ec2.terminate_instances(InstanceIds=[gone])

    def stop(self) -> None:
        """A worker that is merely stopped keeps its route."""
        one = self.owners[self.chance.choice([*self.owners])]
        self.person.ec2.stop_instances(InstanceIds=[one])
        self.person.ec2.start_instances(InstanceIds=[one])

    def replace(self) -> None:
        """Start the namesake first; until the old one is gone, it has the route."""
        number = self.chance.choice([*self.owners][1:])
        old, self.owners[number] = self.owners[number], self.start(number)
        self.person.ec2.terminate_instances(InstanceIds=[old])
        self.touched.add(number)

    def disturb(self) -> None:
        """Do by hand what nobody should."""
        number = self.chance.choice([*self.owners])
        other = self.chance.choice([*self.owners.values(), *self.newcomers])
        self.touched.add(number)
        with suppress(self.person.ec2.exceptions.ClientError):  # not there yet
            if self.chance.random() < 0.5:
                self.person.ec2.delete_route(
                    RouteTableId=self.person.lab.table_id,
                    DestinationCidrBlock=labs.pod_cidr(number),
                )
            else:
                self.person.ec2.replace_route(
                    RouteTableId=self.person.lab.table_id,
                    DestinationCidrBlock=labs.pod_cidr(number),
                    NetworkInterfaceId=target(self.person, other),
                )

    def misbehave(self, box: Sandbox) -> None:
        """Have EC2 answer wrongly, late, or not at all, until the next time."""
        one = self.owners[self.chance.choice([*self.owners])]
        faults = (
            Fault(action="DescribeInstances", bare=(one,)),
            Fault(action="DescribeInstances", unlisted=(one,), unless=one),
            Fault(action="DescribeInstances", unlisted=(one,)),
            Fault(action="CreateRoute", lost=True, times=1),
            Fault(action="DescribeRouteTables", stale=self.chance.uniform(1, 8)),
            Fault(action="DescribeInstances", html=LOGIN_PAGE, times=2),
        )
        box.control(Control(faults=(self.chance.choice([*faults, _NOTHING]),)))

    def wanted(self) -> dict[str, str]:
        return {
            labs.pod_cidr(number): target(self.person, instance)
            for number, instance in self.owners.items()
        }


@pytest.mark.parametrize("seconds", [40, pytest.param(600, marks=pytest.mark.soak)])
def test_through_a_busy_time_no_worker_is_ever_without_its_route(
    watched: Person, box: Sandbox, watching: Callable[..., Watch], seconds: float
) -> None:
    """Whatever EC2 answers. Unmanaged routes are compared by the lab, at the end."""
    watched.configure(**WATCHED | {"maxRemovals": 1000})
    cluster = Cluster(watched, seed=7)
    with Poll(box, watched.lab.table_id) as poll:
        watch = watching(own=True)
        watch.says("Updated")
        bad = cluster.start(20, user_data="pod-cidr=none")
        conflicting = cluster.start(21, user_data=labs.user_data(0))
        cluster.newcomers += [bad, conflicting]
        events = [cluster.join] * 4 + [cluster.leave, cluster.stop, cluster.replace]
        began = time.time()
        while time.time() < began + seconds:
            cluster.chance.choice([*events, cluster.disturb])()
            if time.time() > began + seconds / 2:
                cluster.misbehave(box)
            time.sleep(cluster.chance.uniform(1, 4))
        box.control(Control())

        wanted = cluster.wanted()
        until(lambda: watched.pod_routes() == wanted, watch)
        until(lambda: "in place" in watch.said[-1], watch)
    watch.ends()

    watched.does("pulumi preview --expect-no-changes --refresh")
    for newcomer in (bad, conflicting):
        reported = [line for line in watch.said if f"({newcomer}): it gets" in line]
        reported = [line for line in reported if line.startswith("worker-")]
        cleared = [line for line in watch.said if line.startswith("No longer to warn")]
        assert 0 < len(reported) <= 1 + sum(newcomer in line for line in cleared)
    for number, instance in cluster.owners.items():
        route = labs.pod_cidr(number), target(watched, instance)
        if number not in cluster.touched:
            assert route not in poll.missed, (route, watch.said)
    assert poll.reads > seconds
    updates = [float(said.split()[2]) for said in watch.said if "Updated in" in said]
    lookups = [each.seconds for each in box.calls() if each.action == "DescribeVpcs"]
    waits = {
        route: poll.first[route] - min(each for each in lookups if each >= since)
        for route, since in cluster.joined.items()
        if since < began + seconds / 2 - 5  # else EC2 may have answered wrongly
        and route in poll.first  # or it left, or was replaced, before
    }
    assert waits
    assert max(waits.values()) < 1 + max(updates) + 4, waits
