"""Whether somebody destroyed the stack while its watcher ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routes.engine.state import Stack


class Destruction:
    """Tells a stack that was destroyed from one that has had no update yet.

    What it saw dies with its process: after a restart, both are empty.
    """

    def __init__(self) -> None:
        self.is_over = False
        """Whether the stack had routes, and has no resource now."""
        self._had_routes = False

    def saw(self, stack: Stack) -> bool:
        """Record what the state holds, and return whether it was destroyed."""
        self._had_routes |= bool(stack.targets)
        self.is_over = stack.is_empty and self._had_routes
        return self.is_over
