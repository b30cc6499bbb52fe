"""The pages of the documentation, parsed for tests.

A block of `sh` has the commands that a reader types; the block of `text` after it has
their output, with `...` for omitted parts. `<!-- stage: NAME -->` starts a new account
for the blocks after it; `<!-- then: NAME -->` is an event between two blocks.
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
    """An event, or one block of commands with their output.

    Attributes:
        event: its name, "" if there are commands.
        shown: their output, None if the page doesn't show it.
    """

    event: str = ""
    commands: str = ""
    code: int = 0
    shown: str | None = None


def stages(text: str) -> Iterator[list[Step]]:
    """Yield the steps of each stage; blocks before the first stage don't run."""
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
