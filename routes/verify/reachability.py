"""Whether a packet from a pod on one worker arrives at a pod on another, and back.

Workers that no step can tell apart form a group, so that a thousand of them are a
handful of cases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

from routes.model import Worker
from routes.networks import in_address_order
from routes.verify.journey import Cause, Effect, Found
from routes.verify.packets import Question
from routes.verify.snapshot import Snapshot
from routes.verify.steps import Place, Steps


class Verdict(NamedTuple):
    """What becomes of the packets of ordered pairs of workers.

    Attributes:
        causes: the first thing on their way that stops them, else the first that hides
            them, and behind it, sorted, what else does either of any of these pairs;
            empty where packets arrive and come back.
        on_reply: whether it is the reply that the first cause is about.
        notes: on what the arrival rests, sorted; empty where there is a cause.
    """

    causes: tuple[Cause, ...] = ()
    on_reply: bool = False
    notes: tuple[Cause, ...] = ()

    @property
    def cause(self) -> Cause | None:
        """The first thing that stops them, else the first that hides them."""
        return self.causes[0] if self.causes else None

    @property
    def outcome(self) -> str:
        """Whether they arrive and come back."""
        return _OUTCOMES[self.cause.effect if self.cause else None]


_OUTCOMES: Final = {
    None: "reachable",
    Effect.STOPS: "stopped",
    Effect.HIDES: "unknown",
}


class Sent(NamedTuple):
    """How many workers' pods a source reaches, of how many, and why no more.

    Attributes:
        unknown: of how many nobody can tell.
    """

    reached: int
    unknown: int
    asked: int
    causes: tuple[Cause, ...]


@dataclass(frozen=True, kw_only=True)
class Reachability:
    """The verdict of every ordered pair of workers that have a pod CIDR.

    Attributes:
        groups: workers that no step tells apart; sorted.
        verdicts: each different one, once.
        matrix: row by source group, column by target group, an index of `verdicts`;
            -1 for a worker that is alone in its group and would talk to itself, and
            for what was not asked.
        pairs: how many pairs each verdict has.
        counts: each cause and note, and how many pairs it concerns.
        subjects: which packets of its resource each of them concerns, sorted.
        undecided: the workers that could not be judged, by name; sorted.
    """

    groups: tuple[tuple[Worker, ...], ...]
    verdicts: tuple[Verdict, ...]
    matrix: tuple[tuple[int, ...], ...]
    pairs: tuple[int, ...]
    counts: Mapping[Cause, int]
    subjects: Mapping[Cause, tuple[str, ...]]
    undecided: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """The number of pairs, those that could not be judged among them."""
        count = len(self.workers) + len(self.undecided)
        return count * (count - 1)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Every worker in the matrix, sorted."""
        return tuple(sorted((w for g in self.groups for w in g), key=_in_order))

    @property
    def reachable(self) -> int:
        """The number of pairs whose packets arrive."""
        return sum(
            count
            for verdict, count in zip(self.verdicts, self.pairs, strict=True)
            if not verdict.causes
        )

    def between(self, source: str, target: str) -> Verdict:
        """Return the verdict of two different ends, by instance id.

        A worker that is a source as well is in two groups, as the source first.
        """
        sender, receiver = self._groups(source)[0], self._groups(target)[-1]
        return self.verdicts[self.matrix[sender][receiver]]

    def sent_by(self, instance_id: str) -> Sent:
        """Return how the packets fare that one end sends, by instance id."""
        row = self.matrix[self._groups(instance_id)[0]]
        asked = [
            (len(group), self.verdicts[number])
            for group, number in zip(self.groups, row, strict=True)
            if number >= 0
        ]
        causes = (cause for _, verdict in asked for cause in verdict.causes)
        fare: Counter[str] = Counter()
        for count, verdict in asked:
            fare[verdict.outcome] += count
        return Sent(
            reached=fare["reachable"],
            unknown=fare["unknown"],
            asked=fare.total(),
            causes=tuple(dict.fromkeys(causes)),
        )

    def _groups(self, instance_id: str) -> list[int]:
        return [
            number
            for number, group in enumerate(self.groups)
            if any(worker.instance_id == instance_id for worker in group)
        ]


def judge(snapshot: Snapshot, question: Question) -> Reachability:
    """Follow the question's packets between all workers that have a pod CIDR."""
    workers = _judged(snapshot)
    unread = [worker.name for worker in snapshot.workers if not worker.pod_cidrs]
    undecided = tuple(sorted([*unread, *snapshot.undecided]))
    found = _follow(Steps(snapshot, question), workers, workers)
    return replace(found, undecided=undecided)


def judge_sources(snapshot: Snapshot, question: Question) -> Reachability:
    """Follow the question's packets from the snapshot's sources to all those workers.

    Sources take part as workers whose pods are their own addresses.
    """
    return _follow(Steps(snapshot, question), snapshot.sources, _judged(snapshot))


def _judged(snapshot: Snapshot) -> list[Worker]:
    return sorted((w for w in snapshot.workers if w.pod_cidrs), key=_in_order)


def _follow(
    steps: Steps, senders: Sequence[Worker], receivers: Sequence[Worker]
) -> Reachability:
    ends = [*dict.fromkeys((*senders, *receivers))]
    signatures, shares, subjects = _signatures(
        steps, ends, frozenset(senders), frozenset(receivers)
    )
    groups: dict[_Signature, list[Worker]] = {}
    for end, signature in zip(ends, signatures, strict=True):
        groups.setdefault(signature, []).append(end)
    return _matrix(groups, shares, subjects)


def _in_order(worker: Worker) -> tuple[int, int, int, str]:
    """Sort workers as their routes are, so that worker-10 comes after worker-2."""
    return *min(map(in_address_order, worker.pod_cidrs)), worker.instance_id


_Share: TypeAlias = tuple[Found, ...]
"""What one end adds to the journey, towards one place: in order, without subjects."""


class _Signature(NamedTuple):
    """Workers with the same one are a group; places and shares by their numbers."""

    place: int
    sent: tuple[int, ...]
    received: tuple[int, ...]


def _signatures(
    steps: Steps,
    ends: Sequence[Worker],
    senders: Collection[Worker],
    receivers: Collection[Worker],
) -> tuple[list[_Signature], list[_Share], Mapping[Cause, set[str]]]:
    """Return each end's signature, what it refers to, and the causes' subjects.

    A share's number is -1 where there is nobody to send to, or to receive from.
    """
    places = [Place.of(end) for end in ends]
    distinct = sorted({*places})
    sending = Counter(map(Place.of, senders))
    receiving = Counter(map(Place.of, receivers))
    shares: dict[_Share, int] = {}
    subjects: defaultdict[Cause, set[str]] = defaultdict(set)

    def number(share: Iterable[Found]) -> int:
        found = sorted(share)
        for each in found:
            subjects[each.cause].add(each.subject)
        key = tuple(each._replace(subject="") for each in found)
        return shares.setdefault(key, len(shares))

    signatures = []
    for end, here in zip(ends, places, strict=True):
        itself = end in senders and end in receivers
        sent, received = [], []
        for there in distinct:
            alone = int(itself and here == there)
            asked = end in senders and receiving[there] > alone
            sent.append(number(steps.sent(end, there)) if asked else -1)
            asked = end in receivers and sending[there] > alone
            received.append(number(steps.received(end, there)) if asked else -1)
        signatures.append(
            _Signature(
                place=distinct.index(here), sent=tuple(sent), received=tuple(received)
            )
        )
    return signatures, [*shares], subjects


_ARRIVED: Final = (True, 7, 0, False, -1)
"""Behind everything that stops or hides packets: no IP version is as high."""


def _matrix(
    groups: Mapping[_Signature, Sequence[Worker]],
    shares: Sequence[_Share],
    subjects: Mapping[Cause, set[str]],
) -> Reachability:
    """Put the two ends' shares together; what stops packets earlier decides.

    What certainly stops them comes before what hides them, wherever it is on their way.
    """
    causes = sorted({found.cause for share in shares for found in share})
    numbers = {cause: number for number, cause in enumerate(causes)}
    stops, notes, first = [], [], []
    for share in shares:
        stopping = [
            (
                found.cause.effect is Effect.HIDES,
                *(found.version, found.position, found.on_reply),
                numbers[found.cause],
            )
            for found in share
            if found.cause.stops
        ]
        first.append(min(stopping, default=_ARRIVED))
        stops.append(frozenset(number for *_, number in stopping))
        notes.append(frozenset(numbers[f.cause] for f in share if not f.cause.stops))
    verdicts: dict[tuple[Any, ...], int] = {}
    concerns: defaultdict[int, set[int]] = defaultdict(set)
    counts: Counter[int] = Counter()
    pairs: Counter[int] = Counter()
    matrix = []
    for source, senders in groups.items():
        row = []
        for target, receivers in groups.items():
            count = len(senders) * (len(receivers) - (source is target))
            sent, received = source.sent[target.place], target.received[source.place]
            if not count or sent < 0 or received < 0:
                row.append(-1)
                continue
            met = stops[sent] | stops[received]
            key: tuple[Any, ...] = min(first[sent], first[received])[3:]
            if not met:
                met = notes[sent] | notes[received]
                key = (*key, met)
            verdict = verdicts.setdefault(key, len(verdicts))
            concerns[verdict] |= met
            pairs[verdict] += count
            for number in met:
                counts[number] += count
            row.append(verdict)
        matrix.append(tuple(row))

    def decoded(key: tuple[Any, ...], verdict: int) -> Verdict:
        on_reply, begin, *_ = key
        rest = tuple(causes[n] for n in sorted(concerns[verdict] - {begin}))
        if begin < 0:
            return Verdict(notes=rest)
        return Verdict((causes[begin], *rest), on_reply=on_reply)

    return Reachability(
        groups=tuple(map(tuple, groups.values())),
        verdicts=tuple(decoded(key, number) for key, number in verdicts.items()),
        matrix=tuple(matrix),
        pairs=tuple(pairs[number] for number in range(len(verdicts))),
        counts={causes[number]: count for number, count in counts.items()},
        subjects={causes[n]: tuple(sorted(subjects[causes[n]] - {""})) for n in counts},
    )
