"""Detect that somebody destroyed the stack while the watcher runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routes.engine.state import Stack


class DestroyDetector:
    """Distinguishes a destroyed stack from one that has had no update yet.

    A restarted watcher can't: both are empty.
    """

    def __init__(self) -> None:
        self.is_complete = False
        """Whether the stack had routes, and has no resource now."""
        self._had_routes = False

    def record(self, stack: Stack) -> bool:
        """Record the state, and return whether the stack was destroyed."""
        self._had_routes |= bool(stack.targets)
        self.is_complete = stack.is_empty and self._had_routes
        return self.is_complete
