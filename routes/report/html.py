"""A verification as one HTML file that needs nothing from anywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from routes.errors import first
from routes.model import RouteTable, Subnet, Worker
from routes.report.summary import (
    AS_TIME,
    BEYOND,
    BEYOND_MEANS,
    TONES,
    Summary,
    tone,
)
from routes.text import visible
from routes.verify.reachability import Reachability
from routes.verify.snapshot import Snapshot
from routes.verify.standing import Standing
from routes.verify.steps import Place, Steps
from routes.verify.verification import CAVEAT, Verification
from routes.verify.way import Hop, share

ONE_BY_ONE: Final = 200
"""The most workers with a line each; beyond, workers that are alike share one."""
_MOST_LINES: Final = 60
_MOST_ROUTES: Final = 200
_MOST_LETTERS: Final = 5
_BECAUSE: Final = {"stopped": "stopped by", "unknown": "unknown because of"}
_TONES: Final = {"reachable": "ok", "unknown": "unknown", "stopped": "stop"}


class Line(NamedTuple):
    """One line of the matrix, as source and as target.

    Attributes:
        key: what a link to one of its cells says.
        members: group numbers of the reachability, and how many workers of each; none
            of a worker that could not be judged.
    """

    label: str
    key: str
    members: Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What the matrix says of one line's packets to another.

    Attributes:
        tone: self, ok, note, unknown or stop.
        share: of the pairs that are not reachable, from 0 to 1.
        text: the letter of the cause, or the number of the pairs that are not.
        label: the same for those who listen, and on hover.
    """

    tone: str
    share: float
    text: str
    label: str


class Chip(NamedTuple):
    """A worker in the topology, or all of a subnet's where they are many."""

    tone: str
    title: str
    detail: str


def render(found: Verification) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("routes.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    summary = Summary(found)
    lines = [*_lines(found.reachability), *_unjudged(found.reachability)]
    is_grouped = len(found.reachability.workers) > ONE_BY_ONE
    concerning = [
        route for route in found.routes if route.standing is not Standing.IN_PLACE
    ]
    few = len(found.routes) <= _MOST_ROUTES
    routes = found.routes if few else concerning[:_MOST_ROUTES]
    cells = [
        [_cell(found.reachability, summary, source, target) for target in lines]
        for source in lines
    ]
    topology = list(_topology(found))
    return environment.get_template("report.html.jinja").render(
        found=found,
        snapshot=found.snapshot,
        summary=summary,
        routes=routes,
        hidden=len(found.routes) - len(routes),
        lines=lines,
        is_grouped=is_grouped,
        cells=cells,
        tone=TONES[found.outcome],
        tones={cell.tone for row in cells for cell in row},
        topology=topology,
        chip_tones={
            chip.tone
            for _, subnets in topology
            for _, chips in subnets
            for chip in chips
        },
        ways=_ways(found, summary) if len(lines) > 1 and not is_grouped else None,
        caveat=CAVEAT,
        beyond=(BEYOND, BEYOND_MEANS),
        taken_at=found.snapshot.taken_at.strftime(AS_TIME),
    )


def _lines(found: Reachability) -> list[Line]:
    if len(found.workers) <= ONE_BY_ONE:
        group_of = {
            worker.instance_id: number
            for number, group in enumerate(found.groups)
            for worker in group
        }
        names = Counter(worker.name for worker in found.workers)
        return [
            Line(
                worker.name,
                worker.name if names[worker.name] == 1 else worker.instance_id,
                [(group_of[worker.instance_id], 1)],
            )
            for worker in found.workers
        ]
    step = -(-len(found.groups) // _MOST_LINES)
    lines = []
    for start in range(0, len(found.groups), step):
        groups = found.groups[start : start + step]
        count = sum(map(len, groups))
        lines.append(
            Line(
                f"{groups[0][0].name} and {count - 1} more"
                if count > 1
                else groups[0][0].name,
                "",
                [(start + number, len(group)) for number, group in enumerate(groups)],
            )
        )
    return lines


def _unjudged(found: Reachability) -> Iterator[Line]:
    """Yield a line for each worker that could not be judged, or one for all."""
    names = found.undecided
    if names and len(found.workers) + len(names) > ONE_BY_ONE:
        names = (f"{len(names)} not judged",)
    for name in names:
        yield Line(name, "", ())


def _cell(found: Reachability, summary: Summary, source: Line, target: Line) -> Cell:
    pairs: Counter[int] = Counter()
    for group, senders in source.members:
        row = found.matrix[group]
        for other, receivers in target.members:
            itself = source is target and group == other
            if row[other] >= 0:
                pairs[row[other]] += senders * (receivers - itself)
    total = pairs.total()
    where = f"{source.label} to {target.label}"
    if source is not target and not (source.members and target.members):
        return Cell(tone="unknown", share=0, text="?", label=f"{where}: not judged")
    if not total:
        return Cell(tone="self", share=0, text="", label=f"{source.label} to itself")
    failing = Counter(
        {n: count for n, count in pairs.items() if found.verdicts[n].causes and count}
    )
    if not failing:
        noted = any(found.verdicts[n].notes for n in +pairs)
        return Cell(
            tone="note" if noted else "ok",
            share=0,
            text="",
            label=f"{where}: reachable" + (", with a note" if noted else ""),
        )
    verdict = found.verdicts[failing.most_common(1)[0][0]]
    causes = summary.explain(verdict)
    letters = ", ".join(first((each.letter for each in causes), _MOST_LETTERS))
    reason = (
        f"{'the reply is ' if verdict.on_reply else ''}{_BECAUSE[verdict.outcome]} the"
        f" {causes[0].cause.step.label}, {letters}"
    )
    if total > 1:
        reason = f"{failing.total()} of {total} pairs are not well; most are {reason}"
    is_known = any(found.verdicts[n].outcome == "stopped" for n in failing)
    return Cell(
        tone="stop" if is_known else "unknown",
        share=failing.total() / total,
        text=causes[0].letter if total == 1 else str(failing.total()),
        label=f"{where}: {reason}",
    )


def _ways(found: Verification, summary: Summary) -> dict[str, Any]:
    """Return every pair's way, for the page to put together from its two ends' shares.

    Its `hops` are named by their numbers in `sent` and `received`: of each worker, in
    the matrix's order, towards each place.
    """
    workers = found.reachability.workers
    steps = Steps(found.snapshot, found.question)
    places = Counter(map(Place.of, workers))
    hops: dict[Hop, int] = {}

    def numbers(worker: Worker, *, is_source: bool) -> list[list[int]]:
        """Number the hops towards each place, none where the worker itself is alone."""
        return [
            [
                hops.setdefault(hop, len(hops))
                for hop in share(steps, worker, there, is_source=is_source)
            ]
            if places[there] > (there == Place.of(worker))
            else []
            for there in places
        ]

    return {
        "sent": [numbers(worker, is_source=True) for worker in workers],
        "received": [numbers(worker, is_source=False) for worker in workers],
        "places": [[*places].index(Place.of(worker)) for worker in workers],
        "zones": [worker.availability_zone for worker in workers],
        "hops": [
            {
                "at": hop.version * 100 + hop.position,
                "part": hop.part,
                "tone": tone(hop.cause),
                "mark": summary.mark(hop.cause),
                "step": hop.position.step.label,
                "text": hop.text,
                "advice": hop.cause.remedy if hop.cause else "",
                "remedy": hop.cause.command if hop.cause else "",
            }
            for hop in hops
        ],
    }


def _topology(
    found: Verification,
) -> Iterator[tuple[RouteTable, list[tuple[Subnet, list[Chip]]]]]:
    """Yield each route table, those of the stack first, and the subnets that use it."""
    snapshot = found.snapshot
    tones = _tones(found.reachability)
    subnets = sorted(snapshot.subnets, key=lambda subnet: subnet.id)
    ours = snapshot.route_table_ids
    for table in sorted(snapshot.tables, key=lambda one: (one.id not in ours, one.id)):
        yield (
            table,
            [
                (subnet, _chips(snapshot, subnet.id, tones))
                for subnet in subnets
                if snapshot.table_of(subnet.id) == table
            ],
        )


def _tones(found: Reachability) -> dict[str, str]:
    """Return each judged worker's tone, note if its pairs do not fare alike."""
    columns = zip(*found.matrix, strict=True)
    tones = {}
    for group, row, column in zip(found.groups, found.matrix, columns, strict=True):
        numbers = {*row, *column} - {-1}
        fare = {_TONES[found.verdicts[number].outcome] for number in numbers} or {"ok"}
        tone = "note" if len(fare) > 1 else fare.pop()
        tones.update({worker.instance_id: tone for worker in group})
    return tones


def _chips(snapshot: Snapshot, subnet_id: str, tones: Mapping[str, str]) -> list[Chip]:
    workers = [
        worker
        for worker in snapshot.workers
        if worker.interface and worker.interface.subnet_id == subnet_id
    ]
    if len(snapshot.workers) > ONE_BY_ONE and workers:
        held = Counter(tones.get(worker.instance_id, "unknown") for worker in workers)
        tone = next(tone for tone in ("stop", "unknown", "note", "ok") if held[tone])
        return [Chip(tone, f"{len(workers)} workers", f"{held['stop']} cut off")]
    return [
        Chip(
            tones.get(worker.instance_id, "unknown"),
            worker.name,
            ", ".join(map(str, worker.pod_cidrs)) or "no pod CIDR",
        )
        for worker in workers
    ]
