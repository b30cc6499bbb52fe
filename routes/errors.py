"""The errors an operator reads: where, what was expected, what was found, what to do.

Nothing here, and no message built with it, holds user data.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from routes.text import visible

_WIDTH = 76
"""Columns of one line, so that it fits a terminal of 80 behind Pulumi's indent."""
_MARK = "warning: "
"""What Pulumi puts before the first line, at its longest."""


class Severity(StrEnum):
    """How much a finding matters."""

    FAULT = "fault"
    """It stops an update, or a verification from being well."""
    WARNING = "warning"
    """Nothing is stopped, and pods may not be able to talk."""
    NOTE = "note"
    """It deserves a look."""


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """One thing that is wrong, or that deserves a look."""

    where: str
    """A worker, a route table, a key of the configuration."""
    problem: str
    """Prose that completes "where: ..."."""
    rows: tuple[str, ...] = ()
    """What belongs to the problem, a line each, shown as it is."""
    remedy: str = ""
    """What to do, in prose; the command follows it."""
    command: str = ""
    """A command to paste, shown as it is."""
    severity: Severity = Severity.FAULT

    def __post_init__(self) -> None:
        """Keep whatever AWS or a configuration says on the line that it is shown on."""
        for name in ("where", "problem", "remedy"):
            object.__setattr__(self, name, visible(getattr(self, name)))
        object.__setattr__(self, "rows", tuple(map(visible, self.rows)))

    def __str__(self) -> str:
        lines = _wrap(f"{self.where}: {self.problem}", first=" " * len(_MARK))
        lines[0] = lines[0].lstrip()
        lines += [f"  {row}" for row in self.rows]
        if self.remedy:
            lines += _wrap(self.remedy, first="  ")
        if self.command:
            lines.append(f"  {self.command}")
        return "\n".join(lines)


class RoutesError(Exception):
    """A mistake or a failure that the operator can mend; never a bug of ours."""


class FaultsError(RoutesError):
    """Every fault of one step, sorted, as one error."""

    def __init__(self, headline: str, faults: Iterable[Finding]) -> None:
        self.headline = headline
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join([headline, *map(str, self.faults)]))

    def __reduce__(self) -> tuple[type[FaultsError], tuple[str, tuple[Finding, ...]]]:
        return type(self), (self.headline, self.faults)


class SettingsError(FaultsError):
    """The stack's configuration is not usable."""


class PlanError(FaultsError):
    """The routes cannot all be declared, so none is."""


class LookupFailedError(RoutesError):
    """AWS could not be read: credentials, rights, region, endpoint or network."""


class DeniedError(LookupFailedError):
    """AWS did not allow a call."""


class NotFoundError(LookupFailedError):
    """AWS does not know what a call names, or not yet everywhere."""


class UserDataError(ValueError):
    """User data, or a tag's value, that gives no pod CIDR.

    The message says which rule failed and never quotes what was read.
    """


def first(rows: Iterable[str], most: int) -> tuple[str, ...]:
    """Return the first rows, and how many more there are."""
    shown = tuple(rows)
    if len(shown) <= most:
        return shown
    return (*shown[:most], f"and {len(shown) - most} more")


def _wrap(prose: str, *, first: str) -> list[str]:
    return textwrap.wrap(
        prose,
        width=_WIDTH,
        initial_indent=first,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
