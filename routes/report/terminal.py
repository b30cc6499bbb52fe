"""A verification in a terminal of 80 columns."""

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

from routes.errors import Finding, Severity, truncated
from routes.model import Worker
from routes.report.summary import (
    AS_TIME,
    TONES,
    UNREACHED,
    UNREACHED_MEANS,
    Cause,
    Summary,
    counted,
    tone,
)
from routes.verify.checks import Checks
from routes.verify.reachability import Reachability
from routes.verify.route_status import RouteStatus, TableEntry
from routes.verify.trace import Hop, trace, unreached
from routes.verify.verification import CAVEAT, Outcome, Verification

FULL_MATRIX: Final = 20
"""The maximum number of workers with a full matrix: they fit 80 columns."""
_MAX_ROWS: Final = 20
_MAX_REFS: Final = 5
_NAME: Final = 17
"""Columns for a worker's name beside the matrix."""
_CHECK: Final = 24
"""Columns for a check's name in a trace."""
_PLANNED: Final = ", as an update would leave it"
_STYLES: Final = {"ok": "green", "note": "yellow", "blocked": "bold red"}


class _Trimmed:
    """A file without the trailing blanks that rich pads cells with."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(re.sub(" +$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the file's own
        return getattr(self._file, name)


def report_console(file: IO[str] | None = None, **options: Any) -> Console:  # noqa: ANN401
    """Return a console for reports: to a file, or else standard output."""
    there = cast("IO[str]", _Trimmed(file or sys.stdout))
    return Console(file=there, highlight=False, **options)


def show(verification: Verification, console: Console) -> None:
    """Print the whole result; a command is never wrapped."""
    snapshot = verification.snapshot
    _print(
        f"Stack {snapshot.stack}{_PLANNED * snapshot.planned}, account"
        f" {snapshot.account}, {snapshot.region}, {snapshot.vpc.id};"
        f" {verification.traffic}; read {snapshot.taken_at:{AS_TIME}}.",
        console,
    )
    summary = Summary(verification)
    is_large = len(snapshot.workers) > FULL_MATRIX
    for table_id, entries in groupby(
        verification.entries, key=lambda entry: entry.key.route_table_id
    ):
        _show_table(table_id, list(entries), console, is_large=is_large)
    _show_matrix(verification.reachability, summary, console)
    if summary.sources:
        _heading("Other sources reach pods", console)
    for line in summary.sources:
        _print(line, console)
    for title, findings in summary.sections.items():
        _heading(title, console)
        for finding in findings:
            _show_finding(finding, console)
    console.print()
    _print(CAVEAT, console)
    conclude(verification.outcome, summary.headline, summary.next, console)


def show_trace(
    verification: Verification,
    source: Worker,
    target: Worker,
    console: Console,
    *,
    quiet: bool = False,
) -> Outcome:
    """Print the trace of one pair, and return its outcome."""
    hops = trace(Checks(verification.snapshot, verification.traffic), source, target)
    if not quiet:
        _show_hops(verification, source, target, hops, console)
    findings = [hop.finding for hop in hops if tone(hop.finding) != "ok"]
    causes = sorted(
        {f for f in findings if f and f.severity is not Severity.INFO},
        key=lambda finding: (finding.severity.rank, findings.index(finding)),
    )
    outcome = Outcome.PASS
    if causes:
        is_unknown = causes[0].severity is Severity.UNKNOWN
        outcome = Outcome.UNKNOWN if is_unknown else Outcome.FAIL
    sentence = {
        Outcome.PASS: "{} reaches {}",
        Outcome.FAIL: "{} does not reach {}",
        Outcome.UNKNOWN: "whether {} reaches {}",
    }[outcome].format(source.name, target.name)
    headline = f"{outcome.name}: {sentence}"
    if causes:
        headline += f", {counted(len(causes), 'cause')}"
    commands = (each.command for each in causes if each.command)
    conclude(outcome, headline, next(commands, ""), console)
    return outcome


def _show_hops(
    verification: Verification,
    source: Worker,
    target: Worker,
    hops: Sequence[Hop],
    console: Console,
) -> None:
    summary = Summary(verification)
    behind = unreached(hops)
    snapshot = verification.snapshot
    zones = source.availability_zone, target.availability_zone
    apart = "" if zones[0] == zones[1] else ", between availability zones"
    _print(
        f"{source.label} to {target.label}{_PLANNED * snapshot.planned};"
        f" {verification.traffic}.",
        console,
    )
    _print(f"{' to '.join(zones)}{apart}; read {snapshot.taken_at:{AS_TIME}}.", console)
    for part, in_part in groupby(hops, key=lambda hop: hop.part):
        _heading(part, console)
        for hop in in_part:
            row = Table.grid(padding=(0, 1))
            row.add_column(min_width=2, justify="right")
            row.add_column(min_width=_CHECK)
            mark = Text(summary.mark(hop.finding), style=_STYLES[tone(hop.finding)])
            if hop in behind:
                mark = Text(UNREACHED, style="dim")
            row.add_row(mark, hop.stage.check, Text(hop.text))
            console.print(row)
            if hop.finding and hop.finding.hint:
                console.print(Padding(Text(hop.finding.hint), (0, 0, 0, 3)))
            if hop.finding and hop.finding.command:
                command = Text(f"   {hop.finding.command}", style="cyan")
                console.print(command, soft_wrap=True)
    console.print()
    if behind:
        _print(f"{UNREACHED} {UNREACHED_MEANS}", console)


def conclude(outcome: Outcome, headline: str, command: str, console: Console) -> None:
    """Print the headline and the command to begin with, on one line."""
    line = Text(f"{headline}.", style=_STYLES[TONES[outcome]])
    if command:
        line.append(" Next: ", "not bold default").append(command, "not bold cyan")
    console.print(line, soft_wrap=True)


def _print(text: str, console: Console, style: str = "") -> None:
    """Print text as it is: names from AWS are not markup."""
    console.print(Text(text, style=style))


def _heading(text: str, console: Console) -> None:
    console.print()
    _print(text, console, "bold")


def _show_finding(finding: Finding, console: Console) -> None:
    text = Text(indent(str(finding), " "))
    text.stylize("bold", 1, 1 + len(finding.resource))
    if finding.command:
        text.stylize("cyan", len(text) - len(finding.command))
    console.print(text, soft_wrap=True)


def _show_table(
    table_id: str, entries: list[TableEntry], console: Console, *, is_large: bool
) -> None:
    """Show a table as EC2 lists it, with the worker and the status of each entry."""
    _heading(f"Route table {table_id}", console)
    shown = [
        entry
        for entry in entries
        if not (is_large and entry.status is RouteStatus.IN_PLACE)
    ]
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in ("Destination", "Target", "State", "Worker", "Status"):
        table.add_column(column, overflow="fold")
    for entry in shown[:_MAX_ROWS]:
        cells = str(entry.key.destination), entry.target, entry.state, entry.worker
        table.add_row(
            *(Text(cell or "-") for cell in cells),
            Text(entry.status, style="" if entry.status.is_fine else "bold red"),
        )
    console.print(table)
    hidden = len(shown) - _MAX_ROWS
    if hidden > 0:
        _print(f"and {hidden} more rows.", console)
    if len(shown) < len(entries):
        _print(f"{len(entries) - len(shown)} routes are in place.", console)


def _show_matrix(
    reachability: Reachability, summary: Summary, console: Console
) -> None:
    """Show which workers' pods reach which; letters refer to the causes below."""
    total = sum(reachability.pairs)
    pairs = f"{reachability.reachable} of {reachability.total} pairs of workers"
    _heading(f"Pods reach pods: {pairs}", console)
    if reachability.unevaluated:
        names = ", ".join(truncated(reachability.unevaluated, _MAX_REFS))
        _print(f"{names} could not be evaluated.", console)
    if not total:
        return
    if len(reachability.workers) <= FULL_MATRIX:
        _show_full_matrix(reachability, summary, console)
    elif reachability.reachable < total:
        _show_failing_rows(reachability, summary, console)


def _show_full_matrix(
    reachability: Reachability, summary: Summary, console: Console
) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=True)
    table.add_column("from \\ to", max_width=_NAME, no_wrap=True)
    workers = reachability.workers
    for number in range(len(workers)):
        table.add_column(str(number), justify="right", min_width=2)
    for number, source in enumerate(workers):
        cells = []
        for target in workers:
            if target is source:
                cells.append(Text("\u00b7", style="dim"))
                continue
            result = reachability.between(source.instance_id, target.instance_id)
            if result.causes:
                ref = summary.explain(result)[0].ref
                cells.append(Text(ref, style=_STYLES[tone(result.cause)]))
            else:
                cells.append(Text("ok", style="yellow" if result.notes else "green"))
        table.add_row(Text(f"{number:>2} {source.name}"), *cells)
    console.print(table)
    if reachability.reachable < sum(reachability.pairs):
        _print("A letter refers to the cause below.", console)


def _show_failing_rows(
    reachability: Reachability, summary: Summary, console: Console
) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("from", overflow="fold")
    table.add_column("reaches", justify="right")
    table.add_column("cause", overflow="fold")
    failing = 0
    total = len(reachability.workers) - 1
    results = reachability.results
    for group, row in zip(reachability.groups, reachability.matrix, strict=True):
        missed = 0
        causes: set[Cause] = set()
        for target, number in zip(reachability.groups, row, strict=True):
            if number is not None and results[number].causes:
                missed += len(target) - (target is group)
                causes.update(summary.explain(results[number]))
        if not missed:
            continue
        failing += 1
        if failing <= _MAX_ROWS:
            name = group[0].name
            more = len(group) - 1
            refs = [each.ref for each in summary.causes if each in causes]
            table.add_row(
                Text(f"{name} and {more} more" if more else name),
                f"{total - missed} of {total}",
                ", ".join(truncated(refs, _MAX_REFS)),
            )
    console.print(table)
    if failing > _MAX_ROWS:
        _print(f"and {failing - _MAX_ROWS} more rows.", console)
