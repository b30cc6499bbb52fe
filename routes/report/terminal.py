"""A verification as people read it in a terminal of 80 columns."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from itertools import groupby
from textwrap import indent
from typing import IO, Any, Final, cast

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from routes.errors import Finding, first
from routes.model import Worker
from routes.report.summary import (
    AS_TIME,
    BEYOND,
    BEYOND_MEANS,
    TONES,
    LetteredCause,
    Summary,
    counted,
    tone,
)
from routes.verify.journey import Effect
from routes.verify.reachability import Reachability
from routes.verify.standing import RouteFinding, Standing
from routes.verify.steps import Steps
from routes.verify.verification import CAVEAT, Outcome, Verification
from routes.verify.way import Hop, beyond, way

FULL_MATRIX: Final = 20
"""The most workers whose matrix is shown whole; so many fit 80 columns."""
_MOST_ROWS: Final = 20
_MOST_LETTERS: Final = 5
_NAME: Final = 17
"""Columns for a worker's name beside the matrix."""
_STEP: Final = 24
"""Columns for a step's name in a way."""
_PLANNED: Final = ", as an update would leave it"
_STYLES: Final = {"ok": "green", "note": "yellow", "stop": "bold red"}


class _Trimmed:
    """A file that gets no blanks at the ends of lines, with which rich fills cells."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(re.sub(" +$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the file's own
        return getattr(self._file, name)


def trimmed(file: IO[str] | None = None, **options: Any) -> Console:  # noqa: ANN401
    """Return where reports are printed to: a file, or else standard output."""
    there = cast("IO[str]", _Trimmed(file or sys.stdout))
    return Console(file=there, highlight=False, **options)


def show(found: Verification, console: Console) -> None:
    """Print everything that was found; a command is never wrapped."""
    snapshot = found.snapshot
    _say(
        f"Stack {snapshot.stack}{_PLANNED * snapshot.planned}, account"
        f" {snapshot.account}, {snapshot.region}, {snapshot.vpc.id}; {found.question};"
        f" read {snapshot.taken_at:{AS_TIME}}.",
        console,
    )
    summary = Summary(found)
    is_large = len(snapshot.workers) > FULL_MATRIX
    for table_id, entries in groupby(found.routes, key=lambda route: route.table_id):
        _show_table(table_id, list(entries), console, is_large=is_large)
    _show_matrix(found.reachability, summary, console)
    if summary.others:
        _heading("Others reach pods", console)
    for line in summary.others:
        _say(line, console)
    for title, findings in summary.sections.items():
        _heading(title, console)
        for finding in findings:
            _tell(finding, console)
    console.print()
    _say(CAVEAT, console)
    conclude(found.outcome, summary.headline, summary.next, console)


def show_way(
    found: Verification,
    source: Worker,
    target: Worker,
    console: Console,
    *,
    quiet: bool = False,
) -> Outcome:
    """Print the way of one pair's packets, and return whether they come and go."""
    hops = way(Steps(found.snapshot, found.question), source, target)
    if not quiet:
        _show_hops(found, source, target, hops, console)
    met = [hop.cause for hop in hops if hop.cause and hop.cause.stops]
    stops = dict.fromkeys(sorted(met, key=lambda cause: cause.effect))
    outcome = Outcome.WELL
    if stops:
        hides = next(iter(stops)).effect is Effect.HIDES
        outcome = Outcome.UNDECIDED if hides else Outcome.WRONG
    does = {
        Outcome.WELL: "WELL: {} reaches {}",
        Outcome.WRONG: "NOT WELL: {} does not reach {}",
        Outcome.UNDECIDED: "UNDECIDED: whether {} reaches {}",
    }
    headline = does[outcome].format(source.name, target.name)
    if stops:
        headline += f", {counted(len(stops), 'cause')}"
    commands = (each.command for each in stops if each.command)
    conclude(outcome, headline, next(commands, ""), console)
    return outcome


def _show_hops(
    found: Verification,
    source: Worker,
    target: Worker,
    hops: Sequence[Hop],
    console: Console,
) -> None:
    """Print the way step by step, and what no packet comes to apart."""
    summary = Summary(found)
    lost = beyond(hops)
    zones = source.availability_zone, target.availability_zone
    apart = "" if zones[0] == zones[1] else ", between availability zones"
    after = _PLANNED * found.snapshot.planned
    _say(f"{source.label} to {target.label}{after}; {found.question}.", console)
    _say(
        f"{' to '.join(zones)}{apart}; read {found.snapshot.taken_at:{AS_TIME}}.",
        console,
    )
    for part, steps in groupby(hops, key=lambda hop: hop.part):
        _heading(part, console)
        for hop in steps:
            row = Table.grid(padding=(0, 1))
            row.add_column(min_width=2, justify="right")
            row.add_column(min_width=_STEP)
            mark = Text(summary.mark(hop.cause), style=_STYLES[tone(hop.cause)])
            if hop in lost:
                mark = Text(BEYOND, style="dim")
            row.add_row(mark, hop.position.step.label, Text(hop.text))
            console.print(row)
            if hop.cause and hop.cause.remedy:
                console.print(Padding(Text(hop.cause.remedy), (0, 0, 0, 3)))
            if hop.cause and hop.cause.command:
                command = Text(f"   {hop.cause.command}", style="cyan")
                console.print(command, soft_wrap=True)
    console.print()
    if lost:
        _say(f"{BEYOND} {BEYOND_MEANS}", console)


def conclude(outcome: Outcome, headline: str, command: str, console: Console) -> None:
    """Print how it went, and the command to begin with, on one line."""
    line = Text(f"{headline}.", style=_STYLES[TONES[outcome]])
    if command:
        line.append(" Next: ", "not bold default").append(command, "not bold cyan")
    console.print(line, soft_wrap=True)


def _say(text: str, console: Console, style: str = "") -> None:
    """Print text as it is: names come from AWS and are no markup."""
    console.print(Text(text, style=style))


def _heading(text: str, console: Console) -> None:
    console.print()
    _say(text, console, "bold")


def _tell(finding: Finding, console: Console) -> None:
    text = Text(indent(str(finding), " "))
    text.stylize("bold", 1, 1 + len(finding.where))
    if finding.command:
        text.stylize("cyan", len(text) - len(finding.command))
    console.print(text, soft_wrap=True)


def _show_table(
    table_id: str, entries: list[RouteFinding], console: Console, *, is_large: bool
) -> None:
    """Show the table as EC2 lists it, with whose each entry is and how it stands."""
    _heading(f"Route table {table_id}", console)
    shown = [
        entry
        for entry in entries
        if not (is_large and entry.standing is Standing.IN_PLACE)
    ]
    rows = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in ("Destination", "Target", "State", "Worker", "Verdict"):
        rows.add_column(column, overflow="fold")
    for entry in shown[:_MOST_ROWS]:
        rows.add_row(
            *map(Text, (entry.destination, entry.target or "-", entry.state or "-")),
            Text(entry.worker or "-"),
            Text(entry.standing, style="" if entry.standing.is_well else "bold red"),
        )
    console.print(rows)
    hidden = len(shown) - _MOST_ROWS
    if hidden > 0:
        _say(f"and {hidden} more of these.", console)
    if len(shown) < len(entries):
        _say(f"{len(entries) - len(shown)} routes are in place.", console)


def _show_matrix(found: Reachability, summary: Summary, console: Console) -> None:
    """Show who reaches whom: the letters are those of the causes below."""
    total = sum(found.pairs)
    reached = f"{found.reachable} of {found.total} pairs of workers"
    _heading(f"Pods reach pods: {reached}", console)
    if found.undecided:
        names = ", ".join(first(found.undecided, _MOST_LETTERS))
        _say(f"{names} could not be judged.", console)
    if not total:
        return
    if len(found.workers) <= FULL_MATRIX:
        _show_full_matrix(found, summary, console)
    elif found.reachable < total:
        _show_failing_rows(found, summary, console)


def _show_full_matrix(found: Reachability, summary: Summary, console: Console) -> None:
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=True)
    rows.add_column("from \\ to", max_width=_NAME, no_wrap=True)
    workers = found.workers
    for number in range(len(workers)):
        rows.add_column(str(number), justify="right", min_width=2)
    for number, source in enumerate(workers):
        cells = []
        for target in workers:
            if target is source:
                cells.append(Text("·", style="dim"))
                continue
            verdict = found.between(source.instance_id, target.instance_id)
            if verdict.causes:
                letter = summary.explain(verdict)[0].letter
                cells.append(Text(letter, style=_STYLES[tone(verdict.cause)]))
            else:
                cells.append(Text("ok", style="yellow" if verdict.notes else "green"))
        rows.add_row(Text(f"{number:>2} {source.name}"), *cells)
    console.print(rows)
    if found.reachable < sum(found.pairs):
        _say("A letter is the cause's, below.", console)


def _show_failing_rows(found: Reachability, summary: Summary, console: Console) -> None:
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows.add_column("from", overflow="fold")
    rows.add_column("reaches", justify="right")
    rows.add_column("cause", overflow="fold")
    failing = 0
    total = len(found.workers) - 1
    for group, row in zip(found.groups, found.matrix, strict=True):
        missed = 0
        causes: set[LetteredCause] = set()
        for target, number in zip(found.groups, row, strict=True):
            if number >= 0 and found.verdicts[number].causes:
                missed += len(target) - (target is group)
                causes.update(summary.explain(found.verdicts[number]))
        if not missed:
            continue
        failing += 1
        if failing <= _MOST_ROWS:
            name = group[0].name
            more = len(group) - 1
            letters = [each.letter for each in summary.lettered if each in causes]
            rows.add_row(
                Text(f"{name} and {more} more" if more else name),
                f"{total - missed} of {total}",
                ", ".join(first(letters, _MOST_LETTERS)),
            )
    console.print(rows)
    if failing > _MOST_ROWS:
        _say(f"and {failing - _MOST_ROWS} more rows.", console)
