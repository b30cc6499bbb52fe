"""A verification as one JSON document; its JSON Schema is made of these models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from routes.errors import Finding, Severity
from routes.networks import Network
from routes.report.summary import LetteredCause, Summary
from routes.verify.standing import RouteFinding, Standing
from routes.verify.verification import CAVEAT, Verification


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        use_attribute_docstrings=True,
        validate_by_name=True,
    )


class RouteEntry(_Model):
    """One entry of the stack's route tables, or one that they should have."""

    table_id: str
    destination: str
    target: str
    """As EC2 has it; empty where the route is missing."""
    state: str
    """active or blackhole; empty where the route is missing."""
    worker: str
    """Whose pod CIDR the destination is; empty where it is nobody's."""
    standing: Standing
    """How it stands. Of routes that no worker of the plan wants: left over (the stack
    holds it), undecided (the stack holds it, and its plan has faults or an update is
    under way), stale (its target is gone, in the cluster's range), foreign (another's,
    in the cluster's range) or -."""
    why: str
    """Why it leads nowhere or is undecided; empty where there is nothing to say."""
    advice: str
    """What to do; the remedies follow it."""
    remedies: tuple[str, ...]
    """Commands that mend it."""


class WorkerEntry(_Model):
    """One worker of the plan."""

    name: str
    instance_id: str
    availability_zone: str
    pod_cidrs: tuple[Network, ...]


class VerdictEntry(_Model):
    """What becomes of the packets of ordered pairs of workers."""

    reachable: bool
    """Whether they arrive, and the replies come back."""
    unknown: bool
    """Whether nobody can tell: they go through what is not followed, or EC2 could not
    be read."""
    on_reply: bool
    """Whether it is the reply that is stopped first."""
    letters: tuple[str, ...]
    """Of its causes: the first that stops a packet, then whatever else stops one of its
    pairs; or of its notes."""


class Pairs(_Model):
    """Who reaches whom."""

    pairs: int
    """How many ordered pairs of workers there are."""
    reachable: int
    """How many of them are proved to be well."""
    undecided: tuple[str, ...]
    """The workers that could not be judged, nor any of their pairs."""
    groups: tuple[tuple[str, ...], ...]
    """Instance ids of workers that nothing tells apart."""
    verdicts: tuple[VerdictEntry, ...]
    """Each different verdict, once."""
    matrix: tuple[tuple[int, ...], ...]
    """Row: group of the source; column: group of the target; value: an index of
    verdicts, or -1 where a group's only member would talk to itself."""


class SourceEntry(_Model):
    """What else sends packets to pods: an instance, or all of a subnet."""

    id: str
    name: str
    reachable: int
    """How many workers' pods it reaches, and gets their replies."""
    unknown: int
    """Of how many nobody can tell."""
    workers: int
    """Of how many."""
    letters: tuple[str, ...]
    """Of what stops the rest."""


class CauseEntry(_Model):
    """What stops packets, or what deserves a note although they pass."""

    letter: str
    """What the reports call it."""
    step: str
    """Where on the way it is."""
    resource: str
    """The id of the rule or the resource that decides."""
    problem: str
    """Completes the sentence that the resource begins."""
    subjects: tuple[str, ...]
    """The destinations or ranges concerned."""
    pairs: int
    """How many ordered pairs of workers it concerns."""
    advice: str
    """What to do; the remedies follow it."""
    remedies: tuple[str, ...]
    """Commands that mend it."""


class FindingEntry(_Model):
    """What is wrong, or deserves a look, beside routes and pairs."""

    severity: Severity
    """A fault is what keeps the verification from being well."""
    where: str
    problem: str
    """Completes "where: ..."."""
    rows: tuple[str, ...]
    """What belongs to the problem, a line each."""
    advice: str
    """What to do; the remedies follow it."""
    remedies: tuple[str, ...]
    """Commands that mend it."""


class Document(_Model):
    """What `python -m routes verify` found. New keys do not make a new version."""

    version: Literal[2] = 2
    """Of this form: a change that could break a reader makes another."""
    program_version: str
    """Which version of the program read EC2."""
    taken_at: AwareDatetime
    """When EC2 was read, in UTC."""
    well: bool
    """Whether the command exits with 0."""
    stack: str
    account: str
    region: str
    vpc: str
    planned: bool
    """Whether it is what an update would leave, not what stands."""
    question: str
    """For which packets: all protocols, tcp 443."""
    routes: tuple[RouteEntry, ...]
    """Every entry of the stack's tables, and those missing."""
    workers: tuple[WorkerEntry, ...]
    reachability: Pairs
    sources: tuple[SourceEntry, ...]
    """Those that were named by --from."""
    causes: tuple[CauseEntry, ...]
    """What stops packets, most pairs first."""
    notes: tuple[CauseEntry, ...]
    """What deserves a look although packets pass."""
    findings: tuple[FindingEntry, ...]
    caveat: str
    """What EC2 cannot tell."""


def document(found: Verification) -> Document:
    """Return everything that was found, for machines."""
    snapshot = found.snapshot
    reachability = found.reachability
    summary = Summary(found)
    return Document(
        program_version=snapshot.program_version,
        taken_at=snapshot.taken_at,
        well=found.is_well,
        stack=snapshot.stack,
        account=snapshot.account,
        region=snapshot.region,
        vpc=snapshot.vpc.id,
        planned=snapshot.planned,
        question=str(found.question),
        routes=tuple(map(_route, found.routes)),
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
            undecided=reachability.undecided,
            groups=tuple(
                tuple(worker.instance_id for worker in group)
                for group in reachability.groups
            ),
            verdicts=tuple(
                VerdictEntry(
                    reachable=not verdict.causes,
                    unknown=verdict.outcome == "unknown",
                    on_reply=verdict.on_reply,
                    letters=tuple(each.letter for each in summary.explain(verdict)),
                )
                for verdict in reachability.verdicts
            ),
            matrix=reachability.matrix,
        ),
        sources=tuple(_sources(found, summary)),
        causes=tuple(_cause(each) for each in summary.lettered if each.cause.stops),
        notes=tuple(_cause(each) for each in summary.lettered if not each.cause.stops),
        findings=tuple(map(_finding, (*found.faults, *found.notes))),
        caveat=CAVEAT,
    )


def _route(route: RouteFinding) -> RouteEntry:
    return RouteEntry(
        table_id=route.table_id,
        destination=route.destination,
        target=route.target,
        state=route.state,
        worker=route.worker,
        standing=route.standing,
        why=route.why,
        advice=route.remedy,
        remedies=_remedies(route.command),
    )


def _sources(found: Verification, summary: Summary) -> Iterator[SourceEntry]:
    if not found.outside:
        return
    for source in found.snapshot.sources:
        sent = found.outside.sent_by(source.instance_id)
        yield SourceEntry(
            id=source.instance_id,
            name=source.name,
            reachable=sent.reached,
            unknown=sent.unknown,
            workers=sent.asked,
            letters=tuple(summary.mark(cause) for cause in sent.causes),
        )


def _cause(lettered: LetteredCause) -> CauseEntry:
    cause = lettered.cause
    return CauseEntry(
        letter=lettered.letter,
        step=cause.step.label,
        resource=cause.resource,
        problem=cause.problem,
        subjects=lettered.subjects,
        pairs=lettered.pairs,
        advice=lettered.remedy,
        remedies=_remedies(lettered.command),
    )


def _finding(finding: Finding) -> FindingEntry:
    return FindingEntry(
        severity=finding.severity,
        where=finding.where,
        problem=finding.problem,
        rows=finding.rows,
        advice=finding.remedy,
        remedies=_remedies(finding.command),
    )


def _remedies(command: str) -> tuple[str, ...]:
    return (command,) if command else ()
