"""Find and read the kubeconfig that kubectl would use."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import yaml
from lightkube import KubeConfig
from lightkube.config import models
from lightkube.config.kubeconfig import SERVICE_ACCOUNT, SingleConfig

from routes import commands
from routes.errors import Finding, LookupFailedError, truncated
from routes.kube import config_files
from routes.model import NAMESPACE
from routes.settings import Settings

_PLUGIN_API: Final = "client.authentication.k8s.io"


class _Cluster(models.Cluster):
    tls_server_name: str = msgspec.field(name="tls-server-name", default="")
    proxy_url: str = msgspec.field(name="proxy-url", default="")


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: _Cluster


class _NamedContext(msgspec.Struct):
    name: str
    context: models.Context


class _NamedUser(msgspec.Struct):
    name: str
    user: models.User


_Named = TypeVar("_Named", _NamedCluster, _NamedContext, _NamedUser)


class _File(msgspec.Struct):
    """The content of a kubeconfig; each list may be missing or null."""

    clusters: list[_NamedCluster] | None = None
    contexts: list[_NamedContext] | None = None
    users: list[_NamedUser] | None = None
    current: str | None = msgspec.field(name="current-context", default=None)


def load(settings: Settings) -> SingleConfig:
    """Return the cluster and the credentials that kubectl would use.

    They are in the file of `kubeconfig`; or else in those of $KUBECONFIG, merged: "The
    first file to set a particular value or map key wins"; or in ~/.kube/config
    (Kubernetes Documentation, "Organizing Cluster Access Using kubeconfig Files"). If
    no file exists, a pod uses its service account (client-go, tools/clientcmd/
    merged_client_builder.go, ClientConfig), unless a context is configured.

    Raises:
        LookupFailedError: there is no configuration, or it can't be used.
    """
    paths = config_files(settings)
    files = {path: file for path in paths if (file := _read(settings, path))}
    if files:
        return _selected(settings, files)
    if not settings.kubeconfig and not settings.kube_context and _is_in_pod():
        config = KubeConfig.from_service_account(SERVICE_ACCOUNT).get()
        assert config  # noqa: S101 - it has a current context
        return config._replace(context_name="service account")
    key = f"{NAMESPACE}:kubeconfig"
    raise _fault(settings, key, f"there is no file {', '.join(map(str, paths))}.")


def unusable(
    settings: Settings, config: SingleConfig, reason: str
) -> LookupFailedError:
    """Return the error of a configuration that no connection can be made with."""
    return _fault(
        settings,
        str(config.fname or SERVICE_ACCOUNT),
        f"{config.context_name} can't be used: {reason}.",
    )


def _fault(settings: Settings, resource: str, problem: str) -> LookupFailedError:
    finding = Finding(
        resource=resource,
        problem=problem,
        hint="Correct it, or set the path of another kubeconfig:",
        command=commands.config_set(
            settings.stack, f"{NAMESPACE}:kubeconfig", "<path>"
        ),
    )
    return LookupFailedError(str(finding))


def _is_in_pod() -> bool:
    """Return whether there is a service account; client-go, `Possible`."""
    return Path(SERVICE_ACCOUNT, "token").is_file() and all(
        os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT")
    )


def _read(settings: Settings, path: Path) -> _File | None:
    """Return a file's content, None if it doesn't exist.

    An error doesn't quote the content, which has secrets.
    """
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()) or {}, _File)
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = f"it can't be read: {error.strerror}."
    except msgspec.ValidationError as error:
        problem = f"it isn't a kubeconfig: {error}."
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = f"it isn't YAML{f', see line {mark.line + 1}' if mark else ''}."
    raise _fault(settings, str(path), problem) from None


def _selected(settings: Settings, files: Mapping[Path, _File]) -> SingleConfig:
    """Return the context of `kubeContext`, or the current one."""
    contexts = _merged((path, file.contexts) for path, file in files.items())
    currents = (file.current for file in files.values() if file.current)
    name = settings.kube_context or next(currents, "")
    if name not in contexts:
        raise _no_context(settings, files, name, contexts)
    path, named = contexts[name]
    context = named.context
    clusters = _merged((path, file.clusters) for path, file in files.items())
    users = _merged((path, file.users) for path, file in files.items())
    if context.cluster not in clusters:
        missing = f"cluster {context.cluster!r}"
        raise _fault(settings, str(path), f"context {name} needs {missing}.")
    if not context.user or context.user not in users:
        missing = f"user {context.user!r}" if context.user else "a user"
        raise _fault(settings, str(path), f"context {name} needs {missing}.")
    cluster = _usable_cluster(settings, *clusters[context.cluster])
    user = _usable_user(settings, *users[context.user])
    return SingleConfig(name, context, cluster, user, path)


def _merged(
    lists: Iterable[tuple[Path, list[_Named] | None]],
) -> dict[str, tuple[Path, _Named]]:
    """Return the first entry of each name, and the file that has it."""
    merged: dict[str, tuple[Path, _Named]] = {}
    for path, entries in lists:
        for entry in entries or ():
            merged.setdefault(entry.name, (path, entry))
    return merged


def _no_context(
    settings: Settings, paths: Iterable[Path], name: str, contexts: Iterable[str]
) -> LookupFailedError:
    where = ", ".join(map(str, paths))
    problem = f"there is no context {name}" if name else "there is no current context"
    if not contexts:
        return _fault(settings, where, f"{problem}, and no other.")
    finding = Finding(
        resource=where,
        problem=f"{problem}; there are these:",
        details=truncated(sorted(contexts), 10),
        hint="Set the context of the cluster:",
        command=commands.config_set(
            settings.stack, f"{NAMESPACE}:kubeContext", "<context>"
        ),
    )
    return LookupFailedError(str(finding))


def _usable_cluster(
    settings: Settings, path: Path, named: _NamedCluster
) -> models.Cluster:
    """Return a cluster; one with keys that lightkube would ignore is refused."""
    cluster = named.cluster
    if not cluster.server.startswith(("https://", "http://")):
        problem = (
            f"cluster {named.name} has server {cluster.server!r}, without https://."
        )
        raise _fault(settings, str(path), problem)
    for key, value in (
        ("tls-server-name", cluster.tls_server_name),
        ("proxy-url", cluster.proxy_url),
    ):
        if value:
            problem = f"cluster {named.name} has {key}, which isn't supported."
            raise _fault(settings, str(path), problem)
    key = "certificate-authority"
    cluster.certificate_auth = _file(settings, path, key, cluster.certificate_auth)
    _require_base64(settings, path, key, cluster.certificate_auth_data)
    return cluster


def _usable_user(settings: Settings, path: Path, named: _NamedUser) -> models.User:
    user = named.user
    user.client_cert = _file(settings, path, "client-certificate", user.client_cert)
    user.client_key = _file(settings, path, "client-key", user.client_key)
    user.token_file = _file(settings, path, "tokenFile", user.token_file)
    _require_base64(settings, path, "client-certificate", user.client_cert_data)
    _require_base64(settings, path, "client-key", user.client_key_data)
    has_certificate = bool(user.client_cert or user.client_cert_data)
    if has_certificate != bool(user.client_key or user.client_key_data):
        one, other = "client-key", "client-certificate"
        if has_certificate:
            one, other = other, one
        problem = f"user {named.name} has a {one}, but no {other}."
        raise _fault(settings, str(path), problem)
    if user.exec:
        user.exec = _usable_plugin(path, user.exec)
    return user


def _file(settings: Settings, path: Path, key: str, name: str | None) -> str | None:
    """Return a path in a kubeconfig: "relative to the location of the kubeconfig file".

    The sentence is of the page that `load` names.
    """
    if not name:
        return None
    file = path.parent / name
    if not file.is_file():
        raise _fault(settings, str(path), f"its {key} {file} doesn't exist.")
    return str(file)


def _require_base64(settings: Settings, path: Path, key: str, data: str | None) -> None:
    try:
        b64decode(data or "")
    except ValueError:
        problem = f"its {key}-data isn't base64."
        raise _fault(settings, str(path), problem) from None


def _usable_plugin(path: Path, plugin: models.UserExec) -> models.UserExec:
    """Return a credential plugin with what client-go adds and lightkube doesn't.

    That is the variable KUBERNETES_EXEC_INFO, from which a plugin takes the version of
    its answer (client-go, plugin/pkg/client/auth/exec/exec.go, refreshCredsLocked), and
    the folder of a command that isn't on PATH (tools/clientcmd/loader.go,
    GetAuthInfoFileReferences). The status of an answer is the same in v1 and v1beta1.
    """
    version = plugin.apiVersion
    spec = {"interactive": False}
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    variable = models.NameValue(
        name="KUBERNETES_EXEC_INFO", value=msgspec.json.encode(info).decode()
    )
    command = plugin.command
    if os.sep in command:
        command = str(path.parent / command)
    if version == f"{_PLUGIN_API}/v1":
        version = f"{_PLUGIN_API}/v1beta1"
    return models.UserExec(
        apiVersion=version,
        command=command,
        args=plugin.args,
        env=[*(plugin.env or ()), variable],
        installHint=plugin.installHint,
    )
