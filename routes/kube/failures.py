"""Explain why a call to an API server failed; no message has a token."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

import httpx2
import msgspec
from lightkube import ApiError
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError, NotReadyError
from lightkube.models.meta_v1 import Status

from routes import commands
from routes.errors import DeniedError, Finding, LookupFailedError, truncated
from routes.settings import Settings

CAUGHT: Final = (
    *(httpx2.HTTPError, msgspec.MsgspecError, NotReadyError),
    *(ConfigError, LookupError, OSError, TypeError, ValueError),
)
"""What lightkube raises; the second line is about credentials."""
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_ROLE: Final = "examples/watch/nodes.yaml"
_LINES: Final = 5
"""Lines of a credential plugin's output that a message shows."""


def explain(
    error: Exception, rule: str, settings: Settings, config: SingleConfig
) -> LookupFailedError:
    """Return the error of a failed call.

    Args:
        error: what lightkube raised.
        rule: the RBAC rule that the call needs, such as "list on nodes".
        settings: the kubeconfig and the context.
        config: what they select.
    """
    status = _status(error)
    if status and status.code == _FORBIDDEN and _is_kubernetes(status):
        user = re.search(r'User "([^"]+)"', status.message or "")
        return denied(_text(status), rule, config, user[1] if user else "<user>")
    if status:
        fault = _refused(status, settings, config)
    elif isinstance(error, (msgspec.MsgspecError, NotReadyError)):
        fault = _not_kubernetes(f"{error}.", settings, config)
    elif isinstance(error, httpx2.HTTPError) and not _is_about_a_header(error):
        fault = _unreachable(str(error) or type(error).__name__, settings, config)
    else:
        fault = _no_credentials(error, settings, config)
    return LookupFailedError(str(fault))


def denied(
    problem: str, rule: str, config: SingleConfig, user: str = "<user>"
) -> DeniedError:
    """Return the error of a missing RBAC rule, with the command that grants it."""
    hint = (
        f"The missing RBAC rule: {rule}. The ClusterRole in {_ROLE} has it. An"
        " administrator of the cluster can bind it:"
    )
    apply = commands.shell_command("kubectl", "apply", "--filename", _ROLE)
    bind = commands.shell_command(
        *("kubectl", "create", "clusterrolebinding", "pod-routes-user"),
        *("--clusterrole", "pod-routes", "--user", user),
    )
    return DeniedError(str(_about(config, problem, hint, f"{apply} && {bind}")))


def _status(error: Exception) -> Status | None:
    """Return the refusal that an error is about, of the API server or of a proxy.

    lightkube raises another error if it can't read a refusal (core/generic_client.py,
    transform_exception), and doesn't read that of a watch (the same, watch).
    """
    cause: BaseException | None = error
    while cause and not isinstance(cause, httpx2.HTTPStatusError):
        cause = cause.__context__
    if not isinstance(cause, httpx2.HTTPStatusError):
        return None
    if isinstance(cause, ApiError) and _is_kubernetes(cause.status):
        return cause.status
    answer = cause.response
    with suppress(msgspec.MsgspecError, httpx2.HTTPError):
        status = msgspec.json.decode(answer.read(), type=Status)
        if _is_kubernetes(status):
            return status
    return Status(code=answer.status_code, message=answer.reason_phrase)


def _is_kubernetes(status: Status) -> bool:
    return status.status == "Failure"


def _text(status: Status) -> str:
    return f"{status.message or status.reason} ({status.code})."


def _about(config: SingleConfig, problem: str, hint: str, command: str) -> Finding:
    return Finding(
        resource=f"API server {config.cluster.server}",
        problem=problem,
        hint=hint,
        command=command,
    )


def _refused(status: Status, settings: Settings, config: SingleConfig) -> Finding:
    if status.code == _UNAUTHORIZED:
        return _about(
            config,
            f"it doesn't accept the credentials: {_text(status)}",
            "They may have expired. Log in again; this uses the same ones:",
            _kubectl(settings, "get", "nodes"),
        )
    if not _is_kubernetes(status):
        return _not_kubernetes(_text(status), settings, config)
    return _about(config, _text(status), "Try again:", _readyz(settings))


def _not_kubernetes(reason: str, settings: Settings, config: SingleConfig) -> Finding:
    return _about(
        config,
        f"its answer isn't Kubernetes': {reason}",
        "Something in between may have answered, such as a proxy. Compare:",
        _readyz(settings),
    )


def _unreachable(reason: str, settings: Settings, config: SingleConfig) -> Finding:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        problem = f"its certificate isn't trusted: {reason}."
        hint = "Check the kubeconfig's certificate authority and server:"
    else:
        problem = f"it can't be reached: {reason}."
        hint = "Check the network and the kubeconfig's server:"
    return _about(config, problem, hint, _readyz(settings))


def _is_about_a_header(error: Exception) -> bool:
    """Return whether a token can't be sent; such an error quotes it."""
    return isinstance(error, httpx2.LocalProtocolError) and "header" in str(error)


def _no_credentials(
    error: Exception, settings: Settings, config: SingleConfig
) -> Finding:
    plugin = config.user.exec if config.user else None
    details: tuple[str, ...] = ()
    if isinstance(error, ConfigError):
        first, *rest = filter(None, str(error).splitlines())
        problem, details = f"{first.rstrip(': ')}.", truncated(rest, _LINES)
    elif isinstance(error, FileNotFoundError) and plugin:
        problem = f"the credential plugin {plugin.command} isn't installed."
        details = truncated((plugin.installHint or "").splitlines(), _LINES)
    elif isinstance(error, OSError):
        problem = f"{error.filename} can't be used: {error.strerror}."
    elif _is_about_a_header(error):
        problem = "its token has characters that a token can't have."
    else:
        command = plugin.command if plugin else "the credential plugin"
        problem = f"{command} returned no ExecCredential with a token."
    return Finding(
        resource=f"user of context {config.context_name}",
        problem=problem,
        details=details,
        hint="This uses the same credentials:",
        command=_kubectl(settings, "get", "nodes"),
    )


def _kubectl(settings: Settings, *argv: str) -> str:
    return commands.kubectl(settings.kubeconfig, settings.kube_context, *argv)


def _readyz(settings: Settings) -> str:
    return _kubectl(settings, "get", "--raw", "/readyz")
