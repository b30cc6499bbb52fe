"""The pages of the documentation, as tests read them.

A block of `sh` is what a reader types, and the block of `text` after it what that
prints, with `...` for what is left out. `<!-- stage: NAME -->` begins a new account for
the blocks after it, and `<!-- then: NAME -->` says what happens to it between two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

BLOCK: Final = re.compile(
    r"^```(?P<kind>\w*)\n(?P<block>.*?)^```$", re.MULTILINE | re.DOTALL
)

_PART: Final = re.compile(
    rf"^<!-- (?P<word>stage|then): (?P<event>[^>]+) -->$|{BLOCK.pattern}", BLOCK.flags
)
_EXIT: Final = re.compile(r"# exits with (\d+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that happens, or one block of commands and what comes of it.

    Attributes:
        event: what happens; empty where there are commands.
        shown: what they print, None where the page does not say.
    """

    event: str = ""
    commands: str = ""
    code: int = 0
    shown: str | None = None


def stages(text: str) -> Iterator[list[Step]]:
    """Yield the steps from each stage to the next; nothing runs before the first."""
    steps: list[Step] = []
    for part in _PART.finditer(text):
        if part["word"] == "stage" and steps:
            yield steps
            steps = []
        if part["word"]:
            steps.append(Step(event=part["event"]))
        elif steps and part["kind"] == "sh":
            code = _EXIT.search(part["block"])
            steps.append(Step(commands=part["block"], code=int(code[1]) if code else 0))
        elif steps and part["kind"] == "text":
            steps[-1] = replace(steps[-1], shown=part["block"])
    if steps:
        yield steps
