"""A verification as people read it in a terminal of 80 columns."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from routes.errors import Fault, first
from routes.reachability import Reachability
from routes.summary import CauseGroup, Summary, summarize
from routes.verify import CAVEAT, RouteFinding, Standing, Verification

FULL_MATRIX: Final = 20
"""The most workers whose matrix is shown whole; so many fit 80 columns."""
_MOST_ROWS: Final = 20
_MOST_SUBJECTS: Final = 5
_NAME: Final = 17
"""Columns for a worker's name beside the matrix."""


def show(found: Verification, console: Console) -> None:
    """Print everything that was found; a command is never wrapped."""
    snapshot = found.snapshot
    _say(
        f"Stack {snapshot.stack}, account {snapshot.account}, {snapshot.region},"
        f" {snapshot.vpc.id}; {found.question}.",
        console,
    )
    is_large = len(snapshot.workers) > FULL_MATRIX
    for table_id, entries in groupby(found.routes, key=lambda route: route.table_id):
        _show_table(table_id, list(entries), console, is_large=is_large)
    summary = summarize(found)
    _show_matrix(found.reachability, summary, console)
    if summary.causes:
        _heading("Causes", console)
        for group in summary.causes:
            _show_cause(group, console)
    if found.faults:
        _heading("Also wrong", console)
        for fault in found.faults:
            _show_fault(fault, console)
    if summary.notes or found.notes:
        _heading("Notes", console)
        for group in summary.notes:
            _show_cause(group, console)
        for note in found.notes:
            _show_fault(note, console)
    console.print()
    _say(CAVEAT, console)
    if found.is_well:
        _say("All is well.", console, "green")
    else:
        _say("Not all is well.", console, "bold red")


def _say(text: str, console: Console, style: str = "") -> None:
    """Print text as it is: names come from AWS and are no markup."""
    console.print(Text(text, style=style))


def _heading(text: str, console: Console) -> None:
    console.print()
    _say(text, console, "bold")


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
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
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
    by_command: dict[str, list[str]] = {}
    for entry in shown:
        if entry.command:
            why = f": {entry.why}" if entry.why else ""
            reason = f"{entry.destination} {entry.standing}{why}."
            by_command.setdefault(entry.command, []).append(reason)
    for command, reasons in by_command.items():
        for reason in first(reasons, _MOST_SUBJECTS):
            _say(reason, console)
        _command(command, console)


def _show_matrix(found: Reachability, summary: Summary, console: Console) -> None:
    """Show who reaches whom: the numbers are those of the causes below."""
    total = sum(found.pairs)
    _heading(f"Pods reach pods: {found.reachable} of {total} pairs of workers", console)
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
            numbers = summary.numbers(verdict)
            if verdict.cause:
                cells.append(Text(str(numbers[0]), style="bold red"))
            elif numbers:
                cells.append(Text("ok", style="yellow"))
            else:
                cells.append(Text("ok", style="green"))
        rows.add_row(Text(f"{number:>2} {source.name}"), *cells)
    console.print(rows)
    if found.reachable < sum(found.pairs):
        _say("A number is the cause's, below.", console)


def _show_failing_rows(found: Reachability, summary: Summary, console: Console) -> None:
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows.add_column("from", overflow="fold")
    rows.add_column("reaches", justify="right")
    rows.add_column("stopped by cause", overflow="fold")
    failing = 0
    total = len(found.workers) - 1
    for group, row in zip(found.groups, found.matrix, strict=True):
        missed = 0
        causes: set[int] = set()
        for target, number in zip(found.groups, row, strict=True):
            if number >= 0 and found.verdicts[number].cause:
                missed += len(target) - (target is group)
                causes.update(summary.numbers(found.verdicts[number]))
        if not missed:
            continue
        failing += 1
        if failing <= _MOST_ROWS:
            name = group[0].name
            more = len(group) - 1
            rows.add_row(
                Text(f"{name} and {more} more" if more else name),
                f"{total - missed} of {total}",
                ", ".join(first(map(str, sorted(causes)), _MOST_SUBJECTS)),
            )
    console.print(rows)
    if failing > _MOST_ROWS:
        _say(f"and {failing - _MOST_ROWS} more rows.", console)


def _show_cause(group: CauseGroup, console: Console) -> None:
    pairs = "1 pair" if group.pairs == 1 else f"{group.pairs} pairs"
    heading = Table.grid(padding=(0, 1))
    heading.add_row(
        Text(f"{group.number:>2}", style="red" if group.stops else "yellow"),
        Text(f"{group.step.label}: {group.resource} {group.problem} ({pairs})"),
    )
    console.print(heading)
    for subject in first(group.subjects, _MOST_SUBJECTS):
        _say(f"     {subject}", console)
    _command(group.command, console)


def _show_fault(fault: Fault, console: Console) -> None:
    for line in str(fault).splitlines():
        console.print(Text(f"   {line}"), soft_wrap=True)


def _command(command: str, console: Console) -> None:
    """Print a command on one line, however long: it is there to be pasted."""
    if command:
        console.print(Text(f"     {command}", style="cyan"), soft_wrap=True)
