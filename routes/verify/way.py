"""The way of one pair's packets and of the replies, step by step, passed ones too."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from routes.errors import RoutesError
from routes.model import Worker
from routes.text import visible
from routes.verify.journey import Cause, Effect, Position, Step
from routes.verify.snapshot import Snapshot
from routes.verify.steps import Place, Steps


class Hop(NamedTuple):
    """One step of the way; with several causes there are as many hops.

    Attributes:
        version, position: what the way is sorted by.
        text: what decides, and what it says.
        cause: what stops the packets there, or a note; None where they pass.
    """

    version: int
    position: Position
    text: str
    cause: Cause | None

    @property
    def part(self) -> str:
        """Which part of the way it is in."""
        family = f"IPv{self.version}" if self.version else "No IP family in common"
        return f"{family}, the reply" if self.position.is_reply else family


def way(steps: Steps, source: Worker, target: Worker) -> list[Hop]:
    """Return the way from a worker's pods to another's, and back."""
    hops = [
        *share(steps, source, Place.of(target), is_source=True),
        *share(steps, target, Place.of(source), is_source=False),
    ]
    return sorted(hops, key=lambda hop: hop[:2])


def beyond(hops: Iterable[Hop]) -> set[Hop]:
    """Return the steps that would let packets pass, and that none of them reaches.

    What is stopped in one IP family is not in the other.
    """
    stopped = set()
    found = set()
    for hop in hops:
        if hop.cause and hop.cause.effect is Effect.STOPS:
            stopped.add(hop.version)
        elif hop.version in stopped and not hop.cause:
            found.add(hop)
    return found


def end_called(snapshot: Snapshot, name: str) -> Worker:
    """Return the worker, or other source, that is meant by a Name tag or an id.

    Raises:
        RoutesError: it is not one worker's, or that one has no pod CIDR.
    """
    known = (*snapshot.workers, *snapshot.sources)
    found = [each for each in known if name in {each.name, each.instance_id}]
    if not found:
        names = [each.name for each in known]
        near = difflib.get_close_matches(name, names, n=5, cutoff=0)
        raise RoutesError(
            f"No worker is called {visible(name)}; the nearest: {', '.join(near)}."
        )
    if len(found) > 1:
        ids = ", ".join(each.instance_id for each in found)
        raise RoutesError(
            f"{len(found)} workers are called {visible(name)}; say which: {ids}."
        )
    if not found[0].pod_cidrs:
        raise RoutesError(f"{found[0].label} has no pod CIDR to send from or to.")
    return found[0]


def share(
    steps: Steps, worker: Worker, there: Place, *, is_source: bool
) -> Iterator[Hop]:
    """Yield what one end adds to the way, towards an other end at some place."""
    for version, position, told in steps.asked(worker, there, is_source=is_source):
        for cause, _ in told:
            text = f"{cause.resource} {cause.problem}"
            yield Hop(version, position, text, cause)
        if not told and not (_is_subnet(worker) and position.step in _OF_A_HOST):
            text = _passed(steps, worker, there, version, position)
            yield Hop(version, position, text, None)


def _is_subnet(worker: Worker) -> bool:
    """Return whether it stands for whoever is in a subnet: nobody knows the host."""
    return bool(worker.interface and not worker.interface.id)


def _passed(
    steps: Steps, worker: Worker, there: Place, version: int, position: Position
) -> str:
    """Say what lets the packets pass."""
    way = "inbound" if position in _INBOUND else "outbound"
    match position.step:
        case Step.SECURITY_GROUP:
            return f"{', '.join(there.groups)} {way}"
        case Step.NETWORK_ACL:
            acl = steps.acl_of(there.subnet_id)
            return f"{acl.id if acl else 'none'} of {there.subnet_id}, {way}"
        case Step.ROUTE:
            table = steps.table_of(there.subnet_id)
            (network,) = (n for n in worker.pod_cidrs if n.version == version)
            legs = steps.tables[table.id].legs(network) if table else ()
            routes = {route: None for leg in legs for route in leg.routes}
            rows = (f"{route.destination} to {route.target}" for route in routes)
            return f"{table.id if table else 'none'}: {', '.join(rows)}"
        case Step.SOURCE_DEST_CHECK:
            return f"{worker.interface.id if worker.interface else 'none'}: off"
        case _:
            return f"{worker.instance_id} is {worker.state}"


_INBOUND = {Position.B_ACL, Position.B_GROUP, Position.A_REPLY_ACL}
_OF_A_HOST = {Step.INSTANCE, Step.SOURCE_DEST_CHECK}
