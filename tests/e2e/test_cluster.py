"""The connection to an API server: a real one, and answers that aren't Kubernetes'."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest
from lightkube.core.generic_client import GenericClient
from lightkube.models.core_v1 import NodeSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule
from lightkube.resources import core_v1

from routes.errors import DeniedError, LookupFailedError
from routes.kube import cluster as module
from routes.kube.cluster import Cluster
from routes.model import Node
from sandbox.kube.control_plane import ControlPlane
from tests.builders import one_line, settings
from tests.e2e.watching import until

SECRET = "s3cr3t-t0k3n"
LIST = PolicyRule(apiGroups=[""], resources=["nodes"], verbs=["list"])
WATCH = PolicyRule(apiGroups=[""], resources=["nodes"], verbs=["watch"])


class Connect(Protocol):
    """Connect to the API server of a kubeconfig."""

    def __call__(self, kubeconfig: Path, seconds: float = 15) -> Cluster: ...


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connections that are closed at the end of the test."""
    with ExitStack() as stack:

        def connect(kubeconfig: Path, seconds: float = 15) -> Cluster:
            configured = settings(podCidrFrom="node", kubeconfig=str(kubeconfig))
            connected = Cluster(configured, seconds)
            stack.callback(connected.close)
            return connected

        yield connect


def changed(
    path: Path,
    kubeconfig: Path,
    user: Mapping[str, object] | None = None,
    **cluster: object,
) -> Path:
    """Write a kubeconfig with another user and other values of the cluster."""
    content: dict[str, Any] = json.loads(kubeconfig.read_text())
    if user is not None:
        content["users"][0]["user"] = user
    content["clusters"][0]["cluster"] |= cluster
    path.write_text(json.dumps(content))
    return path


def failure(
    call: Callable[[], object], kind: type[LookupFailedError] = LookupFailedError
) -> str:
    """Return the prose of a failed call's message, on one line."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    *prose, command = str(caught.value).splitlines()
    assert max(len(line) for line in prose if " " in line.strip()) <= 80
    assert command.startswith("  kubectl ")
    assert SECRET not in str(caught.value)
    return one_line(" ".join(prose))


def wait_for_rules(connected: Cluster, *verbs: str) -> None:
    """Wait until the API server applies the RBAC rules: it caches them."""

    def allowed() -> set[str]:
        found = set()
        for verb in ("list", "watch"):
            with suppress(DeniedError):
                connected.require(verb)
                found.add(verb)
        return found

    until(lambda: allowed() == {*verbs})


def test_a_node_is_read_with_its_instance_addresses_and_pod_cidrs(
    cluster: ControlPlane, connect: Connect
) -> None:
    cluster.register("worker-1", "i-1", "us-east-1a", ["10.0.1.21", "fd00::1"])
    pod_cidrs = cluster.wait_for_cidr("worker-1")
    cluster.stop_controllers()
    cluster.register("worker-0", "", "", [], provider_id="")

    nodes = connect(cluster.kubeconfig).nodes()

    assert nodes == (
        Node(name="worker-0", provider_id="", addresses=(), pod_cidrs=()),
        Node(
            name="worker-1",
            provider_id="aws:///us-east-1a/i-1",
            addresses=("10.0.1.21", "fd00::1"),
            pod_cidrs=pod_cidrs,
        ),
    )


@pytest.fixture
def crowded(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster with 501 Nodes; its range has pod CIDRs for fewer."""
    cluster.stop_controllers()

    def create(number: int) -> None:
        spec = NodeSpec(podCIDRs=[f"10.{number // 256}.{number % 256}.0/24"])
        name = ObjectMeta(name=f"worker-{number:04}")
        cluster.client.create(core_v1.Node(metadata=name, spec=spec))

    with ThreadPoolExecutor(16) as pool:
        assert len([*pool.map(create, range(501))]) == 501
    yield cluster
    cluster.client.deletecollection(core_v1.Node)


def test_more_nodes_than_one_page_holds_are_listed_completely(
    crowded: ControlPlane, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []
    handled: Callable[..., Any] = GenericClient.handle_response

    def counted(*args: object) -> tuple[bool, str, list[core_v1.Node]]:
        answer: tuple[bool, str, list[core_v1.Node]] = handled(*args)
        pages.append(len(answer[-1]))
        return answer

    monkeypatch.setattr(GenericClient, "handle_response", counted)

    nodes = connect(crowded.kubeconfig).nodes()

    assert pages == [500, 1]
    assert [node.name for node in nodes] == [f"worker-{n:04}" for n in range(501)]
    assert len({node.pod_cidrs for node in nodes}) == 501


def test_a_list_whose_pages_expire_is_read_again(
    cluster: ControlPlane, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its etcd forgets the first page's version while the API server restarts."""
    for number in range(3):
        cluster.register(f"worker-{number}", f"i-{number}", "us-east-1a", [])
    converted = module._node  # noqa: SLF001
    expired = threading.Event()

    def expire_once(node: core_v1.Node) -> Node:
        if not expired.is_set():
            expired.set()
            cluster.delete("worker-2")
            compact(cluster)
            cluster.stop_api()
            cluster.start_api()
        return converted(node)

    monkeypatch.setattr(module, "_PAGE", 1)
    monkeypatch.setattr(module, "_node", expire_once)
    connected = connect(cluster.kubeconfig)

    nodes, version = connected.versioned_nodes()

    assert [node.name for node in nodes] == ["worker-0", "worker-1"]
    cluster.register("worker-3", "i-3", "us-east-1a", [])
    is_deleted, node = next(connected.changes(version))
    assert (is_deleted, node.name) == (False, "worker-3")
    assert "too old resource version: 1 " in failure(
        lambda: next(connected.changes("1"))
    )


def compact(cluster: ControlPlane) -> None:
    """Have etcd forget all versions but the last."""

    def post(path: str, body: Mapping[str, object]) -> dict[str, Any]:
        url = f"{cluster._etcd}/v3/kv/{path}"  # noqa: SLF001
        content: dict[str, Any] = httpx2.post(url, json=body).raise_for_status().json()
        return content

    revision = post("range", {"key": "YQ=="})["header"]["revision"]
    post("compaction", {"revision": revision, "physical": True})


def test_changes_are_yielded_in_order_until_the_api_server_ends(
    cluster: ControlPlane, connect: Connect
) -> None:
    connected = connect(cluster.kubeconfig)
    _, version = connected.versioned_nodes()
    changes = connected.changes(version)

    cluster.register("worker-0", "i-0", "us-east-1a", [])
    pod_cidrs = cluster.wait_for_cidr("worker-0")
    cluster.delete("worker-0")

    seen: list[Node] = []
    is_deleted = False
    while not is_deleted:
        is_deleted, node = next(changes)
        seen.append(node)
    assert {node.name for node in seen} == {"worker-0"}
    assert seen[0].pod_cidrs == ()
    assert seen[-1].pod_cidrs == pod_cidrs

    cluster.stop_api()
    assert "it can't be reached: " in failure(lambda: next(changes))


def test_an_api_server_that_does_not_run_is_named(
    cluster: ControlPlane, connect: Connect
) -> None:
    connected = connect(cluster.kubeconfig)
    cluster.stop_api()

    for call in (connected.nodes, connected.version, lambda: connected.require("list")):
        assert failure(call) == (
            f"API server {connected.server}: it can't be reached: [Errno 111]"
            " Connection refused. Check the network and the kubeconfig's server:"
        )

    cluster.start_api()
    assert connected.nodes() == ()


def test_a_certificate_that_is_not_trusted_is_reported(
    cluster: ControlPlane, connect: Connect, tmp_path: Path
) -> None:
    """Without an authority in the kubeconfig, the machine's decide."""
    path = changed(
        tmp_path / "config", cluster.kubeconfig, **{"certificate-authority": None}
    )

    message = failure(connect(path).nodes)

    assert (
        ": its certificate isn't trusted: [SSL: CERTIFICATE_VERIFY_FAILED]" in message
    )
    assert message.endswith("Check the kubeconfig's certificate authority and server:")


def test_an_invalid_token_is_reported_for_each_call(
    cluster: ControlPlane, connect: Connect, tmp_path: Path
) -> None:
    connected = connect(
        changed(tmp_path / "config", cluster.kubeconfig, {"token": SECRET})
    )

    for call in (
        connected.nodes,
        connected.version,
        lambda: next(connected.changes("")),
        lambda: connected.require("list"),
    ):
        assert failure(call) == (
            f"API server {connected.server}: it doesn't accept the credentials:"
            " Unauthorized (401). They may have expired. Log in again; this uses the"
            " same ones:"
        )


@pytest.mark.parametrize(
    ("rules", "verb"), [([], "list"), ([WATCH], "list"), ([LIST], "watch")]
)
def test_a_missing_rule_is_named_with_the_command_that_grants_it(
    cluster: ControlPlane, connect: Connect, rules: list[PolicyRule], verb: str
) -> None:
    connected = connect(cluster.kubeconfig_of("reader", rules))
    wait_for_rules(connected, *(each for rule in rules for each in rule.verbs))
    calls: dict[str, Callable[[], object]] = {
        "list": connected.nodes,
        "watch": lambda: next(connected.changes("")),
    }

    message = failure(calls[verb], DeniedError)

    user = "system:serviceaccount:default:reader"
    assert message == (
        f'API server {connected.server}: nodes is forbidden: User "{user}" cannot'
        f' {verb} resource "nodes" in API group "" at the cluster scope (403). The'
        f" missing RBAC rule: {verb} on nodes. The ClusterRole in"
        " examples/watch/nodes.yaml has it. An administrator of the cluster can bind"
        " it:"
    )
    with pytest.raises(DeniedError, match=f"--user {user}$"):
        calls[verb]()
    assert failure(lambda: connected.require(verb), DeniedError) == (
        f"API server {connected.server}: the credentials may not {verb} Nodes. The"
        f" missing RBAC rule: {verb} on nodes. The ClusterRole in"
        " examples/watch/nodes.yaml has it. An administrator of the cluster can bind"
        " it:"
    )


def test_a_user_with_the_rules_may_list_and_watch(
    cluster: ControlPlane, connect: Connect
) -> None:
    connected = connect(cluster.kubeconfig_of("reader", [LIST, WATCH]))
    wait_for_rules(connected, "list", "watch")

    assert connected.nodes() == ()
    with pytest.raises(DeniedError):
        connected.require("delete")
    assert connected.version().startswith("v1.")


Answer = tuple[int, Mapping[str, str], str]
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}


@contextmanager
def answering(*answers: Answer) -> Iterator[str]:
    """Start an HTTP server that gives the last of its answers again and again."""
    left = [*answers]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, text = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())
            if "Content-Length" in headers:
                silent.wait()

        do_POST = do_GET  # noqa: N815 - the same

        def log_message(self, *_: object) -> None:
            """Don't log."""

    silent = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            silent.set()
            server.shutdown()
            thread.join()


def kubeconfig(path: Path, server: str, **user: object) -> Path:
    content = {
        "clusters": [{"name": "lab", "cluster": {"server": server}}],
        "users": [{"name": "lab", "user": user or {"token": SECRET}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param((200, HTML, "<html>"), "JSON is malformed", id="page"),
        pytest.param(
            (200, JSON, "{}"), "Object missing required field `", id="another API"
        ),
        pytest.param((200, JSON, '{"items": []}'), "", id="no version"),
        pytest.param((502, HTML, "<html>"), "Bad Gateway (502).", id="bad gateway"),
        pytest.param((502, {}, ""), "Bad Gateway (502).", id="no content type"),
        pytest.param((502, JSON, "<"), "Bad Gateway (502).", id="malformed JSON"),
        pytest.param((403, JSON, "{}"), "Forbidden (403).", id="forbidden by a proxy"),
        pytest.param((403, HTML, "<html>"), "Forbidden (403).", id="forbidden page"),
        pytest.param((302, {"Location": "/"}, ""), "Found (302).", id="login page"),
    ],
)
def test_an_answer_that_is_not_kubernetes_is_reported(
    connect: Connect, tmp_path: Path, answer: Answer, reason: str
) -> None:
    with answering(answer) as server:
        connected = connect(kubeconfig(tmp_path / "config", server))
        calls: list[Callable[[], object]] = [connected.nodes]
        if answer != (200, JSON, '{"items": []}'):
            calls += [lambda: next(connected.changes("1")), connected.version]
        for call in calls:
            message = failure(call)

            assert message.startswith(
                f"API server {server}: its answer isn't Kubernetes': {reason}"
            )
            assert message.endswith(" such as a proxy. Compare:")


def test_a_failure_of_the_api_server_is_quoted(
    connect: Connect, tmp_path: Path
) -> None:
    status = {"status": "Failure", "code": 503, "message": "etcd has no leader"}

    with answering((503, JSON, json.dumps(status))) as server:
        connected = connect(kubeconfig(tmp_path / "config", server))
        message = failure(connected.nodes)

    assert message == f"API server {server}: etcd has no leader (503). Try again:"


def test_an_answer_that_does_not_end_is_an_error(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is a watch without an event or an end; a dead connection has neither."""
    monkeypatch.setattr(module, "_WATCH", 0.1)

    with answering((200, {**JSON, "Content-Length": "9"}, "")) as server:
        connected = connect(kubeconfig(tmp_path / "config", server), 0.2)
        for call in (connected.nodes, lambda: next(connected.changes("1"))):
            assert "it can't be reached: timed out." in failure(call)


def external(command: str, **values: object) -> dict[str, object]:
    """Return a user with a credential plugin."""
    api = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": api, "command": command, **values}}


def plugin(script: Path, text: str) -> dict[str, object]:
    """Return a user with a credential plugin that runs a script."""
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o700)
    return external(str(script))


def test_a_credential_plugin_provides_the_token(
    cluster: ControlPlane, connect: Connect, tmp_path: Path
) -> None:
    token = json.loads(cluster.kubeconfig.read_text())["users"][0]["user"]["token"]
    text = f"""
        case $KUBERNETES_EXEC_INFO in *client.authentication.k8s.io/v1\\"*) ;;
            *) exit 1 ;;
        esac
        echo '{{"status": {{"token": "{token}"}}}}'
    """
    user = plugin(tmp_path / "login", text)

    connected = connect(changed(tmp_path / "config", cluster.kubeconfig, user))

    assert connected.nodes() == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "echo expired >&2; echo log in >&2; exit 3",
            "Exec ~/login returned 3: expired. log in This uses",
            id="fails",
        ),
        pytest.param(
            f"echo {SECRET}",
            "~/login returned no ExecCredential with a token.",
            id="prints something else",
        ),
        pytest.param(
            f'echo \'{{"status": {{"clientKeyData": "{SECRET}"}}}}\'',
            "~/login returned no ExecCredential with a token.",
            id="returns a certificate",
        ),
        pytest.param(
            f'echo \'{{"status": {{"token": "{SECRET}\\\\n"}}}}\'',
            "its token has characters that a token can't have.",
            id="returns a token with a newline",
        ),
    ],
)
def test_a_credential_plugin_that_fails_is_reported(
    connect: Connect, tmp_path: Path, text: str, problem: str
) -> None:
    with answering((200, JSON, "{}")) as server:
        config = kubeconfig(
            tmp_path / "config", server, **plugin(tmp_path / "login", text)
        )
        connected = connect(config)
        message = failure(connected.nodes)

    assert one_line(message.replace(str(tmp_path), "~")).startswith(
        f"user of context lab: {problem}"
    )


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        pytest.param(
            external("no-such-plugin", installHint="Install it:\n  brew install it"),
            "the credential plugin no-such-plugin isn't installed. Install it: brew"
            " install it This uses",
            id="not installed",
        ),
        pytest.param(
            external("./config"),
            "~/config can't be used: Permission denied.",
            id="not executable",
        ),
        pytest.param(
            external("true", apiVersion="client.authentication.k8s.io/v2"),
            "auth exec api version client.authentication.k8s.io/v2 not implemented.",
            id="unknown version",
        ),
    ],
)
def test_credentials_that_cannot_be_used_are_reported(
    connect: Connect, tmp_path: Path, user: dict[str, object], problem: str
) -> None:
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", **user)

    message = failure(connect(config).nodes).replace(str(tmp_path), "~")

    assert one_line(message).startswith(f"user of context lab: {problem}")
    assert message.endswith("This uses the same credentials:")


def test_a_token_file_that_is_deleted_is_named(
    connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(SECRET)
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", tokenFile="token")
    connected = connect(config)
    (tmp_path / "token").unlink()

    message = failure(connected.nodes).replace(str(tmp_path), "~")

    assert message.startswith("user of context lab: Token file ~/token not found. This")
