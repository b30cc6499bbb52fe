"""The watcher and AWS's cloud controller: each follows the Nodes of its own cluster."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import count, groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, Self

from bench.measure import CommandFailedError
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Call, Control
from sandbox.kube.cloud_controller import CloudController
from sandbox.kube.control_plane import ControlPlane
from sandbox.pulumi.engine import Engine
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_PERIOD: Final = 10
"""Seconds, the default of both."""
_POD_RANGE: Final = "10.200.0.0/14"
_OUTSIDE: Final = "10.99.0.0/24"
_INSIDE: Final = "10.203.255.0/24"
"""Destinations of unmanaged routes, outside and inside the pod range."""
_JOINS: Final = 8
_REPLACEMENTS: Final = 4
_AT_ONCE: Final = 10
_COUNTED: Final = 60
"""Seconds for which calls are counted."""
_IGNORED: Final = 45
"""Seconds without a route after which a Node counts as ignored."""
_PATIENCE: Final = 600
_SAMPLE: Final = 0.03
_QUOTA: Final = 1100
_CREATED: Final = {"CreateRoute", "ReplaceRoute"}
_CHANGED: Final = {*_CREATED, "DeleteRoute"}


@dataclass(frozen=True, kw_only=True)
class Worker:
    """An instance that registers as a Node."""

    name: str
    instance_id: str
    zone: str
    address: str


class Cluster:
    """A control plane, and a lab whose workers are its Nodes.

    Attributes:
        control_plane, aws, ec2, lab: what it consists of.
    """

    control_plane: ControlPlane
    ec2: EC2Client

    def __init__(self, control_plane: ControlPlane, aws: Sandbox, size: int) -> None:
        """Start workers, and register them."""
        aws.control(Control(quota=_QUOTA))
        self.control_plane = control_plane
        self.aws = aws
        self.ec2 = aws.client("ec2")
        self.lab = labs.create_lab(self.ec2, workers=size)
        self._numbers = count(size)
        for name, instance_id in self.lab.workers.items():
            control_plane.join(self.ec2, name, instance_id)
        for name in self.lab.workers:
            control_plane.wait_for_cidr(name)

    def launch(self, name: str = "worker") -> Worker:
        """Start an instance; its name gets a number."""
        number = next(self._numbers)
        name = f"{name}-{number}"
        offset = number - len(self.lab.workers)
        address = f"10.0.32.{offset + 10}"
        instance_id = labs.add_worker(self.ec2, self.lab, name, address=address)
        (subnet,) = self.ec2.describe_subnets(SubnetIds=[self.lab.subnet_id])["Subnets"]
        return Worker(
            name=name,
            instance_id=instance_id,
            zone=subnet["AvailabilityZone"],
            address=address,
        )

    def register(self, worker: Worker, pod_cidrs: Sequence[str] = ()) -> None:
        """Register an instance as a Node; without a call to EC2."""
        self.control_plane.register(
            worker.name,
            worker.instance_id,
            worker.zone,
            [worker.address],
            pod_cidrs=pod_cidrs,
        )

    def state(self, destination: str) -> str:
        """Return the instance of an active route, `blackhole` or `absent`."""
        route = labs.routes(self.ec2, self.lab.table_id).get(destination)
        if not route:
            return "absent"
        if route["State"] == "blackhole":
            return "blackhole"
        return route["InstanceId"]

    def leads_to(self, worker: Worker) -> bool:
        """Return whether a worker's pod CIDR leads to it."""
        (pod_cidr,) = self.control_plane.wait_for_cidr(worker.name)
        return self.state(pod_cidr) == worker.instance_id

    def changes(self, actions: Collection[str]) -> int:
        """Return how many of these calls succeeded since the calls were cleared."""
        return sum(
            call.action in actions and call.status == HTTPStatus.OK
            for call in self.aws.calls()
        )


@dataclass(frozen=True, kw_only=True)
class Join:
    """One worker that joined.

    Attributes:
        registered: when, in seconds since the epoch.
        seconds: from its registration to its active route.
        calls: to EC2 in that time.
    """

    registered: float
    seconds: float
    calls: Sequence[Call]


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """A worker whose successor has its pod CIDR.

    Attributes:
        after: seconds from the end of the worker and its Node to the successor's Node.
        seconds: from there until the pod CIDR leads to the successor.
        states: those seconds by the state of the route.
    """

    after: float
    seconds: float
    states: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Unmanaged:
    """A route that somebody else created, to an instance that is no Node.

    Attributes:
        stays: whether it is still there after three periods.
        seconds: until the next Node has its route, None if it is ignored.
        problems: what was logged about both.
    """

    destination: str
    stays: bool
    seconds: float | None
    problems: Sequence[str]

    def __str__(self) -> str:
        fate = "stays" if self.stays else "is deleted"
        if self.seconds is None:
            return f"{fate}; the next Node has no route after {_IGNORED} s"
        return f"{fate}; the next Node has its route after {self.seconds:.1f} s"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The results of one contender.

    Attributes:
        size: the number of Nodes at first.
        first: seconds from its start until they have routes.
        quiet: calls to EC2 in a minute without changes.
        joins, replacements: one by one, at random moments.
        at_once: seconds until ten Nodes that register together have routes.
        busy: calls to EC2 in the minute from their registration on.
        unmanaged: outside and inside the pod range.
        steps: the median seconds of each step of a join, if the log has them.
    """

    contender: str
    size: int
    first: float
    quiet: Counter[str]
    joins: Sequence[Join]
    replacements: Sequence[Replacement]
    at_once: float
    busy: Counter[str]
    unmanaged: Sequence[Unmanaged]
    steps: Mapping[str, float]

    def cells(self) -> dict[str, str]:
        """Return what the table has, by the name of its row."""
        joins = [join.seconds for join in self.joins]
        replacements = [each.seconds for each in self.replacements]
        spread = f"{min(joins):.1f}-{max(joins):.1f}"
        return {
            "all Nodes have routes after": f"{self.first:.1f} s",
            "a Node joins: its route after": f"{median(joins):.1f} s ({spread})",
            "- one by one": _list(joins),
            "a worker is replaced: the route leads to the successor after": _list(
                replacements
            ),
            "- of that without a route": _list(
                each.states["absent"] for each in self.replacements
            ),
            "- of that a blackhole": _list(
                each.states["blackhole"] for each in self.replacements
            ),
            f"{_AT_ONCE} Nodes join at once: all have routes after": (
                f"{self.at_once:.1f} s"
            ),
            "- calls to AWS in that minute": _calls(self.busy),
            "calls to AWS in a minute without changes": _calls(self.quiet),
            **{
                f"an unmanaged route to {each.destination}": str(each)
                for each in self.unmanaged
            },
        }


class Contender(AbstractContextManager["Contender"], ABC):
    """What keeps the routes in place, for as long as the `with` block runs.

    Attributes:
        name: in the tables.
        log: the file with its log.
    """

    name: str
    log: Path

    def __init__(self, cluster: Cluster, engine: Engine, folder: Path) -> None:
        """Prepare it.

        Args:
            cluster: a cluster without pod routes.
            engine: Pulumi's.
            folder: an empty one.
        """
        self.cluster = cluster
        self.engine = engine
        self.folder = folder

    @abstractmethod
    def problems(self, log: str) -> list[str]:
        """Return the warnings and errors in a part of its log."""

    def steps(self, join: Join) -> dict[str, float]:
        """Return the seconds of each step of a join, if the log has them."""
        del join
        return {}


class Watch(Contender):
    """`python -m routes watch`."""

    name = "pod-routes"

    def __enter__(self) -> Self:
        """Start it with a stack that has had no update.

        Raises:
            CommandFailedError: the stack can't be created.
        """
        aws = self.cluster.aws.environment
        workspace = Workspace.create(self.folder / "project", self.engine, aws)
        workspace.configure(
            "bench",
            {
                "aws:region": "us-east-1",
                "pod-routes:routeTables": "kubernetes",
                "pod-routes:workers": "worker-*",
                "pod-routes:clusterCidr": _POD_RANGE,
                "pod-routes:podCidrFrom": "node",
                "pod-routes:kubeconfig": str(self.cluster.control_plane.kubeconfig),
                "pod-routes:unready": "skip",
                "pod-routes:maxRemovals": "25%",
            },
        )
        created = workspace.run("pulumi", "stack", "init", "bench")
        if created.returncode:
            raise CommandFailedError(created.stdout[-2000:])
        self.log = self.folder / "watch.log"
        with self.log.open("w") as output:
            self._process = subprocess.Popen(
                ["python", "-m", "routes", "watch", "--stack", "bench"],
                cwd=workspace.path,
                env=dict(workspace.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def problems(self, log: str) -> list[str]:
        """Return the messages above level INFO."""
        lines = map(json.loads, log.splitlines())
        return [line["message"] for line in lines if line["level"] != "INFO"]

    def steps(self, join: Join) -> dict[str, float]:
        """Divide a join by its calls to EC2, and by what was logged."""
        updating = self._logged("Updating", join.registered)
        calls = [call.seconds for call in join.calls]
        (created,) = (c.seconds for c in join.calls if c.action in _CREATED)
        moments = {
            "the event, until the first call to EC2": min(calls),
            "calls, comparison, the state": updating,
            "`pulumi up`, until its first call": min(c for c in calls if c > updating),
            "its calls, plan, engine and provider, until CreateRoute": created,
            "until it ends, after the route": self._logged("Updated", created),
        }
        before = join.registered
        steps = {}
        for step, moment in moments.items():
            steps[step] = moment - before
            before = moment
        return steps

    def _logged(self, text: str, since: float) -> float:
        """Return when it logged the next message that begins with a text."""
        for line in map(json.loads, self.log.read_text().splitlines()):
            moment = datetime.fromisoformat(line["time"]).timestamp()
            if moment > since and line["message"].startswith(text):
                return moment
        raise CommandFailedError(f"the watcher didn't log {text!r}")


class Controller(Contender):
    """The route controller of aws-cloud-controller-manager."""

    name = "cloud-provider-aws"

    def __enter__(self) -> Self:
        """Start it."""
        each = self.cluster
        self._controller = CloudController(
            each.control_plane, each.aws, each.lab, period=_PERIOD
        )
        self._controller.__enter__()
        self.log = self._controller.log
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.__exit__()

    def problems(self, log: str) -> list[str]:
        """Return the warnings and errors, without klog's header."""
        lines = (line for line in log.splitlines() if line.startswith(("W", "E")))
        return [line.partition("] ")[2] for line in lines]


CONTENDERS: Final[Sequence[type[Watch | Controller]]] = (Watch, Controller)


def follow(kind: type[Watch | Controller], size: int, engine: Engine) -> Figures:
    """Let a contender follow a cluster of its own; its moments depend on the size.

    Raises:
        CommandFailedError: a Node gets no route.
    """
    control_plane = ControlPlane()
    control_plane.pod_ranges = [_POD_RANGE]
    with (
        Sandbox() as aws,
        control_plane,
        tempfile.TemporaryDirectory() as folder,
    ):
        contender = kind(Cluster(control_plane, aws, size), engine, Path(folder))
        chance = random.Random(size)  # noqa: S311 - repeatable
        try:
            return _measure(contender, chance)
        except CommandFailedError as error:
            raise CommandFailedError(
                f"{contender.name}: {error}; its log ends with:"
                f"\n{contender.log.read_text()[-2000:]}"
            ) from None


def _measure(contender: Contender, chance: random.Random) -> Figures:
    cluster = contender.cluster
    size = len(cluster.lab.workers)
    cluster.aws.clear_calls()
    began = time.monotonic()
    with contender:
        first = _until(lambda: cluster.changes(_CREATED) == size, began)
        time.sleep(2 * _PERIOD)
        quiet = _count(cluster)
        joins = [_join(cluster, chance) for _ in range(_JOINS)]
        replaced = chance.sample([*cluster.lab.workers], _REPLACEMENTS)
        replacements = [_replace(cluster, name, chance) for name in replaced]
        time.sleep(2 * _PERIOD)
        at_once, busy = _join_at_once(cluster)
        return Figures(
            contender=contender.name,
            size=size,
            first=first,
            quiet=quiet,
            joins=joins,
            replacements=replacements,
            at_once=at_once,
            busy=busy,
            unmanaged=[_add_unmanaged(contender, d) for d in (_OUTSIDE, _INSIDE)],
            steps=_medians([contender.steps(join) for join in joins]),
        )


def _join(cluster: Cluster, chance: random.Random) -> Join:
    """Let a worker join at a random moment.

    The table isn't polled meanwhile: that takes time on the same machine.
    """
    time.sleep(chance.uniform(0, _PERIOD))
    worker = cluster.launch()
    cluster.aws.clear_calls()
    registered = time.time()
    began = time.monotonic()
    cluster.register(worker)
    seconds = _until(lambda: cluster.changes(_CREATED) > 0, began)
    calls = cluster.aws.calls()
    if not cluster.leads_to(worker):
        raise CommandFailedError(f"{worker.name} has no route")
    return Join(registered=registered, seconds=seconds, calls=calls)


def _replace(cluster: Cluster, name: str, chance: random.Random) -> Replacement:
    """Terminate a worker, and let a successor have its pod CIDR.

    The table is read after each call that may have changed it.
    """
    time.sleep(chance.uniform(0, _PERIOD))
    after = chance.uniform(1, 5)
    (pod_cidr,) = cluster.control_plane.wait_for_cidr(name)
    cluster.ec2.terminate_instances(InstanceIds=[cluster.lab.workers[name]])
    cluster.control_plane.delete(name)
    time.sleep(after)
    successor = cluster.launch()
    cluster.aws.clear_calls()
    began = time.monotonic()
    cluster.register(successor, [pod_cidr])
    states = {"absent": 0.0, "blackhole": 0.0}
    seconds = 0.0
    seen = 0
    while (state := cluster.state(pod_cidr)) != successor.instance_id:
        now = _until(lambda: cluster.changes(_CHANGED) > seen, began)  # noqa: B023
        states[state] += now - seconds
        seconds, seen = now, cluster.changes(_CHANGED)
    return Replacement(after=after, seconds=seconds, states=states)


def _join_at_once(cluster: Cluster) -> tuple[float, Counter[str]]:
    """Return the seconds until ten new Nodes have routes, and a minute's calls."""
    workers = [cluster.launch() for _ in range(_AT_ONCE)]
    cluster.aws.clear_calls()
    began = time.monotonic()
    for worker in workers:
        cluster.register(worker)
    seconds = _until(lambda: cluster.changes(_CREATED) == _AT_ONCE, began)
    time.sleep(max(0, began + _COUNTED - time.monotonic()))
    calls = cluster.aws.count()
    if not all(map(cluster.leads_to, workers)):
        raise CommandFailedError("a Node has no route")
    return seconds, calls


def _count(cluster: Cluster) -> Counter[str]:
    cluster.aws.clear_calls()
    time.sleep(_COUNTED)
    return cluster.aws.count()


def _add_unmanaged(contender: Contender, destination: str) -> Unmanaged:
    """Create a route to an instance that is no Node, and let a worker join."""
    cluster = contender.cluster
    table_id = cluster.lab.table_id
    other = cluster.launch("other")
    logged = len(contender.log.read_text())
    cluster.ec2.create_route(
        RouteTableId=table_id,
        DestinationCidrBlock=destination,
        InstanceId=other.instance_id,
    )
    time.sleep(3 * _PERIOD)
    stays = cluster.state(destination) == other.instance_id
    worker = cluster.launch()
    began = time.monotonic()
    cluster.register(worker)
    seconds: float | None
    try:
        seconds = _until(lambda: cluster.leads_to(worker), began, _IGNORED)
    except CommandFailedError:
        seconds = None
    problems = contender.problems(contender.log.read_text()[logged:])
    if stays:
        cluster.ec2.delete_route(
            RouteTableId=table_id, DestinationCidrBlock=destination
        )
    _until(lambda: cluster.leads_to(worker), began)
    return Unmanaged(
        destination=destination,
        stays=stays,
        seconds=seconds,
        problems=[*dict.fromkeys(problems)],
    )


def _until(
    condition: Callable[[], bool], began: float, patience: float = _PATIENCE
) -> float:
    """Wait, and return the seconds since `began`.

    Raises:
        CommandFailedError: it takes more than `patience` seconds.
    """
    while not condition():
        if time.monotonic() - began > patience:
            raise CommandFailedError(f"not after {patience:g} s")
        time.sleep(_SAMPLE)
    return time.monotonic() - began


def _medians(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {step: median(each[step] for each in steps) for step in steps[0]}


def tables(
    figures: Iterable[Figures],
) -> Iterator[tuple[int, list[Figures], Iterable[Sequence[str]]]]:
    """Yield each size, its figures, and the rows of their table."""
    for size, of_size in groupby(figures, lambda each: each.size):
        contenders = [*of_size]
        cells = [each.cells() for each in contenders]
        yield size, contenders, [(row, *(c[row] for c in cells)) for row in cells[0]]


def _list(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values) + " s"


def _calls(counts: Counter[str]) -> str:
    actions = ", ".join(f"{n} {action}" for action, n in counts.most_common())
    return f"{counts.total()}: {actions}"
