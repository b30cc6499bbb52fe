"""Clients that act where, and as whom, the AWS provider of the stack acts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from routes.errors import Fault, LookupFailedError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sts import STSClient

_Item = TypeVar("_Item")

POOL_SIZE: Final = 32
"""Concurrent calls of one lookup."""
_ATTEMPTS: Final = 10
_REFUSED: Final = {
    "assumeRole": "use aws:assumeRoles",
    "assumeRoleWithWebIdentity": "use AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN",
    "customCaBundle": "use AWS_CA_BUNDLE",
    "ec2MetadataServiceEndpoint": "use AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "ec2MetadataServiceEndpointMode": "use AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "httpProxy": "use HTTP_PROXY",
    "httpsProxy": "use HTTPS_PROXY",
    "insecure": "use AWS_CA_BUNDLE, with your own authority in it",
    "noProxy": "use NO_PROXY",
    "stsRegion": "leave it out; aws:region serves both",
    "useDualstackEndpoint": "use AWS_USE_DUALSTACK_ENDPOINT",
    "useFipsEndpoint": "use AWS_USE_FIPS_ENDPOINT",
}
"""Keys that send the provider elsewhere than boto3, and what both of them read."""


@dataclass(frozen=True, kw_only=True)
class Clients:
    """One region's EC2 and STS, for one identity."""

    region: str
    ec2: EC2Client
    sts: STSClient


def _seconds(duration: object) -> int:
    """Read the hours, minutes and seconds of Go's notation: 1h, 1h30m, 900s."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(duration))
    if not match or not duration:
        raise ValueError(f"{duration!r} is not a duration such as 1h or 30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


class _Role(BaseModel):
    """One link of `aws:assumeRoles`, as the provider's documentation names it."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    role_arn: str
    duration: Annotated[int, BeforeValidator(_seconds)] | None = None
    external_id: str | None = None
    policy: str | None = None
    policy_arns: Sequence[str] = ()
    session_name: str = "pod-routes"
    source_identity: str | None = None
    tags: Mapping[str, str] = {}
    transitive_tag_keys: Sequence[str] = ()

    def request(self) -> dict[str, Any]:
        """Return the parameters of STS AssumeRole."""
        parameters = {
            "RoleArn": self.role_arn,
            "RoleSessionName": self.session_name,
            "DurationSeconds": self.duration,
            "ExternalId": self.external_id,
            "Policy": self.policy,
            "PolicyArns": [{"arn": arn} for arn in self.policy_arns],
            "SourceIdentity": self.source_identity,
            "Tags": [{"Key": key, "Value": tag} for key, tag in self.tags.items()],
            "TransitiveTagKeys": list(self.transitive_tag_keys),
        }
        return {name: value for name, value in parameters.items() if value}


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a stack's `aws:` configuration says of whom to be and where to call.

    What it leaves open comes from the environment and the shared files, which boto3 and
    the provider read alike.
    """

    values: Mapping[str, str]
    roles: Sequence[_Role]
    endpoints: Mapping[str, str]
    attempts: int
    config_file: str | None
    credentials_file: str | None


def load(config: Mapping[str, str]) -> Access:
    """Read the `aws:` keys of a stack's configuration.

    Raises:
        SettingsError: a key that is not usable, or not honoured here.
    """
    values = {
        key.removeprefix("aws:"): value
        for key, value in config.items()
        if key.startswith("aws:") and value
    }
    faults = [*_refused(values), *_half_keys(values)]
    endpoints: dict[str, str] = {}
    for entry in _structured(values, "endpoints", dict[str, str], faults):
        endpoints |= entry
    access = Access(
        values=values,
        roles=_structured(values, "assumeRoles", _Role, faults),
        endpoints=endpoints,
        attempts=_attempts(values, faults),
        config_file=_one_file(values, "sharedConfigFiles", faults),
        credentials_file=_one_file(values, "sharedCredentialsFiles", faults),
    )
    if faults:
        raise SettingsError("The aws: configuration is not usable.", faults)
    return access


def connect(access: Access, region: str) -> Clients:
    """Return the clients for one region.

    Raises:
        LookupFailedError: the credentials are missing, or a role cannot be assumed.
    """
    options = Config(
        retries={
            "mode": "adaptive",
            "total_max_attempts": access.attempts,
        },
        connect_timeout=5,
        read_timeout=15,
        max_pool_connections=POOL_SIZE,
    )

    def sts(session: boto3.Session) -> STSClient:
        return session.client(
            "sts", config=options, endpoint_url=access.endpoints.get("sts")
        )

    with explained("connecting", region):
        session = _session(access, region)
        for role in access.roles:
            credentials = sts(session).assume_role(**role.request())["Credentials"]
            session = boto3.Session(
                botocore_session=_core(access),
                aws_access_key_id=credentials["AccessKeyId"],
                aws_secret_access_key=credentials["SecretAccessKey"],
                aws_session_token=credentials["SessionToken"],
                region_name=region,
            )
        ec2 = session.client(
            "ec2", config=options, endpoint_url=access.endpoints.get("ec2")
        )
        return Clients(region=region, ec2=ec2, sts=sts(session))


def _core(access: Access) -> botocore.session.Session:
    core = botocore.session.Session()
    if access.config_file:
        core.set_config_variable("config_file", access.config_file)
    if access.credentials_file:
        core.set_config_variable("credentials_file", access.credentials_file)
    return core


def _session(access: Access, region: str | None) -> boto3.Session:
    return boto3.Session(
        botocore_session=_core(access),
        region_name=region,
        profile_name=access.values.get("profile"),
        aws_access_key_id=access.values.get("accessKey"),
        aws_secret_access_key=access.values.get("secretKey"),
        aws_session_token=access.values.get("token"),
    )


def region_of(access: Access) -> str:
    """Return the region that the provider uses.

    Raises:
        LookupFailedError: neither the stack, the environment nor the profile has one.
    """
    for region in (
        access.values.get("region"),
        os.environ.get("AWS_REGION"),
        os.environ.get("AWS_DEFAULT_REGION"),
    ):
        if region:
            return region
    with explained("The profile", "no region"):
        profiled = _session(access, None).region_name
    if not profiled:
        raise LookupFailedError(
            "No AWS region is set. Set it: pulumi config set aws:region <region>"
        )
    return profiled


@contextmanager
def explained(action: str, region: str) -> Iterator[None]:
    """Turn what AWS and boto3 raise into one error that says what to do.

    Raises:
        LookupFailedError: whatever failed inside.
    """
    try:
        yield
    except ClientError as error:
        raise LookupFailedError(str(_refusal(error, region))) from None
    except ValueError as error:  # botocore's own, of an endpoint without its scheme
        fault = Fault(
            where=f"{action} in {region}",
            problem=f"{error}.",
            remedy="Write AWS_ENDPOINT_URL and aws:endpoints with their scheme, like"
            " https://ec2.us-east-1.amazonaws.com.",
        )
        raise LookupFailedError(str(fault)) from None
    except (NoCredentialsError, PartialCredentialsError):
        fault = Fault(
            where="AWS credentials",
            problem="none were found, or not all of them.",
            remedy="Log in (aws sso login, aws configure), or name a profile:",
            command="pulumi config set aws:profile <profile>",
        )
        raise LookupFailedError(str(fault)) from None
    except BotoCoreError as error:
        fault = Fault(
            where=f"{action} in {region}",
            problem=f"{error}",
            remedy="Check the network, the region, the profile, and AWS_ENDPOINT_URL or"
            " aws:endpoints if they are set.",
        )
        raise LookupFailedError(str(fault)) from None


def _refusal(error: ClientError, region: str) -> Fault:
    """Explain an error code of EC2 or STS (EC2 API Reference, "Error codes")."""
    code = error.response.get("Error", {}).get("Code", "unknown")
    action = error.operation_name
    service = "sts" if action in {"AssumeRole", "GetCallerIdentity"} else "ec2"
    attempts = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
    match code:
        case "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException":
            todo = f"Allow {service}:{action} for this identity; see policies/."
        case "ExpiredToken" | "ExpiredTokenException" | "RequestExpired":
            todo = "The session has expired: log in again (aws sso login)."
        case "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch":
            todo = "AWS does not know these credentials: check the profile and region."
        case "RequestLimitExceeded" | "Throttling" | "ThrottlingException":
            todo = (
                f"AWS throttled {attempts} attempts. Try again, or allow more:"
                " pulumi config set aws:maxRetries 25"
            )
        case _:
            todo = error.response.get("Error", {}).get("Message", "")
    return Fault(
        where=f"{service}:{action} in {region}",
        problem=f"it failed with {code}.",
        remedy=todo,
    )


def _refused(values: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the keys that this module would have to ignore."""
    for key in _REFUSED.keys() & values:
        if values[key] != "false":
            yield Fault(
                where=f"aws:{key}",
                problem="the lookup of workers does not honour this key, so it could"
                " read another account or endpoint than the provider writes to.",
                remedy=f"Instead, {_REFUSED[key]}. To remove it:",
                command=f"pulumi config rm aws:{key}",
            )


def _half_keys(values: Mapping[str, str]) -> Iterator[Fault]:
    for key, other in (
        ("accessKey", "secretKey"),
        ("secretKey", "accessKey"),
        ("token", "accessKey"),
    ):
        if key in values and other not in values:
            yield Fault(
                where=f"aws:{key}",
                problem=f"expected aws:{other} beside it; it is not set.",
                remedy="Set it:",
                command=f"pulumi config set --secret aws:{other}",
            )


def _structured(
    values: Mapping[str, str], key: str, shape: type[_Item], faults: list[Fault]
) -> list[_Item]:
    """Read the JSON text that Pulumi hands over for a YAML list."""
    if key not in values:
        return []
    try:
        return TypeAdapter(list[shape]).validate_json(values[key])  # type: ignore[valid-type]
    except ValidationError as error:
        for detail in error.errors():
            place = "".join(f"[{part}]" for part in detail["loc"])
            faults.append(
                Fault(
                    where=f"aws:{key}{place}",
                    problem=f"{detail['msg']}.",
                    remedy="See the configuration options of pulumi-aws.",
                )
            )
        return []


def _attempts(values: Mapping[str, str], faults: list[Fault]) -> int:
    text = values.get("maxRetries", str(_ATTEMPTS))
    if text.isdecimal() and int(text) > 0:
        return int(text)
    faults.append(
        Fault(
            where="aws:maxRetries",
            problem=f"expected a whole number, at least 1; found {text!r}.",
            remedy="Set it, for example:",
            command=f"pulumi config set aws:maxRetries {_ATTEMPTS}",
        )
    )
    return _ATTEMPTS


def _one_file(values: Mapping[str, str], key: str, faults: list[Fault]) -> str | None:
    files = _structured(values, key, str, faults)
    if len(files) > 1:
        faults.append(
            Fault(
                where=f"aws:{key}",
                problem=f"expected one file, found {len(files)}; boto3 reads only one.",
                remedy="Join them into one file.",
            )
        )
    return files[0] if files else None
