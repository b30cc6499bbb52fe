"""Where credentials come from, and the messages if there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from routes.aws.access import load_access
from routes.aws.clients import connect
from routes.errors import LookupFailedError, RoutesError, SettingsError
from routes.secrets import Secret
from routes.settings import load
from tests.builders import one_line


@pytest.fixture(autouse=True)
def no_keys(aws_environment: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws_environment.delenv(name)
    aws_environment.setenv("HOME", str(tmp_path))
    return aws_environment


def refused(config: str, profile: str = "ops", **values: str) -> str:
    """Return the error for this shared configuration file."""
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(config)
    values = {f"aws:{key}": value for key, value in values.items()}
    with pytest.raises(LookupFailedError) as caught:
        connect(load_access({"aws:profile": profile, **values}, "dev"), "eu-west-1")
    assert max(map(len, str(caught.value).splitlines())) <= 80
    return one_line(caught.value)


ROLE = "role_arn = arn:aws:iam::123456789012:role/one"
KEYS = "aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = hidden"
SSO = (
    "sso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n"
    "sso_account_id = 123456789012\nsso_role_name = admin"
)
SESSION = (
    "sso_session = us\nsso_account_id = 123456789012\nsso_role_name = admin\n"
    "[sso-session us]\nsso_start_url = https://example.awsapps.com/start\n"
    "sso_region = eu-west-1"
)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        pytest.param(
            "credential_process = echo secret-but-no-json",
            "AWS credentials (credential_process of profile ops): its output isn't"
            " valid credentials. To see what it returns: aws configure"
            " export-credentials --profile ops",
            id="a process that prints no JSON",
        ),
        pytest.param(
            "credential_process = echo '[\"secret\"]'",
            "(credential_process of profile ops): its output isn't valid credentials.",
            id="a process that prints other JSON",
        ),
        pytest.param(
            "credential_process = /nowhere/helper",
            "AWS credentials (credential_process of profile ops): cannot be read:"
            " /nowhere/helper: No such file or directory.",
            id="a missing helper",
        ),
        pytest.param(
            'credential_process = sh -c "echo asked in vain >&2; false"',
            "asked in vain",
            id="a process that fails",
        ),
        pytest.param(
            f"{ROLE}\nweb_identity_token_file = /nowhere/token",
            "AWS credentials (web identity token of profile ops): cannot be read:"
            " /nowhere/token: No such file or directory.",
            id="a missing token",
        ),
        pytest.param(
            f"{ROLE}\nsource_profile = base\nmfa_serial = 1\n[profile base]\n{KEYS}",
            "AWS credentials (role of profile ops): assuming the role requires an MFA"
            " code. Neither this program nor the provider prompts for one. Remove"
            " aws:profile from the stack, and put session credentials into the"
            ' environment: eval "$(aws configure export-credentials --profile ops'
            ' --format env)"',
            id="a role with MFA",
        ),
        pytest.param(
            SSO,
            "AWS credentials (SSO session of profile ops): not logged in, or the"
            " session has expired. Log in: aws sso login --profile ops",
            id="SSO, nobody logged in",
        ),
        pytest.param(
            SESSION,
            "not logged in, or the session has expired. Log in: aws sso login --profile"
            " ops",
            id="an SSO session, nobody logged in",
        ),
        pytest.param(
            f"{ROLE}\nsource_profile = people\n[profile people]\n{SSO}",
            "(SSO session of profile people): not logged in, or the session has"
            " expired. Log in: aws sso login --profile people",
            id="a role of an SSO profile",
        ),
        pytest.param(
            "login_session = arn:aws:iam::123456789012:user/one",
            "AWS credentials (`aws login` session of profile ops): boto3 needs its"
            " optional package `crt` for `aws login`. Install it: python -m pip install"
            " 'botocore[crt]'",
            id="aws login, without its package",
        ),
    ],
)
def test_a_source_that_fails_is_named_with_the_fix(settings: str, problem: str) -> None:
    text = refused(f"[profile ops]\n{settings}\n")

    assert problem in text
    assert "secret" not in text


def test_a_missing_token_of_the_environment_is_named(
    no_keys: pytest.MonkeyPatch,
) -> None:
    no_keys.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")
    no_keys.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/one")

    with pytest.raises(LookupFailedError) as caught:
        connect(load_access({}, "dev"), "eu-west-1")

    assert one_line(caught.value) == (
        "AWS credentials (AWS_WEB_IDENTITY_TOKEN_FILE): cannot be read:"
        " /nowhere/token: No such file or directory."
    )


def test_credentials_that_cannot_be_refreshed_fail_the_call_that_needs_them(
    tmp_path: Path,
) -> None:
    """A helper returned expired ones, and prints something else now."""
    helper = tmp_path / "helper"
    helper.write_text(
        '#!/bin/sh\ntest -e "$0.once" && echo no more && exit\ntouch "$0.once"\n'
        """echo '{"Version": 1, "AccessKeyId": "one", "SecretAccessKey": "two","""
        """ "Expiration": "2000-01-01T00:00:00Z"}'\n"""
    )
    helper.chmod(0o755)

    text = refused(f"[profile ops]\ncredential_process = {helper}\n")

    assert "credential_process of profile ops" in text


PASSWORD = "hunter2"


@pytest.mark.parametrize(
    "endpoints",
    [
        f"http://me:{PASSWORD}@127.0.0.1",
        f'[{{"ec2": "me:{PASSWORD}@127.0.0.1"}}]',
        f'[{{"ec2": "ftp://me:{PASSWORD}@127.0.0.1"}}]',
        f'[{{"ec2": ["{PASSWORD}"]}}]',
        f'[{{"{PASSWORD}": 1}}]',
        f'{{"{PASSWORD}": 1}}',
    ],
)
def test_no_part_of_a_secret_value_is_shown(endpoints: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_access({"aws:endpoints": Secret(endpoints)}, "dev")

    assert PASSWORD not in str(caught.value)
    assert "aws:endpoints: invalid value. It is a secret" in one_line(caught.value)


@pytest.mark.parametrize("key", ["workers", "clusterCidr", "workerTags", "workerz"])
def test_no_part_of_a_secret_setting_is_shown(key: str) -> None:
    with pytest.raises(RoutesError) as caught:
        load({f"pod-routes:{key}": Secret(f'["{PASSWORD}", 1')}, "dev")

    assert PASSWORD not in str(caught.value)


def test_an_address_that_is_a_secret_is_not_shown_if_the_call_fails(
    no_keys: pytest.MonkeyPatch,
) -> None:
    no_keys.setenv("AWS_ACCESS_KEY_ID", "one")
    no_keys.setenv("AWS_SECRET_ACCESS_KEY", "two")
    config = {
        "aws:endpoints": Secret(f'[{{"ec2": "http://127.0.0.1:9/{PASSWORD}"}}]'),
        "aws:maxRetries": "1",
    }
    clients = connect(load_access(config, "dev"), "eu-west-1")

    with pytest.raises(LookupFailedError, match="details may") as caught:
        clients.all("DescribeVpcs")

    assert PASSWORD not in str(caught.value)
