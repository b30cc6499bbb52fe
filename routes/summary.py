"""What a verification found, in the order and the groups that every report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from routes.errors import Fault
from routes.reachability import Cause, Step, Verdict
from routes.verify import CAVEAT, Verification


@dataclass(frozen=True, kw_only=True)
class CauseGroup:
    """Causes that one command mends, or notes on one resource.

    Attributes:
        number: 1 for the one with the most pairs; notes go on counting after causes.
        subjects: the destinations or ranges concerned, sorted.
        pairs: how many ordered pairs of workers it concerns.
    """

    number: int
    step: Step
    resource: str
    problem: str
    command: str
    stops: bool
    subjects: tuple[str, ...]
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The groups, and which of them each verdict means."""

    groups: tuple[CauseGroup, ...]
    number: Mapping[Cause, int]

    @property
    def causes(self) -> tuple[CauseGroup, ...]:
        """The groups that stop packets."""
        return tuple(group for group in self.groups if group.stops)

    @property
    def notes(self) -> tuple[CauseGroup, ...]:
        """The groups that do not."""
        return tuple(group for group in self.groups if not group.stops)

    def numbers(self, verdict: Verdict) -> tuple[int, ...]:
        """Return the numbers that explain a verdict: its cause, or its notes."""
        found = (verdict.cause,) if verdict.cause else verdict.notes
        return tuple(sorted({self.number[cause] for cause in found}))


def summarize(found: Verification) -> Summary:
    """Group the causes, the one with the most pairs first."""
    counts = found.reachability.counts()
    together: dict[tuple[Any, ...], list[Cause]] = {}
    for cause in sorted(counts):
        key = (cause.stops, cause.step, cause.resource, cause.problem, cause.command)
        together.setdefault(key, []).append(cause)
    ranked = sorted(
        together.items(),
        key=lambda item: (
            not item[0][0],
            -sum(counts[cause] for cause in item[1]),
            item[0],
        ),
    )
    groups = tuple(
        CauseGroup(
            number=number,
            step=causes[0].step,
            resource=causes[0].resource,
            problem=causes[0].problem,
            command=causes[0].command,
            stops=causes[0].stops,
            subjects=tuple(cause.subject for cause in causes if cause.subject),
            pairs=sum(counts[cause] for cause in causes),
        )
        for number, (_, causes) in enumerate(ranked, start=1)
    )
    return Summary(
        groups=groups,
        number={
            cause: number
            for number, (_, causes) in enumerate(ranked, start=1)
            for cause in causes
        },
    )


def document(found: Verification) -> dict[str, Any]:
    """Return the findings for machines, ready for JSON.

    version: 1; a change that could break a reader makes it 2.
    well: whether the command exits with 0.
    stack, account, region, vpc, question: what was verified, and for which packets.
    routes: tableId, destination, target, state, worker, standing, why, command; the
      texts are empty where there is nothing to say. standing is "in place", "missing",
      "wrong target", "blackhole", "held by another", "stale", "foreign" or "-".
    workers: name, instanceId, podCidrs.
    reachability: pairs and reachable count ordered pairs. groups are lists of instance
      ids that nothing tells apart. matrix[from][to], by group, is an index of verdicts,
      or -1 where a group's only member would talk to itself. A verdict has reachable,
      onReply, and the numbers of its causes or notes.
    causes, notes: number, step, resource, problem, command, subjects, pairs.
    faults, remarks: where, problem, rows, remedy, command; what is wrong, or deserves a
      look, beside routes and pairs.
    caveat: what EC2 cannot tell.
    """
    snapshot = found.snapshot
    reachability = found.reachability
    summary = summarize(found)
    return {
        "version": 1,
        "well": found.is_well,
        "stack": snapshot.stack,
        "account": snapshot.account,
        "region": snapshot.region,
        "vpc": snapshot.vpc.id,
        "question": str(found.question),
        "routes": [
            {
                "tableId": route.table_id,
                "destination": route.destination,
                "target": route.target,
                "state": route.state,
                "worker": route.worker,
                "standing": str(route.standing),
                "why": route.why,
                "command": route.command,
            }
            for route in found.routes
        ],
        "workers": [
            {
                "name": worker.name,
                "instanceId": worker.instance_id,
                "podCidrs": [str(network) for network in worker.pod_cidrs],
            }
            for worker in snapshot.workers
        ],
        "reachability": {
            "pairs": sum(reachability.pairs),
            "reachable": reachability.reachable,
            "groups": [
                [worker.instance_id for worker in group]
                for group in reachability.groups
            ],
            "verdicts": [
                {
                    "reachable": verdict.cause is None,
                    "onReply": verdict.on_reply,
                    "numbers": summary.numbers(verdict),
                }
                for verdict in reachability.verdicts
            ],
            "matrix": reachability.matrix,
        },
        "causes": [_cause(group) for group in summary.causes],
        "notes": [_cause(group) for group in summary.notes],
        "faults": [_fault(fault) for fault in found.faults],
        "remarks": [_fault(fault) for fault in found.notes],
        "caveat": CAVEAT,
    }


def _cause(group: CauseGroup) -> dict[str, Any]:
    return {
        "number": group.number,
        "step": group.step.label,
        "resource": group.resource,
        "problem": group.problem,
        "command": group.command,
        "subjects": group.subjects,
        "pairs": group.pairs,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "where": fault.where,
        "problem": fault.problem,
        "rows": fault.rows,
        "remedy": fault.remedy,
        "command": fault.command,
    }
