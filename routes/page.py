"""A verification as one HTML file that needs nothing from anywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from routes.reachability import Reachability
from routes.snapshot import Snapshot
from routes.summary import Summary, summarize
from routes.verify import CAVEAT, Standing, Verification

ONE_BY_ONE: Final = 200
"""The most workers with a line each; beyond, workers that are alike share one."""
_MOST_LINES: Final = 60
_MOST_ROUTES: Final = 200
_COLUMNS: Final = 6
_CHIP: Final = (146, 44)
"""Width and height of a worker in the topology, with the gap beside it."""
_MARGIN: Final = 14
_TITLE: Final = 26


class Line(NamedTuple):
    """One line of the matrix, as source and as target.

    Attributes:
        members: group numbers of the reachability, and how many workers of each.
    """

    label: str
    members: Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What the matrix says of one line's packets to another.

    Attributes:
        tone: self, ok, note or stop.
        share: of the pairs that are stopped, from 0 to 1.
        text: the number of the cause, or of the pairs that are stopped.
        label: the same for those who listen, and on hover.
    """

    tone: str
    share: float
    text: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of the topology, with up to two lines of text."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    title: str
    detail: str = ""


def render(found: Verification) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("routes"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summary = summarize(found)
    lines = _lines(found.reachability)
    boxes, width, height = _topology(found)
    concerning = [
        route for route in found.routes if route.standing is not Standing.IN_PLACE
    ]
    few = len(found.routes) <= _MOST_ROUTES
    routes = found.routes if few else concerning[:_MOST_ROUTES]
    return environment.get_template("report.html.jinja").render(
        found=found,
        snapshot=found.snapshot,
        summary=summary,
        routes=routes,
        hidden=len(found.routes) - len(routes),
        total=sum(found.reachability.pairs),
        lines=lines,
        is_grouped=len(found.reachability.workers) > ONE_BY_ONE,
        cells=_cells(found.reachability, summary, lines),
        boxes=boxes,
        width=width,
        height=height,
        caveat=CAVEAT,
    )


def _lines(found: Reachability) -> list[Line]:
    if len(found.workers) <= ONE_BY_ONE:
        group_of = {
            worker.instance_id: number
            for number, group in enumerate(found.groups)
            for worker in group
        }
        return [
            Line(worker.name, [(group_of[worker.instance_id], 1)])
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
                [(start + number, len(group)) for number, group in enumerate(groups)],
            )
        )
    return lines


def _cells(
    found: Reachability, summary: Summary, lines: Sequence[Line]
) -> list[list[Cell]]:
    return [
        [_cell(found, summary, source, target) for target in lines] for source in lines
    ]


def _cell(found: Reachability, summary: Summary, source: Line, target: Line) -> Cell:
    pairs: Counter[int] = Counter()
    for group, senders in source.members:
        row = found.matrix[group]
        for other, receivers in target.members:
            itself = source is target and group == other
            if row[other] >= 0:
                pairs[row[other]] += senders * (receivers - itself)
    total = pairs.total()
    if not total:
        return Cell(tone="self", share=0, text="", label=f"{source.label} to itself")
    where = f"{source.label} to {target.label}"
    stopped = Counter(
        {n: count for n, count in pairs.items() if found.verdicts[n].cause and count}
    )
    if not stopped:
        noted = any(found.verdicts[n].notes for n in +pairs)
        return Cell(
            tone="note" if noted else "ok",
            share=0,
            text="",
            label=f"{where}: reachable" + (", with a note" if noted else ""),
        )
    number, _ = stopped.most_common(1)[0]
    verdict = found.verdicts[number]
    group_number = summary.numbers(verdict)[0]
    cause = summary.groups[group_number - 1]
    reason = (
        f"{'the reply is ' if verdict.on_reply else ''}stopped by the"
        f" {cause.step.label}: {cause.resource} {cause.problem} (cause {group_number})"
    )
    if total > 1:
        reason = f"{stopped.total()} of {total} pairs fail; most are {reason}"
    return Cell(
        tone="stop",
        share=stopped.total() / total,
        text=str(group_number if total == 1 else stopped.total()),
        label=f"{where}: {reason}",
    )


def _topology(found: Verification) -> tuple[list[Box], int, int]:
    """Lay out the VPC: tables hold the subnets that use them, subnets hold workers."""
    snapshot = found.snapshot
    tones = _tones(found.reachability)
    inner = _COLUMNS * _CHIP[0] + _MARGIN
    boxes: list[Box] = []
    y = _MARGIN + _TITLE
    for table in sorted(snapshot.tables, key=lambda table: table.id):
        top = y
        y += _TITLE
        for subnet in sorted(snapshot.subnets, key=lambda subnet: subnet.id):
            if snapshot.table_of(subnet.id) != table:
                continue
            chips = _chips(snapshot, subnet.id, tones)
            rows = max(1, -(-len(chips) // _COLUMNS))
            height = _TITLE + rows * _CHIP[1] + _MARGIN // 2
            boxes.append(
                Box(
                    kind="subnet",
                    x=3 * _MARGIN,
                    y=y,
                    width=inner,
                    height=height,
                    title=f"{subnet.id} {subnet.name}".rstrip(),
                    detail=f"{', '.join(map(str, subnet.cidrs))}"
                    f" {subnet.availability_zone}",
                )
            )
            boxes += [
                Box(
                    kind=kind,
                    x=3 * _MARGIN + _MARGIN // 2 + index % _COLUMNS * _CHIP[0],
                    y=y + _TITLE + index // _COLUMNS * _CHIP[1],
                    width=_CHIP[0] - 6,
                    height=_CHIP[1] - 6,
                    title=title,
                    detail=detail,
                )
                for index, (kind, title, detail) in enumerate(chips)
            ]
            y += height + _MARGIN
        served = table.id in snapshot.route_table_ids
        boxes.insert(
            0,
            Box(
                kind="table" if served else "table other",
                x=2 * _MARGIN,
                y=top,
                width=inner + 2 * _MARGIN,
                height=y - top,
                title=f"{table.id} {table.name}".rstrip(),
                detail=", ".join(
                    ["main"] * table.main + ["not among routeTables"] * (not served)
                ),
            ),
        )
        y += _MARGIN
    width = inner + 6 * _MARGIN
    vpc = Box(
        kind="vpc",
        x=_MARGIN,
        y=_MARGIN,
        width=width - 2 * _MARGIN,
        height=y - _MARGIN,
        title=snapshot.vpc.id,
        detail=", ".join(map(str, snapshot.vpc.cidrs)),
    )
    return [vpc, *boxes], width, y + _MARGIN


def _tones(found: Reachability) -> dict[str, str]:
    """Return each worker's tone: ok, note if some of its pairs fail, stop if all do."""
    stops = [bool(verdict.cause) for verdict in found.verdicts]
    columns = zip(*found.matrix, strict=True)
    tones = {}
    for group, row, column in zip(found.groups, found.matrix, columns, strict=True):
        fails = {stops[number] for number in {*row, *column} if number >= 0}
        tone = "note" if len(fails) > 1 else "stop" if True in fails else "ok"
        tones.update({worker.instance_id: tone for worker in group})
    return tones


def _chips(
    snapshot: Snapshot, subnet_id: str, tones: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Return kind, title and detail of what a subnet shows of its workers."""
    workers = [
        worker
        for worker in snapshot.workers
        if worker.interface and worker.interface.subnet_id == subnet_id
    ]
    if len(snapshot.workers) > ONE_BY_ONE and workers:
        held = Counter(tones.get(worker.instance_id, "stop") for worker in workers)
        tone = next(tone for tone in ("stop", "note", "ok") if held[tone])
        return [
            (f"worker {tone}", f"{len(workers)} workers", f"{held['stop']} cut off")
        ]
    return [
        (
            f"worker {tones.get(worker.instance_id, 'stop')}",
            worker.name,
            ", ".join(map(str, worker.pod_cidrs)) or "no pod CIDR",
        )
        for worker in workers
    ]
