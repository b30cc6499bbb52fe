"""The caches of a watcher: the stack, and the connections to AWS and Kubernetes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from routes import kube
from routes.aws.access import Access
from routes.aws.clients import Clients, connect, region_of
from routes.engine import state
from routes.engine.state import Stack
from routes.engine.updates import Updates
from routes.errors import LookupFailedError
from routes.model import Discovery, Node
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.kube.cluster import Cluster

_RECONNECT: Final = 600.0
"""Seconds after which credentials are resolved again; those of an assumed role last at
least "900 seconds (15 minutes)" (STS API Reference, "AssumeRole")."""


class StackCache:
    """The stack as it was read last, until its files or an update change it."""

    def __init__(self, name: str, updates: Updates) -> None:
        self._name = name
        self._updates = updates
        self._stack: Stack | None = None
        self._files: list[int] = []

    @property
    def current(self) -> Stack | None:
        """The stack, if it was read and its files haven't changed since."""
        return self._stack if self._files == self._modified() else None

    @property
    def last(self) -> Stack | None:
        """The stack as it was read last."""
        return self._stack

    def forget(self) -> None:
        """Read it again the next time."""
        self._stack = None

    def read(self) -> Stack:
        """Read the stack; if that fails, repair its files and read it again.

        A file backend is incomplete for a moment while an update writes.

        Raises:
            LookupFailedError: it can't be read.
        """
        self._files = self._modified()
        try:
            self._stack = state.read(self._name, self._updates.cli)
        except LookupFailedError:
            self._updates.repair_files()
            self._stack = state.read(self._name, self._updates.cli)
        return self._stack

    def _modified(self) -> list[int]:
        """Return when the project's and the stack's file were modified, in ns."""
        stack = self._name.rpartition("/")[2]
        files = [Path("Pulumi.yaml"), Path(f"Pulumi.{stack}.yaml")]
        return [each.stat().st_mtime_ns for each in files if each.exists()]


class Connection:
    """Clients that are reused while the configuration stays the same.

    Attributes:
        known: the last discovery with them.
    """

    def __init__(self) -> None:
        self.known: Discovery | None = None
        self._clients: tuple[Access, float, Clients] | None = None
        self._cluster: tuple[Settings, Cluster] | None = None

    def open(self, access: Access) -> Clients:
        """Return clients for these credentials.

        Raises:
            LookupFailedError: there are no credentials, or no region.
        """
        now = time.monotonic()
        if self._clients:
            last, since, clients = self._clients
            if last == access and now - since < _RECONNECT:
                return clients
        self.close()
        gc.collect()  # a boto3 session is a reference cycle of some 10 MB
        clients = connect(access, region_of(access))
        self._clients = access, now, clients
        return clients

    def list_nodes(self, settings: Settings) -> Callable[[], tuple[Node, ...]] | None:
        """Return what lists the Nodes, if they are the source of pod CIDRs.

        Raises:
            LookupFailedError: the kubeconfig can't be used.
        """
        if settings.pod_cidr_from != "node":
            return None
        if self._cluster and self._cluster[0] != settings:
            self._cluster[1].close()
            self._cluster = None
        if not self._cluster:
            self._cluster = settings, kube.connect(settings)
        return self._cluster[1].nodes

    def close(self) -> None:
        """Connect again the next time."""
        self._clients = self.known = None
        if self._cluster:
            self._cluster[1].close()
            self._cluster = None
