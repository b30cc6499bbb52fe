"""What earlier updates read: each worker's pod CIDRs, and from which reading.

A started instance's user data is what it was when the instance was started: "some
instance attributes, such as user data, can only be modified if the instance is in a
'stopped' state" (EC2 API Reference, "Error codes", IncorrectInstanceState). And its
LaunchTime is "the time that the instance was last launched" (the same, "Instance"). So
id and LaunchTime of a started instance say what a second look would find, once EC2
knows of the start everywhere.
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
"""The output of a stack that holds its readings."""
PARSER: Final = 2
"""The version of routes/aws/userdata.py, to be raised when that reads otherwise."""


class Reading(BaseModel):
    """The pod CIDRs of one start of an instance, and all that they depend on."""

    model_config = ConfigDict(frozen=True)

    instance_id: str
    launch_time: datetime
    pod_cidrs: tuple[Network, ...]
    source: str
    """userData, or tag."""
    key: str
    """The key in user data, or the name of the tag."""
    parser: int
    """The version of what read it."""
    fault: str = ""
    """Why there are no pod CIDRs; a stack keeps none of these."""


class _Output(BaseModel):
    """The readings of one update, at a line each where the engine shows it."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", populate_by_name=True
    )

    source: str
    key: str
    parser: int
    pod_cidrs: dict[str, str]
    """Id and LaunchTime of an instance to its pod CIDRs, by spaces and commas."""


_STARTED: Final = {"pending", "running"}
"""The states of an instance between a start and the next stop."""
_SETTLED: Final = timedelta(minutes=1)
"""How long after a start EC2 may still return the user data of before: "the result of
an API command you run that affects your Amazon EC2 resources might not be immediately
visible to all subsequent commands you run" (EC2 Developer Guide, "Eventual consistency
in the Amazon EC2 API")."""


def readings(
    workers: Iterable[Worker],
    settings: Settings,
    unreadable: Mapping[str, str] | None = None,
) -> tuple[Reading, ...]:
    """Return what was read of workers that run for a while; of no other it would last.

    Args:
        workers: with their pod CIDRs.
        settings: by which they were read.
        unreadable: instance id to the reason why there are none, to be kept as well.
    """
    faults = unreadable or {}
    latest = datetime.now(UTC) - _SETTLED
    return tuple(
        Reading(
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


def outputs(workers: Iterable[Worker], settings: Settings) -> dict[str, Any]:
    """Return the readings as an output of the stack."""
    return _Output(
        source=settings.pod_cidr_from,
        key=settings.pod_cidr_key,
        parser=PARSER,
        pod_cidrs={
            f"{each.instance_id} {each.launch_time.isoformat()}": ",".join(
                map(str, each.pod_cidrs)
            )
            for each in readings(workers, settings)
        },
    ).model_dump(by_alias=True)


def parse(output: object) -> tuple[Reading, ...]:
    """Read what `outputs` wrote; nothing of what another version wrote."""
    try:
        kept = _Output.model_validate(output)
        return tuple(
            Reading.model_validate(
                {
                    "instance_id": instance_id,
                    "launch_time": launch_time,
                    "pod_cidrs": pod_cidrs.split(","),
                    "source": kept.source,
                    "key": kept.key,
                    "parser": kept.parser,
                }
            )
            for start, pod_cidrs in kept.pod_cidrs.items()
            for instance_id, launch_time in [start.split()]
        )
    except ValueError:
        return ()


def recall(
    held: Iterable[Reading], settings: Settings, workers: Iterable[Worker]
) -> dict[str, tuple[Network, ...] | str]:
    """Return what a second look would find again, by instance id.

    A tag can change at any time, and costs no call to read.
    """
    known = {
        (reading.instance_id, reading.launch_time): reading.fault or reading.pod_cidrs
        for reading in held
        if settings.pod_cidr_from == reading.source == "userData"
        and (reading.key, reading.parser) == (settings.pod_cidr_key, PARSER)
    }
    return {
        worker.instance_id: known[start]
        for worker in workers
        if worker.state in _STARTED
        and (start := (worker.instance_id, worker.launch_time)) in known
    }
