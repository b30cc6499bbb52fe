"""Read the Nodes of the cluster from its control plane.

Kubernetes' client takes a third of a second to import, so `connect` imports it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from routes.errors import LookupFailedError
from routes.model import Node
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.kube.cluster import Cluster

_DEFAULT: Final = "~/.kube/config"


def config_files(settings: Settings) -> list[Path]:
    """Return the kubeconfigs that kubectl would read, in its order, existing or not."""
    listed = os.environ.get("KUBECONFIG") or _DEFAULT
    names = [settings.kubeconfig] if settings.kubeconfig else listed.split(os.pathsep)
    return [Path(name).expanduser().absolute() for name in names if name]


def connect(settings: Settings) -> Cluster:
    """Return the cluster of a stack; the first call connects.

    Raises:
        LookupFailedError: there is no kubeconfig, or it can't be used.
    """
    from routes.kube.cluster import Cluster  # noqa: PLC0415 - see above

    return Cluster(settings)


def nodes_to_compare(settings: Settings) -> tuple[Node, ...]:
    """Return the Nodes for a comparison with another source of pod CIDRs.

    Without a `kubeconfig` or `kubeContext` of the stack, it returns none if there is no
    cluster, or if its Nodes can't be read; and as it may be another cluster, only those
    with a providerID, which names an instance.

    Raises:
        LookupFailedError: the stack names a cluster whose Nodes can't be read.
    """
    is_named = bool(settings.kubeconfig or settings.kube_context)
    is_found = any(path.is_file() for path in config_files(settings))
    if not (is_named or is_found or "KUBERNETES_SERVICE_HOST" in os.environ):
        return ()
    try:
        nodes = connect(settings).nodes()
    except LookupFailedError:
        if is_named:
            raise
        return ()
    return tuple(node for node in nodes if is_named or node.provider_id)
