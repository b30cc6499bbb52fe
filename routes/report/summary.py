"""A verification in the order and the words that all reports share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from routes.errors import Finding, Severity, truncated
from routes.verify.reachability import PairResult
from routes.verify.route_status import TableEntry
from routes.verify.stages import CheckKind
from routes.verify.verification import Outcome, Verification

AS_TIME: Final = "%Y-%m-%d %H:%M UTC"
TONES: Final = {
    Outcome.PASS: "ok",
    Outcome.FAIL: "blocked",
    Outcome.UNKNOWN: "note",
}
"""The tone of each outcome, one of those of a hop."""
UNREACHED: Final = "\u00b7"
UNREACHED_MEANS: Final = "no packet gets this far; it would pass."
"""Marks a hop behind the one that blocks the packets."""
_MAX_DETAILS: Final = 5
_NOT_REPEATABLE: Final = (
    "aws ec2 authorize-",
    "aws ec2 create-",
    "aws ec2 delete-",
)
"""The beginnings of commands that fail the second time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cause:
    """A finding about pairs, and its letter in the reports.

    Attributes:
        ref: A for the blocker of the most pairs; then come unknowns, then notes.
        affected: the destinations or ranges that it affects, sorted.
        pairs: the number of ordered pairs of workers that it affects.
    """

    ref: str
    finding: Finding
    affected: tuple[str, ...]
    pairs: int

    @property
    def reported(self) -> Finding:
        """The finding as a report shows it; the number of pairs stays on one line."""
        finding = self.finding
        pairs = counted(self.pairs, "pair").replace(" ", "\u00a0")
        return replace(
            finding,
            resource=f"{self.ref} {finding.check}",
            problem=f"{finding.resource} {finding.problem} ({pairs})",
            details=truncated(self.affected, _MAX_DETAILS),
        )


class Summary:
    """The content that all reports share.

    Attributes:
        causes: every cause, then every note about pairs.
        sections: the findings under each heading; none repeats a cause.
        headline: the outcome in one line.
        next: the command to begin with, "" if there is none.
        sources: the result of each other source, in one line.
    """

    def __init__(self, verification: Verification) -> None:
        suggested: dict[str, str] = {}
        self._by_finding = dict(_ranked(verification, suggested))
        self.causes = tuple(self._by_finding.values())
        blockers = [c.reported for c in self.causes if not _is_note(c.finding)]
        notes = [c.reported for c in self.causes if _is_note(c.finding)]
        covered = {
            f"{cause.finding.resource} {text}"
            for cause in self.causes
            for text in (
                cause.finding.problem,
                *(each.partition(" of ")[0] for each in cause.affected),
            )
        }
        faults = (f for f in verification.faults if f.resource not in covered)
        others = [
            _once(finding, finding.resource, suggested)
            for finding in (*faults, *_table_findings(verification, covered))
        ]
        sections = {
            "Causes": blockers,
            "Also wrong": others,
            "Notes": [*notes, *verification.notes],
        }
        self.sections = {title: each for title, each in sections.items() if each}
        self.headline = _headline(verification, len(blockers), len(others))
        self.next = next((f.command for f in blockers + others if f.command), "")
        self.sources = tuple(self._sources(verification))

    def _sources(self, verification: Verification) -> Iterator[str]:
        if not verification.sources:
            return
        for source in verification.snapshot.sources:
            result = verification.sources.from_source(source.instance_id)
            line = f"{source.label}: {result.reached} of {result.total} workers"
            for words, severity in (
                ("blocked by", Severity.ERROR),
                ("unknown because of", Severity.UNKNOWN),
            ):
                refs = [self.mark(c) for c in result.causes if c.severity is severity]
                line += f"; {words} {', '.join(refs)}" if refs else ""
            yield line

    def explain(self, result: PairResult) -> tuple[Cause, ...]:
        """Return the causes of a result, the first blocker first, or its notes."""
        return tuple(self._by_finding[each] for each in result.causes or result.notes)

    def mark(self, finding: Finding | None) -> str:
        """Return the mark of a hop: ok, or the letter of its finding.

        A blocker that affects no evaluated pair has no letter, but a "!".
        """
        if finding in self._by_finding:
            return self._by_finding[finding].ref
        return "!" if finding and not _is_note(finding) else "ok"


def _ranked(
    verification: Verification, suggested: dict[str, str]
) -> Iterator[tuple[Finding, Cause]]:
    """Yield the findings about pairs: by severity, then the most pairs first."""
    counts: Counter[Finding] = Counter()
    affected: defaultdict[Finding, set[str]] = defaultdict(set)
    for each in verification.reachabilities:
        counts.update(each.counts)
        for finding, packets in each.affected.items():
            affected[finding].update(packets)
    kinds = [*CheckKind]
    ranked = sorted(
        counts,
        key=lambda f: (f.severity.rank, -counts[f], kinds.index(CheckKind(f.check)), f),
    )
    for index, finding in enumerate(ranked):
        ref = _letter(index)
        cause = Cause(
            ref=ref,
            finding=_once(finding, ref, suggested),
            affected=tuple(sorted(affected[finding])),
            pairs=counts[finding],
        )
        yield finding, cause


def _headline(verification: Verification, causes: int, others: int) -> str:
    reachability = verification.reachability
    parts = [f"{reachability.reachable:,} of {reachability.total:,} pairs"]
    if causes:
        parts.append(counted(causes, "cause"))
    elif others:
        parts.append(counted(others, "fault"))
    if reachability.unevaluated:
        count = len(reachability.unevaluated)
        parts.append(f"{counted(count, 'worker')} not evaluated")
    if pending := verification.snapshot.pending_workers:
        parts.append(f"{counted(len(pending), 'worker')} pending")
    return f"{verification.outcome.name}: {', '.join(parts)}"


def _once(finding: Finding, name: str, suggested: dict[str, str]) -> Finding:
    """Return a finding, without a command that fails when it is run again.

    Args:
        finding: with its own hint and command.
        name: its name in the report.
        suggested: each earlier command and the name of its finding; this one is added.
    """
    earlier = suggested.setdefault(finding.command, name)
    if earlier == name or not finding.command.startswith(_NOT_REPEATABLE):
        return finding
    hint = f"The command for {earlier} fixes this too."
    return replace(finding, hint=hint, command="")


def _is_note(finding: Finding) -> bool:
    return finding.severity is Severity.INFO


def tone(finding: Finding | None) -> str:
    """Return the tone of a hop: ok, note or blocked."""
    if not finding:
        return "ok"
    return "blocked" if finding.severity is Severity.ERROR else "note"


def counted(count: int, noun: str) -> str:
    """Return `1 pair`, `2 pairs`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _table_findings(verification: Verification, covered: set[str]) -> Iterator[Finding]:
    """Yield the fixable table entries that no cause covers, one finding per fix."""

    def fix(entry: TableEntry) -> tuple[str, str, str, str]:
        finding = entry.finding or Finding(resource="", problem="")
        table_id = entry.key.route_table_id
        return table_id, entry.status, finding.hint, finding.command

    fixable = [
        entry
        for entry in verification.entries
        if entry.finding
        and (entry.finding.hint or entry.finding.command)
        and not {str(entry.key), entry.reason} & covered
    ]
    for (table_id, status, hint, command), alike in groupby(
        sorted(fixable, key=fix), fix
    ):
        rows = [f"{each.key.destination}  {each.reason}".rstrip() for each in alike]
        yield Finding(
            resource=table_id,
            problem=f"{counted(len(rows), 'route')} {status}:",
            details=truncated(rows, _MAX_DETAILS),
            hint=hint,
            command=command,
        )


def _letter(index: int) -> str:
    """Return A for 0, Z for 25, AA for 26."""
    before, last = divmod(index, 26)
    return (_letter(before - 1) if before else "") + chr(ord("A") + last)
