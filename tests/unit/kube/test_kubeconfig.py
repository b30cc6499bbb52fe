"""Which kubeconfig is used, and what an error says about one that can't be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from routes.errors import LookupFailedError
from routes.kube import kubeconfig
from routes.kube.cluster import Cluster
from routes.settings import Settings
from tests.builders import one_line, settings

SECRET = "s3cr3t-t0k3n"
SERVER = "https://127.0.0.1:6443"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the machine's kubeconfig and service account."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", str(tmp_path / "account"))
    return tmp_path


def content(
    name: str = "lab",
    cluster: Mapping[str, object] | None = None,
    user: Mapping[str, object] | None = None,
    **changes: object,
) -> dict[str, object]:
    """Return a kubeconfig whose cluster, context and user have one name."""
    return {
        "clusters": [{"name": name, "cluster": {"server": SERVER, **(cluster or {})}}],
        "users": [{"name": name, "user": {"token": SECRET, **(user or {})}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        **changes,
    }


def write(path: Path, text: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def using(path: Path | str = "", context: str = "") -> Settings:
    keys = {"kubeconfig": str(path), "kubeContext": context}
    return settings(podCidrFrom="node", **{k: v for k, v in keys.items() if v})


def refusal(configured: Settings) -> str:
    """Return the message about a kubeconfig that can't be used, on one line."""
    with pytest.raises(LookupFailedError) as caught:
        Cluster(configured)
    message = str(caught.value)
    *prose, command = message.replace(str(Path.home()), "~").splitlines()
    assert max(map(len, prose)) <= 80
    assert command.startswith("  pulumi config set pod-routes:kube")
    assert SECRET not in message
    return one_line(" ".join(prose))


def test_the_current_context_of_the_default_file_is_used(home: Path) -> None:
    write(home / ".kube/config", content())

    cluster = Cluster(using())

    assert (cluster.context, cluster.server) == ("lab", SERVER)


def test_a_configured_path_is_a_single_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / ".kube/config", content("default"))
    monkeypatch.setenv("KUBECONFIG", str(write(home / "variable", content("variable"))))
    write(home / "a:b", content("configured"))

    assert Cluster(using("~/a:b")).context == "configured"
    assert Cluster(using()).context == "variable"


def test_the_files_of_the_variable_are_merged_and_the_first_one_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may have a part of what a context needs, with paths relative to itself."""
    write(home / "tokens/token", "")
    first = {
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "users": [{"name": "lab", "user": {"tokenFile": "token"}}],
    }
    second = content("lab") | {"current-context": "lab"}
    third = content("other")
    files = [
        write(home / "tokens/first", first),
        home / "none",
        write(home / "second", second),
        write(home / "third", third),
    ]
    monkeypatch.setenv("KUBECONFIG", f":{':'.join(map(str, files))}")

    config = kubeconfig.load(using())

    assert config.context_name == "lab"
    assert config.cluster.server == SERVER
    assert config.user
    assert config.user.token is None
    assert config.user.token_file == str(home / "tokens/token")
    assert Cluster(using(context="other")).context == "other"


def test_a_message_names_every_file_in_which_there_is_no_such_context(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(home / name, content(name)) for name in ("a", "b")]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))

    assert refusal(using(context="c")) == (
        "~/a, ~/b: there is no context c; there are these: a b"
        " Set the context of the cluster:"
    )


CORRECT = " Correct it, or set the path of another kubeconfig:"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "there is no current context, and no other.", id="empty"),
        pytest.param(
            f"users:\n- name: lab\n  user: {{token: {SECRET}}}\n  token: {SECRET}: x\n",
            "it isn't YAML, see line 4.",
            id="invalid YAML",
        ),
        pytest.param("\udce9", "it isn't YAML.", id="not UTF-8"),
        pytest.param(
            SECRET,
            "it isn't a kubeconfig: Expected `object`, got `str`.",
            id="a token",
        ),
        pytest.param(
            {"users": [{"user": {"token": SECRET}}]},
            "it isn't a kubeconfig: Object missing required field `name` - at"
            " `$.users[0]`.",
            id="a user without a name",
        ),
        pytest.param(
            content(clusters=None), "context lab needs cluster 'lab'.", id="no cluster"
        ),
        pytest.param(content(users=[]), "context lab needs user 'lab'.", id="no users"),
        pytest.param(
            content(contexts=[{"name": "lab", "context": {"cluster": "lab"}}]),
            "context lab needs a user.",
            id="no user in the context",
        ),
        pytest.param(
            content(cluster={"server": "127.0.0.1:6443"}),
            "cluster lab has server '127.0.0.1:6443', without https://.",
            id="no scheme",
        ),
        pytest.param(
            content(cluster={"server": "https://[10.0.0.1]:6443"}),
            "lab can't be used: Invalid IPv6 address: '[10.0.0.1]'.",
            id="an invalid address",
        ),
        pytest.param(
            content(cluster={"certificate-authority": "ca.crt"}),
            "its certificate-authority ~/ca.crt doesn't exist.",
            id="no authority file",
        ),
        pytest.param(
            content(cluster={"certificate-authority": "file"}),
            "lab can't be used: [X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or"
            " crl found",
            id="authority isn't a certificate",
        ),
        pytest.param(
            content(cluster={"certificate-authority-data": "c"}),
            "its certificate-authority-data isn't base64.",
            id="authority isn't base64",
        ),
        pytest.param(
            content(cluster={"tls-server-name": "kubernetes"}),
            "cluster lab has tls-server-name, which isn't supported.",
            id="server name",
        ),
        pytest.param(
            content(cluster={"proxy-url": "http://proxy"}),
            "cluster lab has proxy-url, which isn't supported.",
            id="proxy",
        ),
        pytest.param(
            content(user={"client-certificate-data": "c2VjcmV0"}),
            "user lab has a client-certificate, but no client-key.",
            id="no key",
        ),
        pytest.param(
            content(user={"client-key-data": "c2VjcmV0"}),
            "user lab has a client-key, but no client-certificate.",
            id="no certificate",
        ),
        pytest.param(
            content(user={"client-key-data": SECRET}),
            "its client-key-data isn't base64.",
            id="key isn't base64",
        ),
        pytest.param(
            content(user={"client-certificate": "file", "client-key": "file"}),
            "lab can't be used: [SSL] PEM lib",
            id="certificate isn't one",
        ),
        pytest.param(
            content(user={"token": None, "auth-provider": {"name": "oidc"}}),
            "lab can't be used: auth-provider not supported.",
            id="auth provider",
        ),
    ],
)
def test_a_message_says_why_a_file_cannot_be_used(
    home: Path, text: object, problem: str
) -> None:
    if isinstance(text, str):
        (home / "file").write_bytes(text.encode(errors="surrogateescape"))
    else:
        write(home / "file", text)

    message = refusal(using("~/file"))

    assert message.startswith(f"~/file: {problem}")
    assert message.endswith(CORRECT)


def test_without_a_current_context_the_others_are_listed(home: Path) -> None:
    write(home / "file", content() | {"current-context": ""})

    assert refusal(using("~/file")) == (
        "~/file: there is no current context; there are these: lab"
        " Set the context of the cluster:"
    )


def test_a_folder_is_no_kubeconfig(home: Path) -> None:
    assert refusal(using(home)) == f"~: it can't be read: Is a directory.{CORRECT}"


@pytest.mark.parametrize("path", ["", "~/none"])
def test_a_kubeconfig_that_does_not_exist_is_named(path: str) -> None:
    expected = path or "~/.kube/config"

    assert refusal(using(path)) == (
        f"pod-routes:kubeconfig: there is no file {expected}.{CORRECT}"
    )


@pytest.fixture
def pod(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files and variables of a service account in a pod."""
    write(home / "account/token", SECRET)
    write(home / "account/namespace", "kube-system")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return home / "account"


def test_a_pod_without_a_kubeconfig_uses_its_service_account(
    home: Path, pod: Path
) -> None:
    config = kubeconfig.load(using())

    assert config.context_name == "service account"
    assert config.cluster.server == "https://[fd00::1]:443"
    assert config.cluster.certificate_auth == str(pod / "ca.crt")
    assert config.user
    assert config.user.token_file == str(pod / "token")

    assert refusal(using()).startswith("~/account: service account can't be used: ")

    write(home / ".kube/config", content())
    assert Cluster(using()).context == "lab"


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize("configured", [using("~/none"), using(context="lab")])
def test_a_pod_does_not_use_its_service_account_for_another_cluster(
    configured: Settings,
) -> None:
    assert "there is no file" in refusal(configured)


@pytest.mark.usefixtures("pod")
def test_a_service_account_without_an_address_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT")

    assert "there is no file ~/.kube/config." in refusal(using())


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_credential_plugin_learns_the_version_of_its_answer(
    home: Path, version: str
) -> None:
    api = f"client.authentication.k8s.io/{version}"
    plugin: dict[str, Any] = {
        "apiVersion": api,
        "command": "./bin/login",
        "args": ["lab"],
        "env": [{"name": "A", "value": "b"}],
    }
    write(home / "file", content(user={"exec": plugin}))

    user = kubeconfig.load(using("~/file")).user

    assert user
    assert user.exec
    assert user.exec.env
    variable, info = user.exec.env
    assert (variable.name, variable.value) == ("A", "b")
    assert info.name == "KUBERNETES_EXEC_INFO"
    assert json.loads(info.value)["apiVersion"] == api
    assert user.exec.apiVersion.endswith("/v1beta1")
    assert user.exec.command == str(home / "bin/login")
    assert user.exec.args == ["lab"]
