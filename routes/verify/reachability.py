"""Whether packets from pods on one worker reach pods on another, and back.

Workers with the same results in every check form a group, so a thousand workers are a
handful of cases. A path has two segments, one for each end. A segment depends only on
that end and on the other's profile, so the result of a pair of groups combines two.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from routes.errors import Finding, Severity
from routes.model import Worker
from routes.networks import in_address_order
from routes.verify.checks import Checks, EndpointProfile
from routes.verify.header_space import Traffic
from routes.verify.snapshot import Snapshot
from routes.verify.stages import CheckKind, Stage, StageFinding

_CHECKS: Final = {kind: number for number, kind in enumerate(CheckKind)}


class PairResult(NamedTuple):
    """The result of ordered pairs of workers.

    Attributes:
        causes: the first blocker on the path, else the first finding that makes the
            result unknown; then the other causes of these pairs, sorted. Empty if the
            packets and the replies arrive.
        on_reply: whether the reply meets the first cause.
        notes: assumptions behind a reachable result, sorted.
    """

    causes: tuple[Finding, ...] = ()
    on_reply: bool = False
    notes: tuple[Finding, ...] = ()

    @property
    def cause(self) -> Finding | None:
        """The first cause."""
        return self.causes[0] if self.causes else None

    @property
    def outcome(self) -> Literal["reachable", "blocked", "unknown"]:
        """Whether the packets and the replies arrive."""
        if not self.cause:
            return "reachable"
        return "blocked" if self.cause.severity is Severity.ERROR else "unknown"


class SourceSummary(NamedTuple):
    """How many workers' pods a source reaches.

    Attributes:
        reached, unknown: the number of workers, out of `total`.
        causes: why it doesn't reach the rest.
    """

    reached: int
    unknown: int
    total: int
    causes: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Reachability:
    """The result of every ordered pair of workers with a pod CIDR.

    Attributes:
        groups: workers with the same results in every check; sorted.
        results: each different result, once.
        matrix: by source group, then by target group, an index of `results`; None if a
            group's only worker would talk to itself, or packets are not followed.
        pairs: the number of pairs with each result.
        counts: the number of pairs that each cause and note affects.
        affected: the workers, pod CIDRs or ranges that each of them affects, sorted.
        unevaluated: the workers without a known pod CIDR, and the entries of `workers`
            without a match; sorted.
    """

    groups: tuple[tuple[Worker, ...], ...]
    results: tuple[PairResult, ...]
    matrix: tuple[tuple[int | None, ...], ...]
    pairs: tuple[int, ...]
    counts: Mapping[Finding, int]
    affected: Mapping[Finding, tuple[str, ...]]
    unevaluated: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """The number of pairs, including those that could not be evaluated."""
        count = len(self.workers) + len(self.unevaluated)
        return count * (count - 1)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Every worker in the matrix, sorted."""
        return tuple(sorted((w for g in self.groups for w in g), key=_by_pod_cidr))

    @property
    def reachable(self) -> int:
        """The number of pairs whose packets and replies arrive."""
        return sum(
            count
            for result, count in zip(self.results, self.pairs, strict=True)
            if not result.causes
        )

    def between(self, source: str, target: str) -> PairResult:
        """Return the result of two different ends, by instance id.

        A worker that is also a source is in two groups; the source's is the first.
        """
        number = self.matrix[self._groups(source)[0]][self._groups(target)[-1]]
        assert number is not None  # noqa: S101 - the two ends are different
        return self.results[number]

    def from_source(self, instance_id: str) -> SourceSummary:
        """Summarize the results of the packets that one end sends."""
        row = self.matrix[self._groups(instance_id)[0]]
        results = [
            (len(group), self.results[number])
            for group, number in zip(self.groups, row, strict=True)
            if number is not None
        ]
        causes = (cause for _, result in results for cause in result.causes)
        outcomes: Counter[str] = Counter()
        for count, result in results:
            outcomes[result.outcome] += count
        return SourceSummary(
            reached=outcomes["reachable"],
            unknown=outcomes["unknown"],
            total=outcomes.total(),
            causes=tuple(dict.fromkeys(causes)),
        )

    def _groups(self, instance_id: str) -> list[int]:
        return [
            number
            for number, group in enumerate(self.groups)
            if any(worker.instance_id == instance_id for worker in group)
        ]


def evaluate(snapshot: Snapshot, traffic: Traffic) -> Reachability:
    """Follow packets between all workers with a pod CIDR."""
    workers = _with_pod_cidr(snapshot)
    without = [worker.name for worker in snapshot.workers if not worker.pod_cidrs]
    reachability = _follow(Checks(snapshot, traffic), workers, workers)
    unevaluated = tuple(sorted([*without, *snapshot.unmatched]))
    return replace(reachability, unevaluated=unevaluated)


def evaluate_sources(snapshot: Snapshot, traffic: Traffic) -> Reachability:
    """Follow packets from the snapshot's sources to all those workers.

    A source takes part as a worker whose pods have its own addresses.
    """
    checks = Checks(snapshot, traffic)
    return _follow(checks, snapshot.sources, _with_pod_cidr(snapshot))


def _with_pod_cidr(snapshot: Snapshot) -> list[Worker]:
    return sorted((w for w in snapshot.workers if w.pod_cidrs), key=_by_pod_cidr)


def _by_pod_cidr(worker: Worker) -> tuple[int, int, int, str]:
    """Sort workers as their routes are, so that worker-10 comes after worker-2."""
    return *min(map(in_address_order, worker.pod_cidrs)), worker.instance_id


class _First(NamedTuple):
    """The first finding on a path, sorted: blockers, then unknowns, then none."""

    rank: int
    version: int = 0
    stage: int = 0
    finding: int = -1


_NOTHING: Final = _First(rank=2)


class _Segment(NamedTuple):
    """The findings that a pair's packets meet at one end, by their numbers."""

    first: _First
    causes: frozenset[int]
    notes: frozenset[int]


class _Group(NamedTuple):
    """The key of a group: its profile, and its segments' numbers, one per profile.

    A segment is None if no other worker has that profile.
    """

    profile: int
    sent: tuple[int | None, ...]
    received: tuple[int | None, ...]


class _Segments:
    """The segments of all workers, each different one once."""

    def __init__(
        self, checks: Checks, senders: Collection[Worker], receivers: Collection[Worker]
    ) -> None:
        self._checks = checks
        self._senders = frozenset(senders)
        self._receivers = frozenset(receivers)
        self._sending = Counter(map(EndpointProfile.of, senders))
        self._receiving = Counter(map(EndpointProfile.of, receivers))
        self._profiles = sorted({*self._sending, *self._receiving})
        self._numbers: dict[tuple[StageFinding, ...], int] = {}
        self.affected: defaultdict[Finding, set[str]] = defaultdict(set)

    def group_of(self, worker: Worker) -> _Group:
        """Return the key of a worker's group."""
        own = EndpointProfile.of(worker)
        is_both = worker in self._senders and worker in self._receivers
        sent: list[int | None] = []
        received: list[int | None] = []
        for far in self._profiles:
            itself = int(is_both and own == far)
            sends = worker in self._senders and self._receiving[far] > itself
            receives = worker in self._receivers and self._sending[far] > itself
            sent.append(self._number(worker, far, is_source=True) if sends else None)
            received.append(
                self._number(worker, far, is_source=False) if receives else None
            )
        profile = self._profiles.index(own)
        return _Group(profile, tuple(sent), tuple(received))

    def _number(self, worker: Worker, far: EndpointProfile, *, is_source: bool) -> int:
        findings = sorted(self._checks.findings(worker, far, is_source=is_source))
        for each in findings:
            self.affected[each.finding].add(each.affected)
        key = tuple(each._replace(affected="") for each in findings)
        return self._numbers.setdefault(key, len(self._numbers))

    def numbered(self) -> tuple[list[Finding], list[_Segment]]:
        """Return all findings, sorted, and the segments, by their numbers."""
        findings = sorted(
            {each.finding for segment in self._numbers for each in segment},
            key=lambda finding: (_CHECKS[CheckKind(finding.check)], finding),
        )
        numbers = {finding: number for number, finding in enumerate(findings)}
        return findings, [_segment(each, numbers) for each in self._numbers]


def _segment(
    stage_findings: Iterable[StageFinding], numbers: Mapping[Finding, int]
) -> _Segment:
    causes, notes = [], []
    for version, stage, finding, _ in stage_findings:
        number = numbers[finding]
        if finding.severity is Severity.INFO:
            notes.append(number)
        else:
            rank = int(finding.severity is Severity.UNKNOWN)
            causes.append(_First(rank, version, stage, number))
    return _Segment(
        first=min(causes, default=_NOTHING),
        causes=frozenset(each.finding for each in causes),
        notes=frozenset(notes),
    )


def _follow(
    checks: Checks, senders: Sequence[Worker], receivers: Sequence[Worker]
) -> Reachability:
    """Group the workers, and combine the segments of each pair of groups."""
    segments = _Segments(checks, senders, receivers)
    groups: dict[_Group, list[Worker]] = {}
    for worker in dict.fromkeys((*senders, *receivers)):
        groups.setdefault(segments.group_of(worker), []).append(worker)
    findings, numbered = segments.numbered()
    tally = _Tally()
    matrix = []
    for source, sources in groups.items():
        row: list[int | None] = []
        for target, targets in groups.items():
            pairs = len(sources) * (len(targets) - (source is target))
            sent, received = (
                source.sent[target.profile],
                target.received[source.profile],
            )
            if not pairs or sent is None or received is None:
                row.append(None)
            else:
                row.append(tally.add(numbered[sent], numbered[received], pairs))
        matrix.append(tuple(row))
    return Reachability(
        groups=tuple(map(tuple, groups.values())),
        results=tally.results(findings),
        matrix=tuple(matrix),
        pairs=tuple(tally.pairs),
        counts={findings[number]: count for number, count in tally.counts.items()},
        affected={
            findings[number]: tuple(sorted(segments.affected[findings[number]] - {""}))
            for number in tally.counts
        },
    )


_ResultKey: TypeAlias = tuple[int, bool, frozenset[int]]
"""The first cause, whether the reply meets it, and the notes if there is none."""


class _Tally:
    """The different results, and how many pairs have them.

    Attributes:
        pairs: the number of pairs with each result.
        counts: the number of pairs that each finding affects.
    """

    def __init__(self) -> None:
        self._numbers: dict[_ResultKey, int] = {}
        self._met: list[set[int]] = []
        self.pairs: list[int] = []
        self.counts: Counter[int] = Counter()

    def add(self, sent: _Segment, received: _Segment, pairs: int) -> int:
        """Count pairs with these two segments, and return their result's number.

        A certain blocker takes precedence over an unknown, wherever it is.
        """
        first = min(sent.first, received.first)
        met = sent.causes | received.causes
        notes: frozenset[int] = frozenset()
        if not met:
            met = notes = sent.notes | received.notes
        is_reply = first.stage >= Stage.B_REPLY_ACL
        key = first.finding, is_reply, notes
        number = self._numbers.setdefault(key, len(self._numbers))
        if number == len(self.pairs):
            self.pairs.append(0)
            self._met.append(set())
        self.pairs[number] += pairs
        self._met[number] |= met
        for finding in met:
            self.counts[finding] += pairs
        return number

    def results(self, findings: Sequence[Finding]) -> tuple[PairResult, ...]:
        """Return each result."""
        results = []
        for (first, on_reply, _), met in zip(self._numbers, self._met, strict=True):
            rest = tuple(findings[number] for number in sorted(met - {first}))
            if first == _NOTHING.finding:
                results.append(PairResult(notes=rest))
            else:
                results.append(PairResult((findings[first], *rest), on_reply=on_reply))
        return tuple(results)
