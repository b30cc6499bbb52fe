"""The results of a benchmark: a page, the full table as CSV, and a chart as SVG."""

from __future__ import annotations

import csv
import math
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import psutil
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.contenders import APPLY, PLAN, Contender, Floor, Loop, Program, Terraform
from bench.measure import Measurement
from bench.watching import Watched

_HERE: Final = Path(__file__).resolve().parent
_MEBIBYTE: Final = 1 << 20
_COLUMNS: Final = (
    "workers",
    "latency_ms",
    "step",
    "contender",
    "provider",
    "median_s",
    "min_s",
    "max_s",
    "peak_mib",
    "runs",
    "calls",
    "calls_by_action",
)


class Case(NamedTuple):
    """One measured case; `latency` is milliseconds added to each call."""

    workers: int
    latency: int
    contender: str
    step: str


class Bar(NamedTuple):
    """One bar of the chart: a time in seconds, on a logarithmic axis."""

    label: str
    kind: str
    seconds: float

    @property
    def length(self) -> float:
        """The length in pixels: 120 for each power of ten above 0.1 s."""
        return 120 * (math.log10(self.seconds) + 1)


def render(name: str, **values: object) -> None:
    """Write a page of this folder from its template, with the date and the machine."""
    memory = psutil.virtual_memory().total / (1 << 30)
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - only figures of this benchmark
    )
    page = environment.get_template(f"{name}.jinja").render(
        date=datetime.now(tz=UTC).date(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()}"
        f" cores, {memory:.0f} GiB, Python {platform.python_version()}",
        **values,
    )
    (_HERE / name).write_text(page)


@dataclass(frozen=True)
class Results:
    """Every measurement of one benchmark.

    Attributes:
        absent: contenders that could not run, or not to the end, and why.
    """

    absent: Mapping[str, str]
    runs: dict[Case, list[Measurement]] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)

    def add(self, case: Case, contender: Contender, measured: Measurement) -> None:
        """Add one run of one step."""
        self.runs.setdefault(case, []).append(measured)
        self.providers[contender.name] = contender.provider
        self.loads.append(os.getloadavg()[0])

    def write(self) -> None:
        """Write RESULTS.md, results.csv and chart.svg."""
        with (_HERE / "results.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(self._rows())
        for template in ("RESULTS.md", "chart.svg"):
            render(
                template,
                loads=(min(self.loads), max(self.loads)),
                absent=self.absent,
                headlines=list(self._headlines()),
                watching=list(self._watching()),
                bars=list(self._bars()),
            )

    def _seconds(self, case: Case) -> float | None:
        runs = self.runs.get(case)
        return median(run.seconds for run in runs) if runs else None

    def _rows(self) -> Iterable[Sequence[object]]:
        """Yield the rows of the table, by size and latency."""
        for case, runs in sorted(self.runs.items(), key=lambda item: item[0][:2]):
            seconds = [run.seconds for run in runs]
            calls = Counter(runs[0].calls)
            yield (
                *(case.workers, case.latency, case.step, case.contender),
                self.providers[case.contender],
                *(f"{each(seconds):.2f}" for each in (median, min, max)),
                max(run.peak for run in runs) // _MEBIBYTE,
                len(runs),
                calls.total(),
                " ".join(f"{action}={count}" for action, count in calls.most_common()),
            )

    def _headlines(self) -> Iterable[Sequence[str]]:
        for workers, latency in sorted({case[:2] for case in self.runs}):
            program = Case(workers, latency, Program.name, PLAN)
            floor = program._replace(contender=Floor.name)
            preview = self._seconds(program)
            if preview is None:
                continue
            plan = self._seconds(program._replace(contender=Terraform.name))
            loop = self._seconds(program._replace(contender=Loop.name, step=APPLY))
            yield (
                str(workers),
                f"{latency} ms",
                f"{preview:.1f} s",
                self._lookup(program, floor),
                f"{plan / preview:.1f} x" if plan else "-",
                f"{loop / preview:.1f} x" if loop else "-",
                str(sum(self.runs[program][0].calls.values())),
            )

    def _lookup(self, program: Case, floor: Case) -> str:
        """Return what the lookup adds, compared within each round."""
        pairs = zip(self.runs[program], self.runs.get(floor, []), strict=False)
        added = [(mine.seconds / bare.seconds - 1) * 100 for mine, bare in pairs]
        if not added:
            return "-"
        return f"{median(added):+.0f} % ({min(added):+.0f} to {max(added):+.0f})"

    def _bars(self) -> Iterable[Bar]:
        """Yield the planning times without latency, for each size."""
        for workers in sorted({case.workers for case in self.runs}):
            for contender, step in (
                (Program.name, PLAN),
                (Terraform.name, PLAN),
                (Loop.name, APPLY),
            ):
                seconds = self._seconds(Case(workers, 0, contender, step))
                if seconds:
                    label = f"{workers} workers, {contender}"
                    yield Bar(label, contender.split()[0].lower(), seconds)

    def _watching(self) -> Iterable[Sequence[str]]:
        for each in self.watched:
            yield (
                str(each.workers),
                f"{each.first_poll:.1f} s",
                f"{median(each.delays):.1f} s",
                f"{min(each.delays):.1f}-{max(each.delays):.1f} s",
                str(each.calls),
                f"{each.resident // _MEBIBYTE} MiB",
            )
