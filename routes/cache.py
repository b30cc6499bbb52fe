"""The cache of pod CIDRs: those that earlier updates read, by start of an instance.

A started instance's user data is what it was when the instance was started: "some
instance attributes, such as user data, can only be modified if the instance is in a
'stopped' state" (EC2 API Reference, "Error codes", IncorrectInstanceState). And its
LaunchTime is "the time that the instance was last launched" (the same, "Instance"). So
the id and LaunchTime of a started instance identify its user data, once EC2 knows of
the start everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from routes.model import Worker
from routes.networks import Network
from routes.settings import Settings

OUTPUT: Final = "workers"
"""The stack output that stores the cache."""
PARSER: Final = 2
"""The version of routes/aws/userdata.py; raise it when that parses differently."""


class CachedPodCidrs(BaseModel):
    """The pod CIDRs of one start of an instance, and all that they depend on."""

    model_config = ConfigDict(frozen=True)

    instance_id: str
    launch_time: datetime
    pod_cidrs: tuple[Network, ...]
    source: str
    """userData or tag."""
    key: str
    """The key in user data, or the name of the tag."""
    parser: int
    """The parser's version."""
    fault: str = ""
    """Why there are no pod CIDRs; not stored in the stack."""

    @property
    def start(self) -> tuple[str, datetime]:
        """The identity of the start of the instance."""
        return self.instance_id, self.launch_time


class _Output(BaseModel):
    """The stack output, which the engine shows with one line per worker."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", populate_by_name=True
    )

    source: str
    key: str
    parser: int
    pod_cidrs: dict[str, str]
    """Id and LaunchTime of an instance, with a space in between, to its pod CIDRs, with
    commas in between."""


_STARTED: Final = {"pending", "running"}
"""The states of an instance between a start and the next stop."""
_SETTLED: Final = timedelta(minutes=1)
"""How long after a start EC2 may still return the old user data: "the result of an API
command you run that affects your Amazon EC2 resources might not be immediately visible
to all subsequent commands you run" (EC2 Developer Guide, "Eventual consistency in the
Amazon EC2 API")."""


def cacheable(
    workers: Iterable[Worker],
    settings: Settings,
    unreadable: Mapping[str, str] | None = None,
) -> tuple[CachedPodCidrs, ...]:
    """Return what can be cached; user data of stopped or new instances may change.

    Args:
        workers: with their pod CIDRs.
        settings: where those were read.
        unreadable: instance id to the reason why it has none; cached too.
    """
    faults = unreadable or {}
    latest = datetime.now(UTC) - _SETTLED
    return tuple(
        CachedPodCidrs(
            instance_id=worker.instance_id,
            launch_time=worker.launch_time,
            pod_cidrs=worker.pod_cidrs,
            source=settings.pod_cidr_from,
            key=settings.pod_cidr_key,
            parser=PARSER,
            fault=faults.get(worker.instance_id, ""),
        )
        for worker in workers
        if worker.state == "running"
        and worker.launch_time <= latest
        and (worker.pod_cidrs or worker.instance_id in faults)
    )


def to_output(workers: Iterable[Worker], settings: Settings) -> dict[str, Any]:
    """Return the stack output for these workers."""
    return _Output(
        source=settings.pod_cidr_from,
        key=settings.pod_cidr_key,
        parser=PARSER,
        pod_cidrs={
            f"{each.instance_id} {each.launch_time.isoformat()}": ",".join(
                map(str, each.pod_cidrs)
            )
            for each in cacheable(workers, settings)
        },
    ).model_dump(by_alias=True)


def from_output(output: object) -> tuple[CachedPodCidrs, ...]:
    """Read the stack output; another version's is ignored."""
    try:
        stored = _Output.model_validate(output)
        return tuple(
            CachedPodCidrs.model_validate(
                {
                    "instance_id": instance_id,
                    "launch_time": launch_time,
                    "pod_cidrs": pod_cidrs.split(","),
                    "source": stored.source,
                    "key": stored.key,
                    "parser": stored.parser,
                }
            )
            for start, pod_cidrs in stored.pod_cidrs.items()
            for instance_id, launch_time in [start.split()]
        )
    except ValueError:
        return ()


def lookup(
    cached: Iterable[CachedPodCidrs], settings: Settings, workers: Iterable[Worker]
) -> dict[str, tuple[Network, ...] | str]:
    """Return the cached pod CIDRs, or the fault, of each of these workers it knows.

    Tags are not cached: they can change at any time, and are read without a call.
    """
    known = {
        each.start: each.fault or each.pod_cidrs
        for each in cached
        if settings.pod_cidr_from == each.source == "userData"
        and (each.key, each.parser) == (settings.pod_cidr_key, PARSER)
    }
    return {
        worker.instance_id: known[start]
        for worker in workers
        if worker.state in _STARTED
        and (start := (worker.instance_id, worker.launch_time)) in known
    }
