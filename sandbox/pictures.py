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
  --back: #fff; --fore: #1f2328; --faint: #656d76 }
@media (prefers-color-scheme: dark) {
  svg { --back: #0d1117; --fore: #e6edf3; --faint: #7d8590 } }
text { fill: var(--fore); white-space: pre }
.frame { fill: var(--back); stroke: var(--faint) }
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
    content = (
        f'<rect class="frame" x="1" y="1" width="718" height="{height - 2}" rx="8"/>\n'
        f'<svg y="4" width="720" height="{height - 8}"><g class="film">\n{text}'
        f'<rect class="cover" x="8" y="5" width="704" height="{cover}"/></g></svg>\n'
    )
    film = _moves("film", whole, [(at, min(0, _ROWS - row)) for at, row in rows])
    style = _STYLE + film + _moves("cover", whole, rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}"'
        f' width="720" height="{height}">\n<style>{style}</style>\n{content}</svg>\n'
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
