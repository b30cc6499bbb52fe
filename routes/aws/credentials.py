"""Credentials from the stack, the environment or a shared file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import boto3
import botocore.session
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

from routes import remedies
from routes.aws.access import Access
from routes.errors import Finding, LookupFailedError


class _CodeNeededError(Exception):
    """Assuming the role requires an MFA code."""


def session(access: Access, region: str) -> boto3.Session:
    """Return a session with credentials. It never prompts.

    Raises:
        ClientError: AWS denied a role.
        LookupFailedError: no credentials; the message names their source.
    """
    core = access.core()
    try:
        found = _session(access, core, region)
        chain = core.get_component("credential_provider")
        chain.get_provider("assume-role")._prompter = _ask_nobody  # noqa: SLF001
        credentials = found.get_credentials()
        if not credentials:
            raise NoCredentialsError  # noqa: TRY301 - as boto3 does at the first call
        credentials.get_frozen_credentials()
    except ClientError:
        raise
    except Exception as error:  # noqa: BLE001 - a source raises whatever it meets
        raise LookupFailedError(str(_fault(error, access, core))) from None
    return found


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


def _ask_nobody(_: str) -> NoReturn:
    """Replace botocore's prompt, which would stop a preview in the background."""
    raise _CodeNeededError


def _fault(error: Exception, access: Access, core: botocore.session.Session) -> Finding:
    """Report the source that failed, and what to do."""
    profile, source = _source(core)
    where = f"AWS credentials ({source})" if source else "AWS credentials"
    problem, remedy, command = "its output isn't valid credentials.", "", ""
    match error:
        case _CodeNeededError():
            problem = (
                "assuming the role requires an MFA code. Neither this program nor the"
                " provider prompts for one."
            )
            remedy = "Put session credentials into the environment first:"
            if "profile" in access.values:
                remedy = "Remove aws:profile from the stack, and put session"
                remedy += " credentials into the environment:"
            words = "configure", "export-credentials", "--profile", profile
            exported = remedies.line("aws", *words, "--format", "env")
            command = f'eval "$({exported})"'
        case ProfileNotFound():
            problem = f"{error}."
            remedy = "List the profiles:"
            command = remedies.line("aws", "configure", "list-profiles")
        case SSOError() | TokenRetrievalError():
            problem = "not logged in, or the session has expired."
            remedy = "Log in:"
            command = remedies.line("aws", "sso", "login", "--profile", profile)
        case LoginError():
            problem = "not logged in, or the session has expired."
            remedy = "Log in:"
            command = remedies.line("aws", "login", "--profile", profile)
        case MissingDependencyException():
            problem = "boto3 needs its optional package `crt` for `aws login`."
            remedy = "Install it:"
            command = remedies.line("python", "-m", "pip", "install", "botocore[crt]")
        case NoCredentialsError() | PartialCredentialsError():
            problem = "none found, or incomplete."
            remedy = "Log in (aws sso login, aws configure), or name a profile:"
            command = remedies.set_key(access.stack, "aws:profile", "<profile>")
        case OSError():
            what = f"{error.filename}: " if error.filename else ""
            problem = f"cannot be read: {what}{error.strerror}."
        case BotoCoreError():
            problem = str(error).splitlines()[0]
        case _:  # its text may quote what should have been credentials
            remedy = "To see what it returns:"
            words = "configure", "export-credentials", "--profile", profile
            command = remedies.line("aws", *words)
    return Finding(where=where, problem=problem, remedy=remedy, command=command)


def _source(core: botocore.session.Session) -> tuple[str, str]:
    """Return the profile, and the kind of credentials that it names, "" if none."""
    named = core.get_config_variable("profile") or "default"
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
    variable = "AWS_WEB_IDENTITY_TOKEN_FILE"
    return named, variable if variable in os.environ else ""


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
        name = profiles[name].get("source_profile", "")
