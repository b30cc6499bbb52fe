"""A verification as one self-contained HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from routes.errors import truncated
from routes.model import RouteTable, Subnet, Worker
from routes.report.summary import (
    AS_TIME,
    TONES,
    UNREACHED,
    UNREACHED_MEANS,
    Summary,
    tone,
)
from routes.text import visible
from routes.verify.checks import Checks, EndpointProfile
from routes.verify.reachability import Reachability
from routes.verify.route_status import RouteStatus
from routes.verify.snapshot import Snapshot
from routes.verify.trace import Hop, hops_of
from routes.verify.verification import CAVEAT, Verification

MAX_LINES: Final = 200
"""The maximum number of workers with a line each; of more, similar ones share one."""
_MAX_LINES: Final = 60
_MAX_ROUTES: Final = 200
_MAX_REFS: Final = 5
_BECAUSE: Final = {"blocked": "blocked by", "unknown": "unknown because of"}
_TONES: Final = {"reachable": "ok", "unknown": "unknown", "blocked": "blocked"}


class Line(NamedTuple):
    """One line of the matrix, as source and as target.

    Attributes:
        key: the line's part of a link to one of its cells.
        members: group numbers of the reachability and the number of workers in each;
            empty for a worker that could not be evaluated.
    """

    label: str
    key: str
    members: Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The result of one line's packets to another.

    Attributes:
        tone: self, ok, note, unknown or blocked.
        ratio: of the pairs that are not reachable, from 0 to 1.
        text: the letter of the cause, or the number of pairs that are not reachable.
        label: the same for screen readers, and on hover.
    """

    tone: str
    ratio: float
    text: str
    label: str


class Chip(NamedTuple):
    """A worker in the topology, or all workers of a subnet if there are many."""

    tone: str
    title: str
    detail: str


def render(verification: Verification) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("routes.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    summary = Summary(verification)
    reachability = verification.reachability
    lines = [*_lines(reachability), *_unevaluated(reachability)]
    is_grouped = len(reachability.workers) > MAX_LINES
    entries = verification.entries
    if len(entries) > _MAX_ROUTES:
        others = (e for e in entries if e.status is not RouteStatus.IN_PLACE)
        entries = tuple(others)[:_MAX_ROUTES]
    cells = [
        [_cell(reachability, summary, source, target) for target in lines]
        for source in lines
    ]
    topology = list(_topology(verification))
    has_traces = len(lines) > 1 and not is_grouped
    return environment.get_template("report.html.jinja").render(
        verification=verification,
        snapshot=verification.snapshot,
        summary=summary,
        entries=entries,
        hidden=len(verification.entries) - len(entries),
        lines=lines,
        is_grouped=is_grouped,
        cells=cells,
        tone=TONES[verification.outcome],
        tones={cell.tone for row in cells for cell in row},
        topology=topology,
        chip_tones={
            chip.tone
            for _, subnets in topology
            for _, chips in subnets
            for chip in chips
        },
        traces=_traces(verification, summary) if has_traces else None,
        caveat=CAVEAT,
        unreached=(UNREACHED, UNREACHED_MEANS),
        taken_at=verification.snapshot.taken_at.strftime(AS_TIME),
    )


def _lines(reachability: Reachability) -> list[Line]:
    groups = reachability.groups
    if len(reachability.workers) <= MAX_LINES:
        group_of = {
            worker.instance_id: number
            for number, group in enumerate(groups)
            for worker in group
        }
        names = Counter(worker.name for worker in reachability.workers)
        return [
            Line(
                worker.name,
                worker.name if names[worker.name] == 1 else worker.instance_id,
                [(group_of[worker.instance_id], 1)],
            )
            for worker in reachability.workers
        ]
    size = -(-len(groups) // _MAX_LINES)
    lines = []
    for start in range(0, len(groups), size):
        some = groups[start : start + size]
        label = some[0][0].name
        if more := sum(map(len, some)) - 1:
            label += f" and {more} more"
        members = [(start + number, len(group)) for number, group in enumerate(some)]
        lines.append(Line(label, "", members))
    return lines


def _unevaluated(reachability: Reachability) -> Iterator[Line]:
    """Yield a line for each worker that could not be evaluated, or one for all."""
    names = reachability.unevaluated
    if names and len(reachability.workers) + len(names) > MAX_LINES:
        names = (f"{len(names)} not evaluated",)
    for name in names:
        yield Line(name, "", ())


def _cell(
    reachability: Reachability, summary: Summary, source: Line, target: Line
) -> Cell:
    pairs: Counter[int] = Counter()
    for group, senders in source.members:
        row = reachability.matrix[group]
        for other, receivers in target.members:
            number = row[other]
            if number is not None:
                itself = source is target and group == other
                pairs[number] += senders * (receivers - itself)
    total = pairs.total()
    title = f"{source.label} to {target.label}"
    if source is not target and not (source.members and target.members):
        return Cell(tone="unknown", ratio=0, text="?", label=f"{title}: not evaluated")
    if not total:
        return Cell(tone="self", ratio=0, text="", label=f"{source.label} to itself")
    results = reachability.results
    failing = Counter(
        {n: count for n, count in pairs.items() if results[n].causes and count}
    )
    if not failing:
        has_note = any(results[n].notes for n in +pairs)
        return Cell(
            tone="note" if has_note else "ok",
            ratio=0,
            text="",
            label=f"{title}: reachable" + (", with a note" if has_note else ""),
        )
    result = results[failing.most_common(1)[0][0]]
    causes = summary.explain(result)
    refs = ", ".join(truncated((each.ref for each in causes), _MAX_REFS))
    reason = (
        f"{'the reply is ' if result.on_reply else ''}{_BECAUSE[result.outcome]} the"
        f" {causes[0].finding.check}, {refs}"
    )
    if total > 1:
        reason = f"{failing.total()} of {total} pairs are not reachable; most: {reason}"
    is_blocked = any(results[n].outcome == "blocked" for n in failing)
    return Cell(
        tone="blocked" if is_blocked else "unknown",
        ratio=failing.total() / total,
        text=causes[0].ref if total == 1 else str(failing.total()),
        label=f"{title}: {reason}",
    )


def _traces(verification: Verification, summary: Summary) -> dict[str, Any]:
    """Return every pair's trace; the page joins the segments of its two ends.

    `sent` and `received` have the numbers of `hops`, for each worker in the matrix's
    order, towards each endpoint profile.
    """
    workers = verification.reachability.workers
    checks = Checks(verification.snapshot, verification.traffic)
    profiles = Counter(map(EndpointProfile.of, workers))
    hops: dict[Hop, int] = {}

    def segments(worker: Worker, *, is_source: bool) -> list[list[int]]:
        """Number the hops towards each profile, none if no other worker has it."""
        own = EndpointProfile.of(worker)
        return [
            [
                hops.setdefault(hop, len(hops))
                for hop in hops_of(checks, worker, far, is_source=is_source)
            ]
            if profiles[far] > (far == own)
            else []
            for far in profiles
        ]

    return {
        "sent": [segments(worker, is_source=True) for worker in workers],
        "received": [segments(worker, is_source=False) for worker in workers],
        "profiles": [[*profiles].index(EndpointProfile.of(w)) for w in workers],
        "zones": [worker.availability_zone for worker in workers],
        "hops": [
            {
                "at": hop.version * 100 + hop.stage,
                "part": hop.part,
                "tone": tone(hop.finding),
                "mark": summary.mark(hop.finding),
                "check": hop.stage.check,
                "text": hop.text,
                "hint": hop.finding.hint if hop.finding else "",
                "command": hop.finding.command if hop.finding else "",
            }
            for hop in hops
        ],
    }


def _topology(
    verification: Verification,
) -> Iterator[tuple[RouteTable, list[tuple[Subnet, list[Chip]]]]]:
    """Yield each route table, the selected ones first, and the subnets that use it."""
    snapshot = verification.snapshot
    tones = _tones(verification.reachability)
    subnets = sorted(snapshot.subnets, key=lambda subnet: subnet.id)
    selected = snapshot.route_table_ids
    for table in sorted(snapshot.tables, key=lambda t: (t.id not in selected, t.id)):
        yield (
            table,
            [
                (subnet, _chips(snapshot, subnet.id, tones))
                for subnet in subnets
                if snapshot.table_of(subnet.id) == table
            ],
        )


def _tones(reachability: Reachability) -> dict[str, str]:
    """Return each worker's tone, note if its pairs have different results."""
    columns = zip(*reachability.matrix, strict=True)
    tones = {}
    for group, row, column in zip(
        reachability.groups, reachability.matrix, columns, strict=True
    ):
        outcomes = {
            _TONES[reachability.results[number].outcome]
            for number in (*row, *column)
            if number is not None
        } or {"ok"}
        tone = "note" if len(outcomes) > 1 else outcomes.pop()
        tones.update({worker.instance_id: tone for worker in group})
    return tones


def _chips(snapshot: Snapshot, subnet_id: str, tones: Mapping[str, str]) -> list[Chip]:
    workers = [
        worker
        for worker in snapshot.workers
        if worker.interface and worker.interface.subnet_id == subnet_id
    ]
    if len(snapshot.workers) > MAX_LINES and workers:
        counts = Counter(tones.get(worker.instance_id, "unknown") for worker in workers)
        worst = next(t for t in ("blocked", "unknown", "note", "ok") if counts[t])
        return [Chip(worst, f"{len(workers)} workers", f"{counts['blocked']} cut off")]
    return [
        Chip(
            tones.get(worker.instance_id, "unknown"),
            worker.name,
            ", ".join(map(str, worker.pod_cidrs)) or "no pod CIDR",
        )
        for worker in workers
    ]
