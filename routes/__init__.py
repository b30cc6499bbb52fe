"""One VPC route per Kubernetes worker; other programs import these two names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routes.engine.component import PodNetworkRoutes
    from routes.model import PodRoute

__all__ = ["PodNetworkRoutes", "PodRoute"]
__version__ = "3.0.0"

_HOMES = {"PodNetworkRoutes": "routes.engine.component", "PodRoute": "routes.model"}


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that importing the package is cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
