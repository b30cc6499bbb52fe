"""What a verification found, in the words and the order that every report shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Final

from routes.errors import Finding, Severity, first
from routes.verify.journey import Cause, Effect
from routes.verify.reachability import Verdict
from routes.verify.verification import Outcome, Verification

AS_TIME: Final = "%Y-%m-%d %H:%M UTC"
TONES: Final = {
    Outcome.WELL: "ok",
    Outcome.WRONG: "stop",
    Outcome.UNDECIDED: "note",
}
"""How it went, as a step's packets fare."""
_WORDS: Final = {
    Outcome.WELL: "WELL",
    Outcome.WRONG: "NOT WELL",
    Outcome.UNDECIDED: "UNDECIDED",
}
_SEVERITIES: Final = {
    Effect.STOPS: Severity.FAULT,
    Effect.HIDES: Severity.WARNING,
    Effect.NOTES: Severity.NOTE,
}
BEYOND: Final = "·"
BEYOND_MEANS: Final = "no packet comes this far; it would pass."
"""Marks a step behind the one that stops the packets."""
_MOST_ROWS: Final = 5
_ONCE: Final = (
    "aws ec2 authorize-",
    "aws ec2 create-",
    "aws ec2 delete-",
)
"""How commands begin that fail where they were run already."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LetteredCause:
    """A cause or a note, and what every report calls it.

    Attributes:
        letter: A for what stops the most pairs; then come what hides whether packets
            pass, and notes.
        subjects: the destinations or ranges concerned, sorted.
        pairs: how many ordered pairs of workers it concerns.
        remedy, command: what to do, as the cause has it, unless an earlier one has the
            same command, and running that twice would fail.
    """

    letter: str
    cause: Cause
    subjects: tuple[str, ...]
    pairs: int
    remedy: str
    command: str

    @property
    def finding(self) -> Finding:
        """The same, as everything else is told; the count is on one line."""
        pairs = counted(self.pairs, "pair").replace(" ", "\u00a0")
        return Finding(
            where=f"{self.letter} {self.cause.step.label}",
            problem=f"{self.cause.resource} {self.cause.problem} ({pairs})",
            rows=first(self.subjects, _MOST_ROWS),
            remedy=self.remedy,
            command=self.command,
            severity=_SEVERITIES[self.cause.effect],
        )


class Summary:
    """What is to be told of a verification.

    Attributes:
        lettered: every cause, then every note.
        sections: what is told under each heading; what a cause covers is not repeated.
        headline: how it went, in one line.
        next: the command to begin with, "" if there is none.
        others: how the packets of each other source fare, in one line.
    """

    def __init__(self, found: Verification) -> None:
        counts: Counter[Cause] = Counter()
        subjects: defaultdict[Cause, set[str]] = defaultdict(set)
        for judged in found.judged:
            counts.update(judged.counts)
            for cause, named in judged.subjects.items():
                subjects[cause].update(named)
        ranked = sorted(counts, key=lambda each: (each.effect, -counts[each], each))
        self._of: dict[Cause, LetteredCause] = {}
        commanded: dict[str, str] = {}
        for index, cause in enumerate(ranked):
            letter = _letter(index)
            remedy, command = _once(cause.remedy, cause.command, letter, commanded)
            self._of[cause] = LetteredCause(
                letter=letter,
                cause=cause,
                subjects=tuple(sorted(subjects[cause])),
                pairs=counts[cause],
                remedy=remedy,
                command=command,
            )
        self.lettered = tuple(self._of.values())
        causes = [each.finding for each in self.lettered if each.cause.stops]
        covered = {
            f"{each.cause.resource} {subject.partition(' of ')[0]}"
            for each in self.lettered
            for subject in each.subjects
        } | {f"{each.cause.resource} {each.cause.problem}" for each in self.lettered}
        also = [finding for finding in found.faults if finding.where not in covered]
        also += _mendable(found, covered)
        notes = [each.finding for each in self.lettered if not each.cause.stops]
        for index, each in enumerate(also):
            remedy, command = _once(each.remedy, each.command, each.where, commanded)
            also[index] = replace(each, remedy=remedy, command=command)
        told = {"Causes": causes, "Also wrong": also, "Notes": [*notes, *found.notes]}
        self.sections = {title: rest for title, rest in told.items() if rest}
        pairs = found.reachability
        how = [f"{pairs.reachable:,} of {pairs.total:,} pairs"]
        if causes:
            how.append(counted(len(causes), "cause"))
        elif also:
            how.append(counted(len(also), "fault"))
        if pairs.undecided:
            how.append(f"{counted(len(pairs.undecided), 'worker')} not judged")
        if waiting := found.snapshot.waiting:
            how.append(f"{counted(len(waiting), 'worker')} without a route yet")
        self.headline = f"{_WORDS[found.outcome]}: {', '.join(how)}"
        self.next = next((each.command for each in causes + also if each.command), "")
        self.others = tuple(self._others(found))

    def _others(self, found: Verification) -> Iterator[str]:
        if not found.outside:
            return
        for source in found.snapshot.sources:
            sent = found.outside.sent_by(source.instance_id)
            said = f"{source.label}: {sent.reached} of {sent.asked} workers"
            for word, effect in (
                ("stopped by", Effect.STOPS),
                ("unknown because of", Effect.HIDES),
            ):
                letters = [
                    self.mark(each) for each in sent.causes if each.effect is effect
                ]
                said += f"; {word} {', '.join(letters)}" if letters else ""
            yield said

    def explain(self, verdict: Verdict) -> tuple[LetteredCause, ...]:
        """Return what is behind a verdict: causes, the first first, or notes."""
        return tuple(self._of[cause] for cause in verdict.causes or verdict.notes)

    def mark(self, cause: Cause | None) -> str:
        """Return what stands before a step of a way: ok, or its cause's letter.

        A cause without a letter concerns no pair that was evaluated: one that blocks
        is marked with an exclamation mark.
        """
        lettered = self._of.get(cause) if cause else None
        if lettered:
            return lettered.letter
        return "!" if cause and cause.stops else "ok"


def _once(
    remedy: str, command: str, owner: str, owners: dict[str, str]
) -> tuple[str, str]:
    """Return a remedy and its command, unless that would fail the second time.

    Args:
        remedy: as the cause or finding has it.
        command: the same.
        owner: what the report calls it.
        owners: whose each earlier command is; this one is added.
    """
    first_owner = owners.setdefault(command, owner)
    if first_owner == owner or not command.startswith(_ONCE):
        return remedy, command
    return f"The command for {first_owner} fixes this too.", ""


def tone(cause: Cause | None) -> str:
    """Return what becomes of packets at a step: ok, note or stop."""
    if not cause:
        return "ok"
    return "stop" if cause.effect is Effect.STOPS else "note"


def counted(count: int, noun: str) -> str:
    """Return `1 pair`, `2 pairs`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _mendable(found: Verification, covered: set[str]) -> Iterator[Finding]:
    """Yield the routes that need a fix and that no cause covers, once for each fix.

    They are in order of table and standing.
    """
    routes = [
        route
        for route in found.routes
        if (route.remedy or route.command)
        and not {f"{route.table_id} {route.destination}", route.why} & covered
    ]
    key = attrgetter("table_id", "standing", "remedy", "command")
    for (table_id, standing, remedy, command), alike in groupby(
        sorted(routes, key=key), key
    ):
        rows = [f"{route.destination}  {route.why}".rstrip() for route in alike]
        yield Finding(
            where=table_id,
            problem=f"{counted(len(rows), 'route')} {standing}:",
            rows=first(rows, _MOST_ROWS),
            remedy=remedy,
            command=command,
        )


def _letter(index: int) -> str:
    """Return A for 0, Z for 25, AA for 26."""
    before, last = divmod(index, 26)
    return (_letter(before - 1) if before else "") + chr(ord("A") + last)
