"""Watch the cluster's Nodes, and wake the watcher when pod CIDRs have changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from routes import kube
from routes.errors import DeniedError, LookupFailedError
from routes.model import Node
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.kube.cluster import Cluster

_LOG: Final = logging.getLogger(__name__)
_PAUSE: Final = 5.0
"""Seconds between two attempts to watch; meanwhile polls list the Nodes."""


class NodeWatch:
    """A thread that follows the Nodes, for as long as the process runs.

    Polls read the Nodes too, so a missed event costs at most one interval.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Set up; `wake` is called from the thread after each change."""
        self._wake = wake
        self._settings: Settings | None = None

    def follow(self, settings: Settings) -> None:
        """Watch the cluster of these settings, if it's the source of pod CIDRs."""
        if settings.pod_cidr_from != "node":
            self._settings = None
        elif self._settings is None or _context(settings) != _context(self._settings):
            self._settings = settings
            threading.Thread(
                target=self._run, args=(settings,), name="nodes", daemon=True
            ).start()

    def _run(self, settings: Settings) -> None:
        nodes: dict[str, Node] = {}
        was_denied = False  # polls report other failures
        while self._settings is settings:
            try:
                cluster = kube.connect(settings)
                try:
                    self._follow(cluster, nodes)
                finally:
                    cluster.close()
            except LookupFailedError as error:
                is_new = isinstance(error, DeniedError) and not was_denied
                was_denied = isinstance(error, DeniedError)
                _LOG.log(logging.WARNING if is_new else logging.DEBUG, "%s", error)
                time.sleep(_PAUSE)

    def _follow(self, cluster: Cluster, nodes: dict[str, Node]) -> None:
        """List the Nodes, and apply their changes until the watch ends.

        Args:
            cluster: to read.
            nodes: by name, those that had pod CIDRs when the last watch ended.
        """
        before = nodes.copy()
        listed, version = cluster.versioned_nodes()
        nodes.clear()
        nodes |= {node.name: node for node in listed if node.pod_cidrs}
        if nodes != before:
            self._wake()
        for is_deleted, node in cluster.changes(version):
            if self._settings is None:
                break
            old = nodes.pop(node.name, None)
            new = node if node.pod_cidrs and not is_deleted else None
            if new:
                nodes[node.name] = new
            if old != new:
                self._wake()


def _context(settings: Settings) -> tuple[str, str]:
    return settings.kubeconfig, settings.kube_context
