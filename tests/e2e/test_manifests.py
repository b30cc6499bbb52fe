"""The manifests in examples/watch, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube import ApiError
from lightkube.core.resource_registry import resource_registry
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccount
from lightkube.types import PatchType

from routes.errors import DeniedError
from routes.kube.cluster import Cluster
from sandbox import TOP
from sandbox.kube.control_plane import ControlPlane
from tests.builders import settings
from tests.e2e.test_cluster import wait_for_rules

EXAMPLES = TOP / "examples/watch"
Document = Mapping[str, Any]


def documents(name: str) -> list[Any]:
    return [*yaml.safe_load_all((EXAMPLES / name).read_text())]


NODES = documents("nodes.yaml")
DEPLOYMENT = documents("deployment.yaml")


def apply(cluster: ControlPlane, document: Document, *, dry_run: bool) -> None:
    """Apply a document on the server, as `kubectl apply --server-side` does.

    That refuses a field that isn't in the schema.
    """
    client: Any = cluster.client
    metadata = document["metadata"]
    client.patch(
        resource_registry.load(document["apiVersion"], document["kind"]),
        metadata["name"],
        dict(document),
        namespace=metadata.get("namespace"),
        patch_type=PatchType.APPLY,
        field_manager="test",
        force=True,
        dry_run=dry_run,
    )


@pytest.mark.parametrize(
    "document", [*NODES, *DEPLOYMENT], ids=lambda each: str(each["kind"])
)
def test_the_api_server_accepts_each_document(
    cluster: ControlPlane, document: Document
) -> None:
    apply(cluster, document, dry_run=True)

    with pytest.raises(ApiError, match=r"\.misspelt: field not declared in schema"):
        apply(cluster, {**document, "misspelt": True}, dry_run=True)


def account(cluster: ControlPlane, path: Path) -> Cluster:
    """Apply nodes.yaml, and connect with a token of its service account."""
    for document in NODES:
        apply(cluster, document, dry_run=False)
    request = ServiceAccount.Token(
        metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[])
    )
    answer = cluster.client.create(request, "pod-routes", namespace="kube-system")
    assert answer.status
    content = json.loads(cluster.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": answer.status.token}
    path.write_text(json.dumps(content))
    return Cluster(settings(podCidrFrom="node", kubeconfig=str(path)))


def test_the_cluster_role_has_each_rule_that_is_needed_and_no_other(
    cluster: ControlPlane, tmp_path: Path
) -> None:
    """It lists Nodes, and watches them from the list's version."""
    connected = account(cluster, tmp_path / "config")
    role = NODES[0]
    (rule,) = role["rules"]
    wait_for_rules(connected, *rule["verbs"])

    _, version = connected.versioned_nodes()
    cluster.register("worker-0", "i-0", "us-east-1a", [])
    _, node = next(connected.changes(version))

    assert node.name == "worker-0"
    assert rule["resources"] == ["nodes"]
    for verb in rule["verbs"]:
        others = [each for each in rule["verbs"] if each != verb]
        apply(cluster, {**role, "rules": [{**rule, "verbs": others}]}, dry_run=False)
        wait_for_rules(connected, *others)
        with pytest.raises(DeniedError, match=f"rule: {verb} on nodes"):
            [connected.nodes(), next(connected.changes(version))]
    connected.close()


def test_the_deployment_uses_the_service_account_that_has_the_role() -> None:
    (deployment,) = DEPLOYMENT
    _, service_account, binding = NODES
    (subject,) = binding["subjects"]
    metadata = service_account["metadata"]

    assert subject["name"] == metadata["name"]
    assert subject["namespace"] == metadata["namespace"]
    assert deployment["metadata"]["namespace"] == metadata["namespace"]
    spec = deployment["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == metadata["name"]


def test_the_page_names_every_file_of_the_folder() -> None:
    page = (EXAMPLES / "README.md").read_text()

    assert {file.name for file in EXAMPLES.iterdir() if file.name not in page} == {
        "README.md"
    }
