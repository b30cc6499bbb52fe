"""Text of others, such as a Name tag, as it may be shown."""

from __future__ import annotations

import shlex
import unicodedata
from typing import Final

_HIDDEN: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control and format characters, halves of surrogate pairs, and separators of lines
and paragraphs (Unicode, "General Category Values"). They can move the cursor, forge
lines, and turn the direction of what follows."""


def visible(text: str) -> str:
    r"""Return the text with each character that nobody sees escaped: \n, \u202e."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(each) if unicodedata.category(each) in _HIDDEN else each
        for each in text
    )


def quoted(word: str) -> str:
    r"""Return a word as a shell takes it, on one line: '...', or $'...\n...'.

    The second form is POSIX's of 2024, which bash, zsh and ksh have read for long.
    """
    if visible(word) == word:
        return shlex.quote(word)
    inner = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{visible(inner)}'"


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x80:  # noqa: PLR2004 - ASCII's
        return character.encode("unicode_escape").decode("ascii")
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004
