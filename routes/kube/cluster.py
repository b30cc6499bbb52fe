"""A connection to a cluster's API server: list its Nodes, and watch them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx2
import msgspec
from lightkube import ApiError, Client
from lightkube.config import client_adapter
from lightkube.core.exceptions import ConfigError
from lightkube.models.authorization_v1 import (
    ResourceAttributes,
    SelfSubjectAccessReviewSpec,
)
from lightkube.resources import core_v1
from lightkube.resources.authorization_v1 import SelfSubjectAccessReview

from routes.kube import failures, kubeconfig
from routes.model import Node
from routes.settings import Settings

_PAGE: Final = 500
"""Nodes in one answer, as in kubectl's."""
_ANSWER: Final = 15.0
"""How many seconds an answer may take, and how many a connection."""
_CONNECT: Final = 5.0
_WATCH: Final = 60
"""Seconds until a watch is continued by another, so that a dead connection is found."""
_GONE: Final = 410


class _Version(msgspec.Struct):
    git_version: str = msgspec.field(name="gitVersion")


class Cluster:
    """One cluster: a context of a kubeconfig, or the one that runs this pod.

    Attributes:
        context: the context's name, or "service account".
        server: the API server's address.
    """

    def __init__(self, settings: Settings, seconds: float = _ANSWER) -> None:
        """Read the kubeconfig; the first call connects.

        Args:
            settings: the kubeconfig and the context.
            seconds: how long an answer may take.

        Raises:
            LookupFailedError: there is no kubeconfig, or it can't be used.
        """
        self._settings = settings
        self._config = kubeconfig.load(settings)
        self.context = self._config.context_name
        self.server = self._config.cluster.server
        self._timeout = httpx2.Timeout(seconds, connect=min(seconds, _CONNECT))
        try:
            self._client = Client(self._config, timeout=self._timeout)
        except (ConfigError, OSError, ValueError, httpx2.InvalidURL) as error:
            raise kubeconfig.unusable(settings, self._config, str(error)) from None

    def nodes(self) -> tuple[Node, ...]:
        """Return all Nodes, by name; raises as `versioned_nodes` does."""
        return self.versioned_nodes()[0]

    def versioned_nodes(self) -> tuple[tuple[Node, ...], str]:
        """Return all Nodes by name, and the version from which to watch changes.

        If its pages expire, the list is read again as one: after "410 Gone", "the
        client will need to start from the beginning or omit the `limit` parameter"
        (Kubernetes Documentation, "API Concepts").

        Raises:
            DeniedError: the credentials may not list Nodes.
            LookupFailedError: the list can't be read completely.
        """
        with self._explained("list on nodes"):
            try:
                return self._list(_PAGE)
            except ApiError as error:
                if error.status.code != _GONE:
                    raise
                return self._list(None)

    def changes(self, version: str) -> Iterator[tuple[bool, Node]]:
        """Yield each changed Node, and whether it is deleted, as it happens.

        If the version is too old, this ends with an error: "clients must handle the
        case by recognizing the status code `410 Gone`, clearing their local cache,
        performing a list operation" (the same page).

        Raises:
            DeniedError: the credentials may not watch Nodes.
            LookupFailedError: the watch ended.
        """
        # Without a public option for it, lightkube would wait forever.
        self._client._client._watch_timeout.read = 2 * _WATCH  # noqa: SLF001
        with self._explained("watch on nodes"):
            for event, node in self._client.watch(
                core_v1.Node, resource_version=version, server_timeout=_WATCH
            ):
                yield event == "DELETED", _node(node)

    def require(self, verb: str) -> None:
        """Ask whether the credentials have the RBAC rule of this verb on Nodes.

        Raises:
            DeniedError: they don't.
            LookupFailedError: the API server doesn't answer.
        """
        asked = ResourceAttributes(verb=verb, resource="nodes")
        spec = SelfSubjectAccessReviewSpec(resourceAttributes=asked)
        with self._explained("create on selfsubjectaccessreviews"):
            status = self._client.create(SelfSubjectAccessReview(spec=spec)).status
        if not (status and status.allowed):
            problem = f"the credentials may not {verb} Nodes."
            raise failures.denied(problem, f"{verb} on nodes", self._config)

    def version(self) -> str:
        """Return the API server's version.

        Raises:
            LookupFailedError: the API server doesn't answer.
        """
        params = client_adapter.ConnectionParams(timeout=self._timeout)
        with (
            self._explained("get on /version"),
            client_adapter.Client(self._config, params) as client,
        ):
            answer = client.get("/version").raise_for_status()
            return msgspec.json.decode(answer.content, type=_Version).git_version

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _list(self, page: int | None) -> tuple[tuple[Node, ...], str]:
        listed = self._client.list(core_v1.Node, chunk_size=page)
        nodes = sorted(map(_node, listed), key=lambda node: node.name)
        return tuple(nodes), listed.resourceVersion

    @contextmanager
    def _explained(self, rule: str) -> Iterator[None]:
        """Convert the errors of a call that needs this RBAC rule."""
        try:
            yield
        except failures.CAUGHT as error:
            raise failures.explain(error, rule, self._settings, self._config) from None


def _node(node: core_v1.Node) -> Node:
    spec, status = node.spec, node.status
    addresses = (status.addresses if status else None) or ()
    return Node(
        name=(node.metadata.name if node.metadata else None) or "",
        provider_id=(spec.providerID if spec else None) or "",
        addresses=tuple(e.address for e in addresses if e.type == "InternalIP"),
        pod_cidrs=tuple((spec.podCIDRs if spec else None) or ()),
    )
