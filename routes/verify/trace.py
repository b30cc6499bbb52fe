"""The trace of one pair's packets and their replies, hop by hop."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from routes.errors import Finding, RoutesError, Severity
from routes.model import Worker
from routes.text import visible
from routes.verify.checks import Checks, EndpointProfile
from routes.verify.snapshot import Snapshot
from routes.verify.stages import CheckKind, Stage


class Hop(NamedTuple):
    """One stage of the path; a stage with several findings is several hops.

    Attributes:
        version: the IP family.
        text: the resource and its result.
        finding: what blocks the packets there, or a note; None if they pass.
    """

    version: int
    stage: Stage
    text: str
    finding: Finding | None

    @property
    def part(self) -> str:
        """The part of the path that it belongs to."""
        family = f"IPv{self.version}" if self.version else "No IP family in common"
        return f"{family}, the reply" if self.stage.is_reply else family


def trace(checks: Checks, source: Worker, target: Worker) -> list[Hop]:
    """Return the path from a worker's pods to another's, and back, in packet order."""
    hops = [
        *hops_of(checks, source, EndpointProfile.of(target), is_source=True),
        *hops_of(checks, target, EndpointProfile.of(source), is_source=False),
    ]
    return sorted(hops, key=lambda hop: (hop.version, hop.stage))


def unreached(hops: Iterable[Hop]) -> set[Hop]:
    """Return the hops that would pass and that no packet reaches.

    A packet that is blocked in one IP family may pass in the other.
    """
    blocked = set()
    behind = set()
    for hop in hops:
        if hop.finding and hop.finding.severity is Severity.ERROR:
            blocked.add(hop.version)
        elif hop.version in blocked and not hop.finding:
            behind.add(hop)
    return behind


def find_endpoint(snapshot: Snapshot, name: str) -> Worker:
    """Return the worker or other source with this Name tag, id or Node.

    Raises:
        RoutesError: there is none, or several, or it has no pod CIDR.
    """
    known = (*snapshot.workers, *snapshot.sources)
    matches = [each for each in known if name in {each.name, each.instance_id}]
    if not matches:
        instance_id = snapshot.node_instance(name)
        matches = [each for each in known if each.instance_id == instance_id]
    if not matches:
        names = [each.name for each in known]
        near = difflib.get_close_matches(name, names, n=5, cutoff=0)
        raise RoutesError(
            f"No worker is called {visible(name)}; the nearest names:"
            f" {', '.join(near)}."
        )
    if len(matches) > 1:
        ids = ", ".join(each.instance_id for each in matches)
        raise RoutesError(
            f"{len(matches)} workers are called {visible(name)}; use an id: {ids}."
        )
    if not matches[0].pod_cidrs:
        raise RoutesError(f"{matches[0].label} has no pod CIDR to send from or to.")
    return matches[0]


def hops_of(
    checks: Checks, worker: Worker, far: EndpointProfile, *, is_source: bool
) -> Iterator[Hop]:
    """Yield one end's hops of a path to an endpoint with some profile."""
    for version, stage, results in checks.segment(worker, far, is_source=is_source):
        for finding, _ in results:
            text = f"{finding.resource} {finding.problem}"
            yield Hop(version, stage, text, finding)
        is_unknown_host = _is_subnet(worker) and stage.check in _OF_A_HOST
        if not results and not is_unknown_host:
            yield Hop(
                version, stage, _passed(checks, worker, far, version, stage), None
            )


def _is_subnet(worker: Worker) -> bool:
    """Return whether it stands for all hosts of a subnet."""
    return bool(worker.interface and not worker.interface.id)


def _passed(
    checks: Checks, worker: Worker, far: EndpointProfile, version: int, stage: Stage
) -> str:
    """Describe what lets the packets pass."""
    direction = "inbound" if stage in _INBOUND else "outbound"
    match stage.check:
        case CheckKind.SECURITY_GROUP:
            return f"{', '.join(far.groups)} {direction}"
        case CheckKind.NETWORK_ACL:
            acl = checks.acl_of(far.subnet_id)
            return f"{acl.id if acl else 'none'} of {far.subnet_id}, {direction}"
        case CheckKind.ROUTE:
            table = checks.table_of(far.subnet_id)
            (network,) = (n for n in worker.pod_cidrs if n.version == version)
            ranges = checks.tables[table.id].ranges(network) if table else ()
            routes = dict.fromkeys(r for part in ranges for r in part.routes)
            rows = (f"{route.destination} to {route.target}" for route in routes)
            return f"{table.id if table else 'none'}: {', '.join(rows)}"
        case CheckKind.SOURCE_DEST_CHECK:
            return f"{worker.interface.id if worker.interface else 'none'}: off"
        case _:
            return f"{worker.instance_id} is {worker.state}"


_INBOUND: Final = {Stage.B_ACL, Stage.B_GROUP, Stage.A_REPLY_ACL}
_OF_A_HOST: Final = {CheckKind.INSTANCE, CheckKind.SOURCE_DEST_CHECK}
