"""One VPC route per Kubernetes worker; what other programs import is here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routes.engine.component import PodNetworkRoutes
    from routes.model import PodRoute

__all__ = ["PodNetworkRoutes", "PodRoute"]
__version__ = "2.0.0"

_HOMES = {"PodNetworkRoutes": "routes.engine.component", "PodRoute": "routes.model"}


def __getattr__(name: str) -> object:
    """Import what is asked for, so that importing the package itself does no work."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
