"""Credentials from the stack, the environment or a shared file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    LoginError,
    MissingDependencyException,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from routes import commands
from routes.aws.access import Access
from routes.aws.failures import concealed_failure
from routes.errors import Finding, LookupFailedError

_INVALID: Final = "its output isn't valid credentials."


class _CodeNeededError(Exception):
    """Assuming the role requires an MFA code."""


def session(access: Access, region: str, options: Config) -> boto3.Session:
    """Return a session with credentials. It never prompts.

    Args:
        access: the configuration of the credentials.
        region: of the session.
        options: timeouts and retries, also of calls that get the credentials.

    Raises:
        LookupFailedError: no credentials; the message names their source.
    """
    core = access.core()
    core.set_default_client_config(options)
    try:
        result = _session(access, core, region)
        chain = core.get_component("credential_provider")
        chain.get_provider("assume-role")._prompter = _refuse_prompt  # noqa: SLF001
        credentials = result.get_credentials()
        if not credentials:
            raise NoCredentialsError  # noqa: TRY301 - as boto3 does at the first call
        credentials.get_frozen_credentials()
    except Exception as error:  # noqa: BLE001 - a source may raise anything
        raise LookupFailedError(str(_fault(error, access, core))) from None
    return result


def region(access: Access) -> str | None:
    """Return the region of the profile.

    Raises:
        LookupFailedError: there is no such profile.
    """
    core = access.core()
    try:
        return _session(access, core, None).region_name
    except BotoCoreError as error:
        raise LookupFailedError(str(_fault(error, access, core))) from None


def _session(
    access: Access, core: botocore.session.Session, region: str | None
) -> boto3.Session:
    return boto3.Session(
        botocore_session=core,
        region_name=region,
        profile_name=access.values.get("profile"),
        aws_access_key_id=access.values.get("accessKey"),
        aws_secret_access_key=access.values.get("secretKey"),
        aws_session_token=access.values.get("token"),
    )


def _refuse_prompt(_: str) -> NoReturn:
    """Replace botocore's prompt, which would stop a preview in the background."""
    raise _CodeNeededError


def _fault(error: Exception, access: Access, core: botocore.session.Session) -> Finding:
    """Report the source that failed, and what to do."""
    if access.conceals:
        return concealed_failure("AWS credentials")
    profile, source = _source(core, access)
    problem, hint, command = _problem(error), "", ""
    export = "aws", "configure", "export-credentials", "--profile", profile
    match error:
        case _CodeNeededError():
            hint = "Put session credentials into the environment first:"
            if "profile" in access.values:
                hint = "Remove aws:profile from the stack, and put session"
                hint += " credentials into the environment:"
            command = f'eval "$({commands.shell_command(*export, "--format", "env")})"'
        case ProfileNotFound():
            hint = "List the profiles:"
            command = commands.shell_command("aws", "configure", "list-profiles")
        case SSOError() | TokenRetrievalError() | LoginError():
            hint = "Log in:"
            service = () if isinstance(error, LoginError) else ("sso",)
            command = commands.shell_command(
                "aws", *service, "login", "--profile", profile
            )
        case MissingDependencyException():
            hint = "Install it:"
            command = commands.shell_command(
                "python", "-m", "pip", "install", "botocore[crt]"
            )
        case NoCredentialsError() | PartialCredentialsError():
            hint = "Log in (aws sso login, aws configure), or name a profile:"
            command = commands.config_set(access.stack, "aws:profile", "<profile>")
        case _ if problem == _INVALID:
            hint = "To see what it returns:"
            command = commands.shell_command(*export)
    return Finding(
        resource=f"AWS credentials ({source})" if source else "AWS credentials",
        problem=problem,
        hint=hint,
        command=command,
    )


def _problem(error: Exception) -> str:  # noqa: PLR0911 - one for each kind
    """Describe a failure, without text that may quote what should be credentials."""
    match error:
        case ClientError():
            details = error.response.get("Error", {})
            code, message = details.get("Code", ""), details.get("Message", "")
            return f"{error.operation_name} failed with {code}: {message}"
        case _CodeNeededError():
            return (
                "assuming the role requires an MFA code. Neither this program nor the"
                " provider prompts for one."
            )
        case SSOError() | TokenRetrievalError() | LoginError():
            return "not logged in, or the session has expired."
        case MissingDependencyException():
            return "boto3 needs its optional package `crt` for `aws login`."
        case NoCredentialsError() | PartialCredentialsError():
            return "none found, or incomplete."
        case OSError():
            what = f"{error.filename}: " if error.filename else ""
            return f"cannot be read: {what}{error.strerror}."
        case BotoCoreError():
            return str(error).splitlines()[0]
        case _:
            return _INVALID


def _source(core: botocore.session.Session, access: Access) -> tuple[str, str]:
    """Return the profile, and the kind of credentials that it names, "" if none.

    Without a profile of the stack, keys in the environment come before the files.
    """
    named = core.get_config_variable("profile") or "default"
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        if "profile" not in access.values and os.environ.get(variable):
            return named, variable
    for profile, values in reversed([*_profiles(core, named)]):
        for key, source in (
            ("credential_process", "credential_process"),
            ("web_identity_token_file", "web identity token"),
            ("sso_session", "SSO session"),
            ("sso_start_url", "SSO session"),
            ("login_session", "`aws login` session"),
            ("role_arn", "role"),
        ):
            if key in values:
                return profile, f"{source} of profile {profile}"
    return named, ""


def _profiles(
    core: botocore.session.Session, name: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a profile, then the profiles along its `source_profile` chain."""
    try:
        profiles: Mapping[str, Mapping[str, Any]] = core.full_config["profiles"]
    except BotoCoreError:  # the file is malformed, as the message says
        return
    seen: set[str] = set()
    while name in profiles and name not in seen:
        seen.add(name)
        yield name, profiles[name]
        source = profiles[name].get("source_profile")
        name = source if isinstance(source, str) else ""
