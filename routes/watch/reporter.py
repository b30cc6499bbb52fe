"""Log what changed since the last reconciliation, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from routes.errors import Finding
from routes.watch.diff import Diff

_LOG: Final = logging.getLogger(__name__)


class ChangeReporter:
    """Reports each refusal, fault and warning when it appears and when it clears."""

    def __init__(self) -> None:
        self._refusal = ""
        self._faults: frozenset[Finding] = frozenset()
        self._warnings: frozenset[Finding] = frozenset()
        self._lock = ""
        self._in_sync = ""

    def findings(self, diff: Diff) -> None:
        """Log the findings that are new, and the resources of those that cleared."""
        refusal = str(diff.refusal or "")
        if refusal and refusal != self._refusal:
            _LOG.error("%s", refusal)
        if self._refusal and not refusal:
            _LOG.info("No longer refused.")
        self._refusal = refusal
        if refusal or diff.is_recovery:
            return
        _changes(self._faults, diff.faults, _LOG.error, "No longer blocked")
        _changes(self._warnings, diff.warnings, _LOG.warning, "Warning cleared")
        self._faults = frozenset(diff.faults)
        self._warnings = frozenset(diff.warnings)

    def in_sync(self, diff: Diff) -> None:
        """Log that nothing has to change, once until something does."""
        self._lock = ""
        if self._in_sync != str(diff):
            _LOG.info("%s.", diff)
        self._in_sync = str(diff)

    def out_of_sync(self) -> None:
        """Record a difference, so that the next `in_sync` is logged."""
        self._in_sync = ""

    def updating(self, diff: Diff) -> None:
        """Log an update, unless somebody else's update blocked it before."""
        self._in_sync = ""
        if not self._lock:
            pending = "An update was interrupted, or is still running"
            _LOG.info("%s: %s.", pending if diff.pending else "Updating", diff)

    def locked(self, message: str) -> None:
        """Log who holds the stack's lock, once for each holder."""
        if self._lock != message:
            _LOG.warning("%s", message)
        self._lock = message

    def unlocked(self) -> None:
        """Record that an update got the lock."""
        self._lock = ""


def _changes(
    before: frozenset[Finding],
    after: Iterable[Finding],
    log: Callable[..., None],
    cleared: str,
) -> None:
    now = frozenset(after)
    for finding in sorted(now - before):
        log("%s", finding)
    for resource in sorted({finding.resource for finding in before - now}):
        _LOG.info("%s: %s.", cleared, resource)
