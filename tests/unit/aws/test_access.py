"""Credentials, region and endpoints of the lookup, and messages for AWS's errors."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserError

from routes.aws.access import load_access
from routes.aws.clients import Clients, connect, region_of
from routes.aws.failures import explained
from routes.errors import LookupFailedError, RoutesError, SettingsError
from tests.builders import one_line

pytestmark = pytest.mark.usefixtures("aws_environment")


def credentials_of(client: Any) -> Any:  # noqa: ANN401 - botocore has no public way
    """Return what a client signs with."""
    return client._request_signer._credentials  # noqa: SLF001


@dataclass
class Api:
    """Record each call with its access key and endpoint; answer two actions."""

    calls: list[tuple[str, str, str]] = field(default_factory=list)
    requests: list[Mapping[str, Any]] = field(default_factory=list)

    def answer(
        self, client: botocore.client.BaseClient, action: str, request: dict[str, Any]
    ) -> dict[str, Any]:
        credentials = credentials_of(client)
        self.calls.append((action, credentials.access_key, client.meta.endpoint_url))
        self.requests.append(request)
        if action == "AssumeRole":
            role = request["RoleArn"].rpartition("/")[2]
            return {
                "Credentials": {
                    "AccessKeyId": f"key-of-{role}",
                    "SecretAccessKey": "secret",
                    "SessionToken": "token",
                }
            }
        assert action == "GetCallerIdentity"
        return {"Account": "123456789012"}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    fake = Api()

    def answer(
        client: botocore.client.BaseClient, action: str, request: dict[str, Any]
    ) -> dict[str, Any]:
        return fake.answer(client, action, request)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", answer)
    return fake


def connected(**config: object) -> Clients:
    """Return the clients of a stack with these `aws:` keys."""
    texts = {
        f"aws:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
    }
    return connect(load_access(texts, "dev"), "eu-west-1")


def signer(clients: Clients) -> str:
    """Return the access key that a client signs with."""
    return str(credentials_of(clients.ec2).access_key)


def complaint(**config: object) -> str:
    """Return the error for a stack with these `aws:` keys."""
    with pytest.raises(SettingsError) as caught:
        connected(**config)
    return str(caught.value)


def role(name: str, **options: object) -> dict[str, object]:
    return {"roleArn": f"arn:aws:iam::123456789012:role/{name}", **options}


def test_ambient_credentials_cost_no_call(api: Api) -> None:
    clients = connected()

    assert signer(clients) == "AKIAIOSFODNN7EXAMPLE"
    assert clients.ec2.meta.endpoint_url == "https://ec2.eu-west-1.amazonaws.com"
    assert clients.sts.meta.endpoint_url == "https://sts.eu-west-1.amazonaws.com"
    assert api.calls == []


def test_static_keys_of_the_stack_win_over_the_environment() -> None:
    clients = connected(accessKey="stack", secretKey="secret", token="token")

    credentials = credentials_of(clients.ec2)
    assert credentials.access_key == "stack"
    assert credentials.secret_key == "secret"
    assert credentials.token == "token"


def test_a_profile_and_shared_files_of_the_stack_are_read(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("[ops]\naws_access_key_id=ops\naws_secret_access_key=s")
    (tmp_path / "f").write_text("[profile ops]\nregion=ap-south-1\n")
    files = {
        "profile": "ops",
        "sharedConfigFiles": [str(tmp_path / "f")],
        "sharedCredentialsFiles": [str(tmp_path / "c")],
    }
    config = {
        f"aws:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in files.items()
    }

    assert signer(connected(**files)) == "ops"
    assert region_of(load_access(config)) == "ap-south-1"


def test_an_endpoint_of_the_stack_is_for_its_service_only(api: Api) -> None:
    clients = connected(
        endpoints=[{"ec2": "http://127.0.0.1:1"}, {"sts": "http://127.0.0.1:2"}],
        assumeRoles=[role("one")],
    )

    assert clients.ec2.meta.endpoint_url == "http://127.0.0.1:1"
    assert clients.sts.meta.endpoint_url == "http://127.0.0.1:2"
    assert api.calls == [("AssumeRole", "AKIAIOSFODNN7EXAMPLE", "http://127.0.0.1:2")]


def test_an_endpoint_of_the_environment_is_used(
    aws_environment: pytest.MonkeyPatch,
) -> None:
    aws_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:3")

    assert connected().ec2.meta.endpoint_url == "http://127.0.0.1:3"


def test_each_role_is_assumed_with_the_one_before(api: Api) -> None:
    clients = connected(assumeRoles=[role("one"), role("two")])

    sts = "https://sts.eu-west-1.amazonaws.com"
    assert api.calls == [
        ("AssumeRole", "AKIAIOSFODNN7EXAMPLE", sts),
        ("AssumeRole", "key-of-one", sts),
    ]
    assert signer(clients) == "key-of-two"


def test_a_role_is_assumed_with_the_options_of_the_stack(api: Api) -> None:
    connected(
        assumeRoles=[
            role(
                "one",
                duration="1h30m",
                externalId="x",
                policy="{}",
                policyArns=["arn:aws:iam::aws:policy/ReadOnlyAccess"],
                sessionName="ci",
                sourceIdentity="me",
                tags={"team": "net"},
                transitiveTagKeys=["team"],
            ),
            role("two"),
        ]
    )

    assert api.requests == [
        {
            "RoleArn": "arn:aws:iam::123456789012:role/one",
            "DurationSeconds": 5400,
            "ExternalId": "x",
            "Policy": "{}",
            "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
            "RoleSessionName": "ci",
            "SourceIdentity": "me",
            "Tags": [{"Key": "team", "Value": "net"}],
            "TransitiveTagKeys": ["team"],
        },
        {
            "RoleArn": "arn:aws:iam::123456789012:role/two",
            "RoleSessionName": "pod-routes",
        },
    ]


def test_a_role_is_assumed_from_a_profile_that_only_the_stacks_files_have(
    api: Api, aws_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("[profile ops]\nregion=ap-south-1\n")
    aws_environment.setenv("AWS_PROFILE", "ops")

    clients = connected(
        sharedConfigFiles=[str(tmp_path / "f")], assumeRoles=[role("one")]
    )

    assert signer(clients) == "key-of-one"
    assert len(api.calls) == 1


def test_the_number_of_attempts_is_the_stacks_and_adaptive() -> None:
    config: Any = connected(maxRetries="25").ec2.meta.config

    assert config.retries == {"mode": "adaptive", "total_max_attempts": 25}


@pytest.mark.parametrize(
    "key",
    [
        "assumeRole",
        "assumeRoleWithWebIdentity",
        "customCaBundle",
        "ec2MetadataServiceEndpoint",
        "ec2MetadataServiceEndpointMode",
        "httpProxy",
        "httpsProxy",
        "insecure",
        "noProxy",
        "stsRegion",
        "useDualstackEndpoint",
        "useFipsEndpoint",
    ],
)
def test_a_key_that_is_not_supported_is_refused_by_name(key: str) -> None:
    text = complaint(**{key: "true"})

    assert text.startswith("The aws: configuration is invalid.\n")
    assert f" aws:{key}: the lookup of workers doesn't support this" in one_line(text)
    assert text.endswith(f"  pulumi config rm aws:{key} --stack dev")
    assert connected(**{key: "false"}).region


@pytest.mark.parametrize(
    "key", ["defaultTags", "ignoreTags", "skipRegionValidation", "allowedAccountIds"]
)
def test_a_key_that_redirects_no_call_is_left_to_the_provider(key: str) -> None:
    assert connected(**{key: "anything"}).region


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        pytest.param(
            {"assumeRoles": [{"externalId": "x"}]},
            "aws:assumeRoles[0][roleArn]: Field required.",
            id="a role without its ARN",
        ),
        pytest.param(
            {"assumeRoles": [role("one", nonsense="x")]},
            "aws:assumeRoles[0][nonsense]: Extra inputs are not permitted.",
            id="an unknown option of a role",
        ),
        pytest.param(
            {"assumeRoles": [role("one", duration="soon")]},
            "'soon' is not a duration such as 1h or 30m.",
            id="a duration in words",
        ),
        pytest.param(
            {"assumeRoles": [role("one", duration=3600)]},
            "3600 is not a duration such as 1h or 30m.",
            id="a duration without its unit",
        ),
        pytest.param(
            {"assumeRoles": "arn:aws:iam::1:role/x"}, "Invalid JSON", id="no list"
        ),
        pytest.param({"endpoints": {"ec2": "x"}}, "valid array", id="a map of them"),
        pytest.param(
            {"sharedConfigFiles": ["a", "b"]},
            "aws:sharedConfigFiles: expected one file, found 2; boto3 reads only one.",
            id="two files",
        ),
        pytest.param(
            {"maxRetries": "many"},
            "aws:maxRetries: expected a whole number, at least 1; found 'many'.",
            id="attempts in words",
        ),
        pytest.param(
            {"accessKey": "stack"},
            "aws:accessKey: expected aws:secretKey beside it; it is not set.",
            id="half a key",
        ),
        pytest.param(
            {"token": "stack"},
            "aws:token: expected aws:accessKey beside it; it is not set.",
            id="a token alone",
        ),
        pytest.param({"maxRetries": "0"}, "at least 1; found '0'.", id="no attempt"),
    ],
)
def test_a_key_of_the_wrong_shape_is_reported(
    config: Mapping[str, object], problem: str
) -> None:
    assert problem in one_line(complaint(**config))


def test_all_invalid_keys_are_reported_at_once() -> None:
    text = complaint(insecure="true", maxRetries="0", endpoints="x")

    assert [
        line.partition(": ")[0] for line in text.splitlines() if line.startswith("aws:")
    ] == ["aws:endpoints", "aws:insecure", "aws:maxRetries"]


@pytest.mark.parametrize(
    ("config", "variables", "region"),
    [
        pytest.param(
            {"aws:region": "a"},
            {"AWS_REGION": "b", "AWS_DEFAULT_REGION": "c"},
            "a",
            id="the stack's",
        ),
        pytest.param({}, {"AWS_REGION": "b", "AWS_DEFAULT_REGION": "c"}, "b", id="1st"),
        pytest.param({}, {"AWS_DEFAULT_REGION": "c"}, "c", id="2nd"),
    ],
)
def test_the_region_is_the_stacks_then_the_environments(
    config: Mapping[str, str],
    variables: Mapping[str, str],
    region: str,
    aws_environment: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        aws_environment.setenv(name, value)

    assert region_of(load_access(config)) == region


def test_a_missing_region_is_reported_with_the_command_that_sets_it() -> None:
    with pytest.raises(LookupFailedError, match="pulumi config set aws:region"):
        region_of(load_access({}))


def failure(
    code: str,
    action: str = "DescribeInstances",
    message: str = "",
    attempts: int = 10,
) -> str:
    """Return the message for an error code of AWS."""
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"RetryAttempts": attempts - 1, "RequestId": "59c8d6ae"},
    }
    with (
        pytest.raises(LookupFailedError) as caught,
        explained("DescribeInstances", "eu-west-1", "dev"),
    ):
        raise ClientError(response, action)  # type: ignore[arg-type]
    assert max(map(len, str(caught.value).splitlines())) <= 80
    return str(caught.value)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("ExpiredToken", "The session has expired: log in again (aws sso login)."),
        ("RequestExpired", "The session has expired: log in again (aws sso login)."),
        ("AuthFailure", "AWS doesn't know these credentials:"),
        ("InvalidClientTokenId", "AWS doesn't know these credentials:"),
        ("RequestLimitExceeded", "AWS throttled 10 attempts. Try again, or allow"),
        ("Throttling", "pulumi config set aws:maxRetries 25 --stack dev"),
        ("Unavailable", "Request id: 59c8d6ae"),
    ],
)
def test_an_error_code_of_aws_has_a_hint(code: str, hint: str) -> None:
    text = one_line(failure(code, message="AWS's own message."))

    assert text.startswith(
        f"ec2:DescribeInstances in eu-west-1: it failed with {code}: AWS's own message."
        " Request id: 59c8d6ae"
    )
    assert hint in text


def test_more_attempts_are_suggested_than_were_made() -> None:
    text = one_line(failure("Throttling", attempts=40))

    assert "pulumi config set aws:maxRetries 80 --stack dev" in text


ME = "User: arn:aws:sts::123456789012:assumed-role/ci/x is not authorized to perform:"


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        pytest.param(
            "because no identity-based policy allows the ec2:DescribeInstances action",
            "Allow ec2:DescribeInstances for this identity; see policies/.",
            id="an allow is missing",
        ),
        pytest.param(
            "because no service control policy allows the ec2:DescribeInstances action",
            "A service control policy has to allow ec2:DescribeInstances: ask its"
            " owner.",
            id="an allow of the organization is missing",
        ),
        pytest.param(
            "with an explicit deny in a service control policy: arn:aws:o::1",
            "No other policy can allow it: ask the owner of that service control"
            " policy.",
            id="the organization denies",
        ),
        pytest.param(
            "with an explicit deny in an identity-based policy",
            "No other policy can allow it: ask the owner of that identity-based"
            " policy.",
            id="a policy denies",
        ),
        pytest.param(
            "on resource: arn:aws:iam::123456789012:role/x",
            "AWS doesn't name the policy: ask the administrator of the account.",
            id="no reason is given",
        ),
    ],
)
@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AccessDenied"])
def test_a_policy_is_suggested_only_if_aws_names_a_missing_allow(
    code: str, reason: str, hint: str
) -> None:
    """The reasons are those of IAM User Guide, "Troubleshoot access denied"."""
    text = one_line(failure(code, message=f"{ME} ec2:DescribeInstances {reason}"))

    assert f"{ME} ec2:DescribeInstances {reason}" in text
    assert text.endswith(hint)


def test_an_encoded_message_comes_with_the_command_that_decodes_it() -> None:
    with (
        pytest.raises(LookupFailedError) as caught,
        explained("DescribeInstances", "eu-west-1", "dev"),
    ):
        raise ClientError(
            {
                "Error": {
                    "Code": "UnauthorizedOperation",
                    "Message": "You are not authorized to perform this operation."
                    f" Encoded authorization failure message: {'x' * 900}",
                }
            },
            "DescribeInstances",
        )

    *prose, command = str(caught.value).splitlines()
    assert max(map(len, prose)) <= 80
    assert shlex.split(command)[:4] == [
        *("aws", "sts", "decode-authorization-message", "--encoded-message")
    ]
    assert shlex.split(command)[4:] == ["x" * 900]


def test_a_call_that_a_client_makes_for_another_is_named_with_both() -> None:
    """For example, a profile's role is assumed on the first call."""
    text = failure("AccessDenied", "AssumeRole")

    assert one_line(text).startswith(
        "sts:AssumeRole for DescribeInstances in eu-west-1: it failed with AccessDenied"
    )


def test_the_role_of_a_chain_that_cannot_be_assumed_is_named(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Api.answer

    def refuse(
        self: Api,
        client: botocore.client.BaseClient,
        action: str,
        request: dict[str, Any],
    ) -> dict[str, Any]:
        if "two" in request["RoleArn"]:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, action)
        return answer(self, client, action, request)

    monkeypatch.setattr(Api, "answer", refuse)
    with pytest.raises(LookupFailedError) as caught:
        connected(assumeRoles=[role("one"), role("two")])

    assert one_line(caught.value).startswith(
        "sts:AssumeRole of aws:assumeRoles[1], arn:aws:iam::123456789012:role/two, in"
        " eu-west-1: it failed with AccessDenied"
    )
    assert len(api.calls) == 1


def test_missing_credentials_are_reported(aws_environment: pytest.MonkeyPatch) -> None:
    aws_environment.delenv("AWS_ACCESS_KEY_ID")
    aws_environment.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(LookupFailedError) as caught:
        connected()

    assert str(caught.value) == (
        "AWS credentials: none found, or incomplete.\n"
        "  Log in (aws sso login, aws configure), or name a profile:\n"
        "  pulumi config set aws:profile '<profile>' --stack dev"
    )


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(LookupFailedError) as caught:
        connected(profile="nobody")

    text = one_line(caught.value)
    assert "The config profile (nobody) could not be found" in text
    assert max(map(len, str(caught.value).splitlines())) <= 80


def test_an_endpoint_that_does_not_answer_is_named() -> None:
    clients = connected(endpoints=[{"ec2": "http://127.0.0.1:9"}], maxRetries="1")

    with (
        pytest.raises(LookupFailedError) as caught,
        explained("DescribeVpcs", "eu-west-1", "dev"),
    ):
        clients.ec2.describe_vpcs()

    assert str(caught.value) == (
        "DescribeVpcs in eu-west-1: Could not connect to the endpoint URL:\n"
        '  "http://127.0.0.1:9/"\n'
        "  Check the network, the region, the profile, and AWS_ENDPOINT_URL or\n"
        "  aws:endpoints if they are set. To show the stack's own keys:\n"
        "  pulumi config --stack dev"
    )


BAD = "localhost:4566"


@pytest.mark.parametrize(
    ("config", "variables", "profile", "origin"),
    [
        pytest.param(
            {"endpoints": [{"ec2": BAD}]}, {}, "", "aws:endpoints, ec2", id="the stack"
        ),
        pytest.param({}, {"AWS_ENDPOINT_URL": BAD}, "", "AWS_ENDPOINT_URL", id="all"),
        pytest.param(
            {}, {"AWS_ENDPOINT_URL_STS": BAD}, "", "AWS_ENDPOINT_URL_STS", id="one"
        ),
        pytest.param(
            {}, {}, f"endpoint_url = {BAD}", "endpoint_url of the profile", id="profile"
        ),
        pytest.param(
            {},
            {},
            f"services = lab\n[services lab]\nec2 =\n  endpoint_url = {BAD}",
            "endpoint_url of the profile",
            id="a service of the profile",
        ),
    ],
)
def test_an_endpoint_without_its_scheme_is_reported_wherever_it_is_set(
    config: dict[str, object],
    variables: Mapping[str, str],
    profile: str,
    origin: str,
    aws_environment: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        aws_environment.setenv(name, value)
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(f"[profile ops]\n{profile}\n")

    text = one_line(complaint(profile="ops", **config))

    assert f" {origin}: expected the address of a server, found '{BAD}'. Write" in text


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        pytest.param(
            "[services lab]\nec2 = http://127.0.0.1:5000",
            "found 'ec2 = ..., and no endpoint_url indented below it'.",
            id="an endpoint in place of a section",
        ),
        pytest.param("", 'the "lab" services configuration does not exist', id="none"),
    ],
)
def test_services_of_a_profile_that_boto3_cannot_read_are_reported(
    sections: str, problem: str
) -> None:
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(
        "[profile ops]\naws_access_key_id = one\naws_secret_access_key = two\n"
        f"services = lab\n{sections}\n"
    )

    with pytest.raises(RoutesError) as caught:
        connected(profile="ops")

    assert problem in one_line(str(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        *("http://", "ftp://127.0.0.1", "http://h:port", "http://[::1", "//h"),
        *("http://local_stack:4566", "http://two words", "http://a..b", "http://-a"),
    ],
)
def test_an_invalid_address_of_a_server_is_reported(url: str) -> None:
    assert "expected the address of a server" in complaint(endpoints=[{"sts": url}])


@pytest.mark.parametrize("url", ["http://127.0.0.1:4566", "https://[::1]:1/path"])
def test_any_address_of_a_server_is_accepted(url: str) -> None:
    assert connected(endpoints=[{"ec2": url}]).ec2.meta.endpoint_url == url


def test_an_endpoint_that_boto3_is_configured_to_ignore_is_not_checked(
    aws_environment: pytest.MonkeyPatch,
) -> None:
    aws_environment.setenv("AWS_ENDPOINT_URL", BAD)
    aws_environment.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")

    assert connected().region


@pytest.mark.parametrize("error", [KeyError, ValueError])
def test_a_bug_is_not_reported_as_an_error_of_aws(error: type[Exception]) -> None:
    with pytest.raises(error), explained("DescribeVpcs", "eu-west-1", "dev"):
        raise error


def test_the_exception_of_boto3_is_not_shown_after_the_message() -> None:
    with (
        pytest.raises(LookupFailedError) as caught,
        explained("DescribeVpcs", "eu-west-1", "dev"),
    ):
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    assert caught.value.__suppress_context__


def test_an_answer_that_cannot_be_parsed_is_not_quoted() -> None:
    """It may be half of an answer to DescribeInstanceAttribute: user data."""
    with (
        pytest.raises(LookupFailedError, match="the answer isn't from AWS") as caught,
        explained("DescribeInstanceAttribute", "eu-west-1", "dev"),
    ):
        raise ResponseParserError("Unable to parse response:\nb'<html>secret")

    assert "secret" not in str(caught.value)
