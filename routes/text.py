"""Make untrusted text, such as a Name tag, safe to show."""

from __future__ import annotations

import shlex
import unicodedata
from typing import Final

_HIDDEN: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control and format characters, surrogates, and line and paragraph separators
(Unicode, "General Category Values"). They can move the cursor, forge lines and change
the text direction."""


def visible(text: str) -> str:
    r"""Escape control, format and separator characters: \n, \u202e."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(each) if unicodedata.category(each) in _HIDDEN else each
        for each in text
    )


def quoted(word: str) -> str:
    r"""Quote a word for a shell, on one line: '...', or $'...\n...'.

    The second form is in POSIX 2024; bash, zsh and ksh have it.
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
