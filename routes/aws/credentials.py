"""Whoever the lookup acts as: credentials from the stack, the environment or a file."""

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
    """A role is assumed with an MFA code alone."""


def session(access: Access, region: str) -> boto3.Session:
    """Return a session that holds credentials. Nobody is ever asked for any.

    Raises:
        ClientError: AWS refused a role.
        LookupFailedError: there are none; the message says where they should be.
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
    """Take the place of a prompt, for which an update in CI would wait for ever."""
    raise _CodeNeededError


def _fault(error: Exception, access: Access, core: botocore.session.Session) -> Finding:
    """Tell which source failed, and what to do."""
    profile, source = _source(core)
    where = f"AWS credentials, {source}" if source else "AWS credentials"
    problem, remedy, command = f"they cannot be had: {error}", "", ""
    match error:
        case _CodeNeededError():
            problem = (
                "the role needs an MFA code. The program asks nobody, and the provider"
                " cannot."
            )
            remedy = "Get a session with the code first; the environment then has it."
            if "profile" in access.values:
                remedy += " It counts once the stack has no aws:profile."
            words = "configure", "export-credentials", "--profile", profile
            exported = remedies.line("aws", *words, "--format", "env")
            command = f'eval "$({exported})"'
        case ProfileNotFound():
            problem = f"{error}."
            remedy = "These profiles are there:"
            command = remedies.line("aws", "configure", "list-profiles")
        case SSOError() | TokenRetrievalError():
            problem = "nobody is logged in, or the session has expired."
            remedy = "Log in:"
            command = remedies.line("aws", "sso", "login", "--profile", profile)
        case LoginError():
            problem = "nobody is logged in, or the session has expired."
            remedy = "Log in:"
            command = remedies.line("aws", "login", "--profile", profile)
        case MissingDependencyException():
            problem = "boto3 reads profiles of `aws login` with its part `crt` alone."
            remedy = "Install it:"
            command = remedies.line("python", "-m", "pip", "install", "botocore[crt]")
        case NoCredentialsError() | PartialCredentialsError():
            problem = "none were found, or not all of them."
            remedy = "Log in (aws sso login, aws configure), or name a profile:"
            command = remedies.set_key(access.stack, "aws:profile", "<profile>")
        case OSError():
            what = f"{error.filename}: " if error.filename else ""
            problem = f"they cannot be had: {what}{error.strerror}."
        case BotoCoreError():
            problem = f"they cannot be had: {str(error).splitlines()[0]}"
        case _:  # its text may quote what should have been credentials
            problem = "what was read there is no credentials."
            remedy = "Look at what it gives, with:"
            words = "configure", "export-credentials", "--profile", profile
            command = remedies.line("aws", *words)
    return Finding(where=where, problem=problem, remedy=remedy, command=command)


def _source(core: botocore.session.Session) -> tuple[str, str]:
    """Return the profile that is to give credentials, and by what, "" if unknown."""
    named = core.get_config_variable("profile") or "default"
    for profile, values in reversed([*_profiles(core, named)]):
        for key, source in (
            ("credential_process", "the credential_process"),
            ("web_identity_token_file", "the web identity token"),
            ("sso_session", "the SSO session"),
            ("sso_start_url", "the SSO session"),
            ("login_session", "the session of `aws login`"),
            ("role_arn", "the role"),
        ):
            if key in values:
                return profile, f"{source} of profile {profile}"
    variable = "AWS_WEB_IDENTITY_TOKEN_FILE"
    return named, variable if variable in os.environ else ""


def _profiles(
    core: botocore.session.Session, name: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a profile, and those that its role is assumed with, one after the other."""
    try:
        profiles: Mapping[str, Mapping[str, Any]] = core.full_config["profiles"]
    except BotoCoreError:  # the file cannot be read, as the message says
        return
    seen: set[str] = set()
    while name in profiles and name not in seen:
        seen.add(name)
        yield name, profiles[name]
        name = profiles[name].get("source_profile", "")
