"""Make the README's pictures from the running program: `make pictures`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from html import escape
from itertools import accumulate
from pathlib import Path
from typing import Final

from sandbox import TOP, faults, lab
from sandbox.ec2.client import Sandbox
from sandbox.pulumi import engine
from sandbox.workspace import Workspace

FOLDER: Final = TOP / "docs" / "pictures"
STAMP: Final = FOLDER / "inputs.sha256"
_INPUTS: Final = (
    *(f"sandbox/{name}.py" for name in ("__main__", "faults", "lab", "pictures")),
    "sandbox/netns/ping.py",
    "routes/report/*.py",
    "routes/report/templates/*",
)
"""The sources of the pictures."""
_STYLE: Final = """
svg { font: 14px ui-monospace, Menlo, Consolas, monospace; color-scheme: light dark;
  --back: #fff; --fore: #1f2328; --faint: #656d76; --good: #1a7f37; --bad: #cf222e }
@media (prefers-color-scheme: dark) {
  svg { --back: #0d1117; --fore: #e6edf3; --faint: #7d8590; --good: #3fb950;
    --bad: #f85149 } }
text { fill: var(--fore); white-space: pre }
.box { fill: var(--back); stroke: var(--faint) }
.good { fill: var(--good) } .bad { fill: var(--bad) } .faint { fill: var(--faint) }
path { fill: none; stroke-width: 2 }
.goodpath { stroke: var(--good) } .badpath { stroke: var(--bad) }
.typed { font-weight: bold } .cover { fill: var(--back) }
@media (prefers-reduced-motion) { svg .film, svg .cover { animation: none } }
"""
_ROWS: Final = 26
_ROW: Final = 18
"""Pixels."""
_LONGEST_WAIT: Final = 1.5
_READING: Final = 0.15
_LAST: Final = 5.0
"""Seconds: the most for a wait in the demo, added to each line, and at the end."""


def main() -> None:
    """Make every picture, and record the digest of their sources."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "idea.svg").write_text(idea())
    (FOLDER / "demo.svg").write_text(animation([*recorded()]))
    take_screenshot(FOLDER / "report.png")
    STAMP.write_text(f"{inputs()}\n")


def inputs() -> str:
    """Return the digest of the sources of the pictures."""
    files = sorted(file for pattern in _INPUTS for file in TOP.glob(pattern))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def recorded() -> Iterator[tuple[float, str]]:
    """Run the demo; yield each line, and the seconds since the last one."""
    last = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "demo"], stdout=subprocess.PIPE, text=True
    ) as demo:
        for line in demo.stdout or ():
            yield time.monotonic() - last, line.rstrip()
            last = time.monotonic()
    if demo.returncode:
        sys.exit("The demo failed.")


def animation(lines: list[tuple[float, str]]) -> str:
    """Return an animated terminal that prints and scrolls the lines at their times.

    Long waits are shortened, and short ones lengthened for the reader. A cover moves
    down over the text, and the text up.
    """
    moments = [*accumulate(min(s, _LONGEST_WAIT) + _READING for s, _ in lines)]
    whole = moments[-1] + _LAST
    rows = [(100 * at / whole, row) for row, at in enumerate(moments, 1)]
    text = "".join(
        f'<text class="{"typed" if line.startswith("$") else ""}" x="14"'
        f' y="{_ROW * row}">{escape(line)}</text>\n'
        for row, (_, line) in enumerate(lines, 1)
        if line
    )
    height, cover = _ROW * (_ROWS + 1), _ROW * (len(lines) + 1)
    return _svg(
        720,
        height,
        f'<rect class="box" x="1" y="1" width="718" height="{height - 2}" rx="8"/>\n'
        f'<svg y="4" width="720" height="{height - 8}"><g class="film">\n{text}'
        f'<rect class="cover" x="8" y="5" width="704" height="{cover}"/></g></svg>\n',
        _moves("film", whole, [(at, min(0, _ROWS - row)) for at, row in rows])
        + _moves("cover", whole, rows),
    )


def _moves(name: str, seconds: float, rows: list[tuple[float, int]]) -> str:
    """Move a class of elements by whole rows, at percentages of the time."""
    place = [f"transform: translateY({_ROW * row}px)" for _, row in rows]
    frames = "\n".join(
        f"{at:.2f}% {{ {there} }}" for (at, _), there in zip(rows, place, strict=True)
    )
    return (
        f".{name} {{ {place[-1]};"
        f" animation: {name} {seconds:.1f}s step-end infinite }}\n"
        f"@keyframes {name} {{\n0% {{ transform: none }}\n{frames}\n}}\n"
    )


def idea() -> str:
    """Draw the purpose of the program: the first workers, before and after."""
    return _svg(
        800, 300, _panel(0, "before", routed=False) + _panel(400, "after", routed=True)
    )


def _panel(left: int, title: str, *, routed: bool) -> str:
    rows = [("10.0.0.0/16", "local", "faint")]
    if routed:
        rows += [(lab.pod_cidr(i), f"worker-{i}", "good") for i in range(2)]
    table = "".join(
        f'<text class="{kind}" x="{left + 97}" y="{84 + 20 * row}">'
        f"{destination:<15}{target}</text>\n"
        for row, (destination, target, kind) in enumerate(rows)
    )
    workers = "".join(
        f'<rect class="box" x="{x}" y="185" width="160" height="95" rx="6"/>\n'
        f'<text x="{x + 12}" y="205">worker-{index}</text>\n'
        f'<rect class="box" x="{x + 15}" y="217" width="130" height="50" rx="6"/>\n'
        f'<text x="{x + 25}" y="238">pod</text>\n'
        f'<text class="faint" x="{x + 25}" y="257">10.200.{index}.5</text>\n'
        for index, x in enumerate((left + 25, left + 215))
    )
    if routed:
        kind, result = "good", "delivered"
        path = f"M{left + 150} 217 V150 H{left + 340} V214 m-6 -8 l6 8 l6 -8"
    else:
        kind, result = "bad", f"no route to {lab.pod_cidr(1)}"
        path = f"M{left + 150} 217 V150 H{left + 240} m-7 -7 l14 14 m0 -14 l-14 14"
    return (
        f'<rect class="box" x="{left + 5}" y="30" width="390" height="262" rx="8"/>\n'
        f'<text class="typed" x="{left + 10}" y="20">{title}</text>\n'
        f'<text class="faint" x="{left + 20}" y="55">VPC</text>\n'
        f'<rect class="box" x="{left + 85}" y="42" width="235" height="94" rx="6"/>\n'
        f'<text x="{left + 97}" y="62">route table</text>\n'
        f"{table}{workers}"
        f'<path class="{kind}path" d="{path}"/>\n'
        f'<text class="{kind}" x="{left + 162}" y="173">{result}</text>\n'
    )


def _svg(width: int, height: int, content: str, style: str = "") -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}">\n<style>{_STYLE}{style}</style>\n'
        f"{content}</svg>\n"
    )


def take_screenshot(file: Path) -> None:
    """Delete a route in a sandbox, and take a picture of the report with Chromium."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as aws:
        ec2 = aws.client("ec2")
        created = lab.create_spread_lab(ec2)
        workspace = Workspace.create(Path(folder), engine.ensure(), aws.environment)
        for line in ("pulumi stack init dev", "pulumi up --yes --skip-preview"):
            workspace.run(*line.split())
        faults.inject(ec2, created, "route")
        page = workspace.path / "report.html"
        command = "python -m routes verify --stack dev --output html"
        # A link to the cell would scroll to it, and leave the picture's top empty.
        choose = (
            "<script>addEventListener('load', () => setTimeout(() =>"
            " choose(document.getElementById('worker-0/worker-1'))))</script>"
        )
        page.write_text(workspace.run(*command.split()).stdout + choose)
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--hide-scrollbars"),
                *("--window-size=1000,860", f"--screenshot={file}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main()
