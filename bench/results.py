"""What was measured, as the tables of bench/RESULTS.md."""

from __future__ import annotations

import io
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
from rich import box
from rich.console import Console
from rich.table import Table

from bench.contenders import MAKE, PLAN, Contender, Floor, Loop, Program, Terraform
from bench.measure import Measurement
from bench.watching import Watched

_MEBIBYTE: Final = 1 << 20


class Case(NamedTuple):
    """Where a step was measured; `latency` is milliseconds added to each call."""

    workers: int
    latency: int
    contender: str
    step: str


@dataclass(frozen=True)
class Results:
    """Every measurement of one run.

    Attributes:
        absent: contenders that could not run, at all or to the end, and why.
    """

    absent: Mapping[str, str]
    runs: dict[Case, list[Measurement]] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)

    def add(self, case: Case, contender: Contender, measured: Measurement) -> None:
        """Keep one run of one step."""
        self.runs.setdefault(case, []).append(measured)
        self.providers[contender.name] = contender.provider
        self.loads.append(os.getloadavg()[0])

    def seconds(self, case: Case) -> float | None:
        """Return the median, None where the step was not measured."""
        runs = self.runs.get(case)
        return median(run.seconds for run in runs) if runs else None

    def markdown(self) -> str:
        """Return the page."""
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent),
            undefined=StrictUndefined,
            trim_blocks=True,
            autoescape=False,  # noqa: S701 - Markdown of our own figures
        )
        return environment.get_template("RESULTS.md.jinja").render(
            date=datetime.now(tz=UTC).date(),
            machine=_machine(),
            loads=(min(self.loads), max(self.loads)),
            absent=self.absent,
            providers=self.providers,
            headlines=_markdown(_HEADLINES, self._headlines()),
            times=_markdown(_TIMES, self._times()),
            calls=_markdown(_CALLS, self._calls()),
            watching=_markdown(_WATCHING, self._watching()),
        )

    def _sorted(self) -> Iterable[tuple[Case, list[Measurement]]]:
        """Return the runs by size and latency, and then as they were made."""
        return sorted(self.runs.items(), key=lambda item: item[0][:2])

    def _headlines(self) -> Iterable[Sequence[str]]:
        for workers, latency in sorted({case[:2] for case in self.runs}):

            def of(contender: type[Contender], step: str) -> Case:
                return Case(workers, latency, contender.name, step)  # noqa: B023

            preview = self.seconds(of(Program, PLAN))
            if preview is None:
                continue
            plan = self.seconds(of(Terraform, PLAN))
            loop = self.seconds(of(Loop, MAKE))
            yield (
                str(workers),
                f"{latency} ms",
                self._lookup(of(Program, PLAN), of(Floor, PLAN)),
                f"{preview:.1f} s",
                f"{plan / preview:.1f} x" if plan else "-",
                f"{loop / preview:.1f} x" if loop else "-",
                str(sum(self.runs[of(Program, PLAN)][0].calls.values())),
            )

    def _lookup(self, program: Case, floor: Case) -> str:
        """Return what the lookup adds, paired by round: both ran side by side."""
        pairs = zip(self.runs[program], self.runs.get(floor, []), strict=False)
        shares = [(mine.seconds / bare.seconds - 1) * 100 for mine, bare in pairs]
        if not shares:
            return "-"
        return f"{median(shares):+.0f} % ({min(shares):+.0f} to {max(shares):+.0f})"

    def _times(self) -> Iterable[Sequence[str]]:
        for case, runs in self._sorted():
            times = [run.seconds for run in runs]
            ours = self.seconds(case._replace(contender=Program.name))
            yield (
                str(case.workers),
                f"{case.latency} ms",
                case.step,
                case.contender,
                self.providers[case.contender],
                f"{median(times):.2f}",
                f"{min(times):.2f}-{max(times):.2f}",
                f"{median(times) / ours:.2f}" if ours else "-",
                str(max(run.peak for run in runs) // _MEBIBYTE),
                str(len(runs)),
            )

    def _calls(self) -> Iterable[Sequence[str]]:
        seen: dict[tuple[int, str, str], Mapping[str, int]] = {}
        for case, runs in self._sorted():
            seen.setdefault((case.workers, case.step, case.contender), runs[0].calls)
        for (workers, step, contender), calls in seen.items():
            named = Counter(calls).most_common()
            yield (
                str(workers),
                step,
                contender,
                str(sum(calls.values())),
                ", ".join(f"{count} {action}" for action, count in named),
            )

    def _watching(self) -> Iterable[Sequence[str]]:
        for each in self.watched:
            yield (
                str(each.workers),
                f"{each.first_look:.1f} s",
                f"{median(each.delays):.1f} s",
                f"{min(each.delays):.1f}-{max(each.delays):.1f} s",
                str(each.calls),
                str(each.resident // _MEBIBYTE),
            )


_HEADLINES: Final = (
    "workers",
    "latency",
    "lookup adds to the floor",
    "preview",
    "terraform plan",
    "shell loop",
    "calls",
)
_TIMES: Final = (
    "workers",
    "latency",
    "step",
    "contender",
    "provider",
    "seconds",
    "spread",
    "ratio",
    "MiB",
    "runs",
)
_WATCHING: Final = (
    "workers",
    "start to first look",
    "RunInstances to active route",
    "spread",
    "EC2 calls a minute",
    "MiB",
)
_CALLS: Final = ("workers", "step", "contender", "calls", "by action")


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    table = Table(box=box.MARKDOWN)
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    page = io.StringIO()
    Console(file=page, width=1000, color_system=None).print(table)
    return "\n".join(line.strip() for line in page.getvalue().strip().splitlines())


def _machine() -> str:
    memory = psutil.virtual_memory().total / (1 << 30)
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" {memory:.0f} GiB, Python {platform.python_version()}"
    )
