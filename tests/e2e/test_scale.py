"""A thousand workers under EC2's own throttle, and the cost of the lookup.

Times are ratios: to what EC2's token buckets allow, or to the floor, which is measured
in turns. Memory and CPU time are those of the program's process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from bench.contenders import PLAN, Floor, Program
from routes import settings
from routes.aws import discovery
from routes.aws.access import load_access
from routes.cache import cacheable
from routes.model import selected
from sandbox import TOP
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control
from sandbox.pulumi.engine import Engine
from sandbox.workspace import Workspace

QUOTA = 1001
"""For a thousand workers and the default route."""
NAMES = 6
"""DescribeInstances for a thousand names: 200 filter values a call, five of them for
the VPC and the states."""
BURST, REFILL = 100, 20
"""DescribeInstanceAttribute's bucket: EC2 Developer Guide, "Request throttling"."""

METERED = """\
import atexit, resource, runpy
from pathlib import Path

@atexit.register
def report():
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime
    Path({report!r}).write_text(f"{{seconds}} {{used.ru_maxrss / 1024}}")

runpy.run_path({program!r}, run_name="__main__")
"""


def config(lab: labs.Lab, workers: int) -> dict[str, object]:
    return {
        "aws:region": "us-east-1",
        "pod-routes:routeTables": "kubernetes",
        "pod-routes:workers": ",".join([*lab.workers][:workers]),
        "pod-routes:clusterCidr": "10.200.0.0/14",
    }


def minimum(workers: int) -> float:
    """Return the seconds in which the bucket allows so many calls."""
    return (workers - BURST) / REFILL


def reading_seconds(local_aws: Sandbox) -> float:
    """Return the seconds from the first to the last answer with user data."""
    times = [
        call.seconds
        for call in local_aws.calls()
        if call.action == "DescribeInstanceAttribute" and call.status == 200
    ]
    return max(times) - min(times)


@dataclass(frozen=True)
class Cost:
    """The CPU time and memory of the program's process, and the calls of AWS."""

    seconds: float
    megabytes: float
    calls: int


@dataclass(frozen=True)
class Large:
    """A stack with up to a thousand workers."""

    local_aws: Sandbox
    lab: labs.Lab
    workspace: Workspace

    def does(self, command: str, workers: int, *, throttle: bool = False) -> Cost:
        """Run one command over the first workers; it must succeed."""
        self.workspace.configure("dev", config(self.lab, workers))
        self.local_aws.control(Control(quota=QUOTA, throttle=throttle))
        self.local_aws.clear_calls()
        answer = self.workspace.run(*command.split(), "--stack", "dev")
        assert answer.returncode == 0, answer.stdout
        seconds, megabytes = (self.workspace.path / "cost").read_text().split()
        answered = [call for call in self.local_aws.calls() if call.status == 200]
        return Cost(float(seconds), float(megabytes), len(answered))


@pytest.fixture(scope="module")
def large(
    running: Sandbox, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Large]:
    """Start a thousand workers, once for all tests that need them."""
    running.reset()
    running.control(Control(quota=QUOTA))
    lab = labs.create_lab(running.client("ec2"), workers=1000)
    folder = tmp_path_factory.mktemp("large") / "project"
    workspace = Workspace.create(folder, engine, running.environment)
    entry = folder / "__main__.py"
    entry.unlink()
    entry.write_text(
        METERED.format(report=str(folder / "cost"), program=str(TOP / "__main__.py"))
    )
    workspace.configure("dev", config(lab, 1))
    answer = workspace.run("pulumi", "stack", "init", "dev")
    assert answer.returncode == 0, answer.stdout
    yield Large(running, lab, workspace)
    running.reset()


def test_a_throttled_lookup_takes_little_longer_than_the_throttle_requires(
    local_aws: Sandbox, aws_environment: pytest.MonkeyPatch
) -> None:
    lab = labs.create_lab(local_aws.client("ec2"), workers=200)
    for name, value in local_aws.environment.items():
        aws_environment.setenv(name, value)
    values = {key: str(value) for key, value in config(lab, 200).items()}
    configured, access = settings.load(values, "dev"), load_access(values)
    local_aws.control(Control(throttle=True))
    local_aws.clear_calls()

    first = discovery.look_up(access, configured)

    assert sum(map(len, first.workers.values())) == 200
    assert reading_seconds(local_aws) <= 3 * minimum(200)
    assert local_aws.count()["DescribeInstanceAttribute"] <= 1.25 * 200
    cached = cacheable(selected(first.workers), configured)
    local_aws.clear_calls()
    assert discovery.look_up(access, configured, cached) == first
    assert local_aws.count()["DescribeInstanceAttribute"] == 0


@pytest.mark.soak
def test_a_thousand_workers_are_read_as_fast_as_the_throttle_allows(
    large: Large,
) -> None:
    cost = large.does("pulumi preview", 1000, throttle=True)

    assert reading_seconds(large.local_aws) <= 1.5 * minimum(1000)
    assert cost.megabytes < 300


@pytest.mark.soak
def test_a_thousand_routes_are_created_under_the_throttle(large: Large) -> None:
    large.does("pulumi up --yes --skip-preview", 1000, throttle=True)

    created = labs.routes(large.local_aws.client("ec2"), large.lab.table_id)
    assert sum(route.startswith("10.20") for route in created) == 1000
    cached = large.does("pulumi preview --expect-no-changes", 1000, throttle=True)
    times = [call.seconds for call in large.local_aws.calls()]
    assert cached.calls == 5 + NAMES
    assert max(times) - min(times) < minimum(1000) / 3  # it takes that without a cache
    large.does("pulumi destroy --yes --skip-preview", 1000)  # the cache as well


@pytest.mark.soak
def test_ten_times_the_workers_take_about_ten_times_as_long(large: Large) -> None:
    one, few, many = (large.does("pulumi preview", n) for n in (1, 100, 1000))

    assert (few.calls, many.calls) == (100 + 6, 1000 + 5 + NAMES)
    # Threads contend for the processor; quadratic time would be a hundred times that.
    assert many.seconds - one.seconds <= 20 * (few.seconds - one.seconds)
    assert many.megabytes - one.megabytes <= 150


@pytest.mark.soak
def test_the_lookup_adds_little_to_the_floor(engine: Engine, tmp_path: Path) -> None:
    def preview(contender: Program, number: int) -> float:
        folder = tmp_path / f"{contender.name}-{number}"
        step, measured = next(contender.steps(lab, fresh, folder))
        assert step == PLAN
        return measured.seconds

    with Sandbox(latency=0.04) as fresh:  # after a thousand workers one is slower
        lab = labs.create_lab(fresh.client("ec2"), workers=50)
        pairs = [
            (preview(Program(engine), number), preview(Floor(engine), number))
            for number in range(9)
        ]

    assert median(ours / floor for ours, floor in pairs) <= 1.15
