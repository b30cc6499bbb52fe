"""Findings and errors for the operator: the resource, the problem and the fix.

No message contains user data.
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
"""The longest text that Pulumi puts before the first line."""


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    ERROR = "error"
    """It blocks an update, or packets."""
    UNKNOWN = "unknown"
    """What was read doesn't show whether packets pass."""
    WARNING = "warning"
    """Nothing is blocked, and pods may be unreachable."""
    INFO = "info"
    """It is worth knowing."""

    @property
    def rank(self) -> int:
        """Return the position in order of importance, 0 for the worst."""
        return [*Severity].index(self)


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """Something that is wrong, or worth knowing."""

    resource: str
    """A worker, a route table, a configuration key: what it is about."""
    problem: str
    """Prose that completes "resource: ..."."""
    details: tuple[str, ...] = ()
    """Lines that belong to the problem, shown as they are."""
    hint: str = ""
    """What to do, in prose; the command follows it."""
    command: str = ""
    """A shell command that fixes it; may be empty."""
    severity: Severity = Severity.ERROR
    check: str = ""
    """The check that reports it, where a resource has several."""

    def __post_init__(self) -> None:
        """Escape control characters in text from AWS or the configuration."""
        for name in ("resource", "problem", "hint"):
            object.__setattr__(self, name, visible(getattr(self, name)))
        object.__setattr__(self, "details", tuple(map(visible, self.details)))

    def __str__(self) -> str:
        lines = _wrap(f"{self.resource}: {self.problem}", indent=" " * len(_MARK))
        lines[0] = lines[0].lstrip()
        lines += [f"  {line}" for line in self.details]
        if self.hint:
            lines += _wrap(self.hint, indent="  ")
        if self.command:
            lines.append(f"  {self.command}")
        return "\n".join(lines)


class RoutesError(Exception):
    """An operator's mistake or a failure outside the program, never a bug in it."""


class FaultsError(RoutesError):
    """All faults of one step, sorted, as one error."""

    def __init__(self, headline: str, faults: Iterable[Finding]) -> None:
        self.headline = headline
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join([headline, *map(str, self.faults)]))

    def __reduce__(self) -> tuple[type[FaultsError], tuple[str, tuple[Finding, ...]]]:
        return type(self), (self.headline, self.faults)


class SettingsError(FaultsError):
    """The stack's configuration is invalid."""


class PlanError(FaultsError):
    """The plan is refused; no route is declared."""


class LookupFailedError(RoutesError):
    """Reading AWS or the state failed."""


class DeniedError(LookupFailedError):
    """AWS denied a call."""


class NotFoundError(LookupFailedError):
    """AWS doesn't know the resource that a call names, or not yet everywhere."""


class UserDataError(ValueError):
    """No usable pod CIDR in user data or in a tag's value.

    The message names the rule that failed and never quotes user data.
    """


def truncated(lines: Iterable[str], limit: int) -> tuple[str, ...]:
    """Return at most `limit` lines, and how many more there are."""
    shown = tuple(lines)
    if len(shown) <= limit:
        return shown
    return (*shown[:limit], f"and {len(shown) - limit} more")


def _wrap(prose: str, *, indent: str) -> list[str]:
    return textwrap.wrap(
        prose,
        width=_WIDTH,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
