"""A verification as a JSON document; its JSON Schema is made from these models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from routes.errors import Severity
from routes.networks import Network
from routes.report.summary import Summary
from routes.verify.route_status import RouteStatus
from routes.verify.verification import CAVEAT, Verification

_Outcome: TypeAlias = Literal["PASS", "FAIL", "UNKNOWN"]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        use_attribute_docstrings=True,
        validate_by_name=True,
    )


class RouteEntry(_Model):
    """One entry of the stack's route tables, or a missing one."""

    table_id: str
    destination: str
    target: str
    """As EC2 has it; empty if the route is missing."""
    state: str
    """active or blackhole; empty if the route is missing."""
    worker: str
    """The worker whose pod CIDR the destination is; empty if there is none."""
    status: RouteStatus
    """For a route that no worker needs: obsolete (managed), unknown (managed; the plan
    has faults, an update is pending, or it keeps the route), stale (its interface
    is deleted, or it is a blackhole to another kind of target), unmanaged
    (somebody else's, in the cluster's range) or other."""
    reason: str
    """Why it is a blackhole, or why its status is unknown; may be empty."""
    hint: str
    """What to do; the command follows it."""
    command: str
    """The suggested command; may be empty."""


class WorkerEntry(_Model):
    """One worker of the plan."""

    name: str
    instance_id: str
    availability_zone: str
    pod_cidrs: tuple[Network, ...]


class ResultEntry(_Model):
    """The result of ordered pairs of workers."""

    outcome: Literal["reachable", "blocked", "unknown"]
    """reachable: packets arrive and the replies come back."""
    on_reply: bool
    """Whether the reply meets the first cause."""
    cause_refs: tuple[str, ...]
    """The causes, beginning with the first on the path; the notes if reachable."""


class Pairs(_Model):
    """Which workers' pods reach which."""

    pairs: int
    """The number of ordered pairs of workers."""
    reachable: int
    """The number of reachable ones."""
    unevaluated: tuple[str, ...]
    """The workers whose pairs could not be evaluated."""
    groups: tuple[tuple[str, ...], ...]
    """Instance ids of workers with the same results in every check."""
    results: tuple[ResultEntry, ...]
    """Each different result, once."""
    matrix: tuple[tuple[int | None, ...], ...]
    """Row: group of the source; column: group of the target; value: an index of
    results, or null where a group's only worker would talk to itself."""


class SourceEntry(_Model):
    """Another sender of packets to pods: an instance, or a whole subnet."""

    id: str
    name: str
    reachable: int
    """The number of workers whose pods it reaches, with replies."""
    unknown: int
    workers: int
    """The number of all workers."""
    cause_refs: tuple[str, ...]
    """Why it doesn't reach the rest."""


class FindingEntry(_Model):
    """Something that is wrong, or worth knowing."""

    ref: str
    """The letter that `causeRefs` and the reports use; empty if it isn't about pairs.
    The blocker of the most pairs is A."""
    pairs: int
    """The number of ordered pairs of workers that it affects."""
    check: str
    """The check on the path; empty if it isn't about pairs."""
    severity: Severity
    """error: packets or updates are blocked. unknown: it isn't known whether packets
    pass. warning, info: nothing is blocked."""
    resource: str
    """The id of the rule or resource that causes it, or a configuration key."""
    problem: str
    """Completes the sentence that the resource begins."""
    details: tuple[str, ...]
    """For pairs, the destinations or ranges that it affects."""
    hint: str
    """What to do; the command follows it."""
    command: str
    """The suggested command; may be empty."""


class Document(_Model):
    """The result of `python -m routes verify`. New keys don't make a new version."""

    version: Literal[3] = 3
    """The version of this format: a change that could break a reader increases it."""
    program_version: str
    """The version of the program that read EC2."""
    taken_at: AwareDatetime
    """When EC2 was read, in UTC."""
    outcome: _Outcome
    """The exit codes: 0, 1, 2."""
    stack: str
    account: str
    region: str
    vpc: str
    planned: bool
    """Whether the routes are as an update would leave them."""
    traffic: str
    """The packets that were followed: all protocols, tcp 443."""
    routes: tuple[RouteEntry, ...]
    """Every entry of the stack's tables, and the missing ones."""
    workers: tuple[WorkerEntry, ...]
    reachability: Pairs
    sources: tuple[SourceEntry, ...]
    """Those that `--from` named."""
    findings: tuple[FindingEntry, ...]
    """Those about pairs first, by severity, then by the number of pairs."""
    caveat: str
    """What EC2 doesn't know."""


def document(verification: Verification) -> Document:
    """Return the whole result."""
    snapshot = verification.snapshot
    reachability = verification.reachability
    summary = Summary(verification)
    return Document(
        program_version=snapshot.program_version,
        taken_at=snapshot.taken_at,
        outcome=cast("_Outcome", verification.outcome.name),
        stack=snapshot.stack,
        account=snapshot.account,
        region=snapshot.region,
        vpc=snapshot.vpc.id,
        planned=snapshot.planned,
        traffic=str(verification.traffic),
        routes=tuple(
            RouteEntry(
                table_id=entry.key.route_table_id,
                destination=str(entry.key.destination),
                target=entry.target,
                state=entry.state,
                worker=entry.worker,
                status=entry.status,
                reason=entry.reason,
                hint=entry.finding.hint if entry.finding else "",
                command=entry.finding.command if entry.finding else "",
            )
            for entry in verification.entries
        ),
        workers=tuple(
            WorkerEntry(
                name=worker.name,
                instance_id=worker.instance_id,
                availability_zone=worker.availability_zone,
                pod_cidrs=worker.pod_cidrs,
            )
            for worker in snapshot.workers
        ),
        reachability=Pairs(
            pairs=reachability.total,
            reachable=reachability.reachable,
            unevaluated=reachability.unevaluated,
            groups=tuple(
                tuple(worker.instance_id for worker in group)
                for group in reachability.groups
            ),
            results=tuple(
                ResultEntry(
                    outcome=result.outcome,
                    on_reply=result.on_reply,
                    cause_refs=tuple(each.ref for each in summary.explain(result)),
                )
                for result in reachability.results
            ),
            matrix=reachability.matrix,
        ),
        sources=tuple(_sources(verification, summary)),
        findings=tuple(_findings(verification, summary)),
        caveat=CAVEAT,
    )


def _sources(verification: Verification, summary: Summary) -> Iterator[SourceEntry]:
    if not verification.sources:
        return
    for source in verification.snapshot.sources:
        result = verification.sources.from_source(source.instance_id)
        yield SourceEntry(
            id=source.instance_id,
            name=source.name,
            reachable=result.reached,
            unknown=result.unknown,
            workers=result.total,
            cause_refs=tuple(summary.mark(cause) for cause in result.causes),
        )


def _findings(verification: Verification, summary: Summary) -> Iterator[FindingEntry]:
    for cause in summary.causes:
        fields = vars(cause.finding) | {"details": cause.affected}
        yield FindingEntry(ref=cause.ref, pairs=cause.pairs, **fields)
    for finding in (*verification.faults, *verification.notes):
        yield FindingEntry(ref="", pairs=0, **vars(finding))
