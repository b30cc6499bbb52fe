"""Read the `aws:` credentials, region and endpoints of a stack's configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

import botocore.session
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import BotoCoreError
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from routes import commands
from routes.errors import Finding, SettingsError
from routes.secrets import Secret, concealed

_Item = TypeVar("_Item")

_ATTEMPTS: Final = 10
_NEVER_SHOWN: Final = {"accessKey", "secretKey", "token"}
"""Keys whose values appear in no message of boto3 or AWS."""
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
"""Keys that only the provider reads, and the alternative that boto3 reads too."""


def _seconds(duration: object) -> int:
    """Read the hours, minutes and seconds of Go's notation: 1h, 1h30m, 900s."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(duration))
    if not match or not duration:
        raise ValueError(f"{duration!r} is not a duration such as 1h or 30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


class _Role(BaseModel):
    """One role of `aws:assumeRoles`, with the names of the provider's documentation."""

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
    """The `aws:` keys of a stack's configuration.

    Everything else comes from the environment and the shared files, which boto3 and the
    provider read in the same way.
    """

    stack: str
    values: Mapping[str, str]
    roles: Sequence[_Role]
    endpoints: Mapping[str, str]
    attempts: int
    config_file: str | None
    credentials_file: str | None
    conceals: bool = False
    """Whether the message of a failed call may contain part of a secret value."""

    def core(self) -> botocore.session.Session:
        """Return a session of botocore that reads the stack's shared files."""
        core = botocore.session.Session()
        if self.config_file:
            core.set_config_variable("config_file", self.config_file)
        if self.credentials_file:
            core.set_config_variable("credentials_file", self.credentials_file)
        return core


def load_access(config: Mapping[str, str], stack: str = "") -> Access:
    """Read the `aws:` keys of a stack's configuration.

    Raises:
        SettingsError: a key is invalid, or not supported here.
    """
    values = {
        key.removeprefix("aws:"): value
        for key, value in config.items()
        if key.startswith("aws:") and value
    }
    faults = [*_refused(values, stack), *_half_keys(values, stack)]
    endpoints: dict[str, str] = {}
    for entry in _structured(values, "endpoints", dict[str, str], faults):
        endpoints |= entry
    secret = {key for key, value in values.items() if isinstance(value, Secret)}
    access = Access(
        stack=stack,
        values=values,
        roles=_structured(values, "assumeRoles", _Role, faults),
        endpoints=endpoints,
        attempts=_attempts(values, stack, faults),
        config_file=_one_file(values, "sharedConfigFiles", faults),
        credentials_file=_one_file(values, "sharedCredentialsFiles", faults),
        conceals=bool(secret - _NEVER_SHOWN),
    )
    faults += _endpoint_faults(access)
    if faults:
        raise SettingsError(
            "The aws: configuration is invalid.", concealed(faults, config)
        )
    return access


def _endpoint_faults(access: Access) -> Iterator[Finding]:
    """Yield invalid endpoint URLs, wherever they are set."""
    core = access.core()
    if profile := access.values.get("profile"):
        core.set_config_variable("profile", profile)
    for service in ("ec2", "sts"):
        origin, url = f"aws:endpoints, {service}", access.endpoints.get(service)
        if not url:
            url = str(_ambient_endpoint(core, service) or "")
            origin = "endpoint_url of the profile"
            for name in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
                origin = name if os.environ.get(name) == url else origin
        if url and not _is_address(url):
            yield Finding(
                resource=origin,
                problem=f"expected the address of a server, found {url!r}.",
                hint="Write it with its scheme, like"
                f" https://{service}.us-east-1.amazonaws.com; a host name has only"
                " letters, digits and hyphens.",
            )


def _ambient_endpoint(core: botocore.session.Session, service: str) -> str | None:
    """Return the endpoint in the environment or the profile, as boto3 does."""
    try:
        if core.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        configured: Any = ConfiguredEndpointProvider(
            core.full_config, core.get_scoped_config(), service
        )
        url: str | None = configured.provide()
    except BotoCoreError:  # of the shared files; connecting reports it
        return None
    except AttributeError:  # botocore takes the service for a section
        return f"{service} = ..., and no endpoint_url indented below it"
    return url


def _is_address(url: str) -> bool:
    """Return whether boto3 can call it."""
    try:
        parts = urlsplit(url)
        known = is_valid_endpoint_url(url) or is_valid_ipv6_endpoint_url(url)
        return bool(known) and parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:  # an invalid port, unclosed brackets
        return False


def _refused(values: Mapping[str, str], stack: str) -> Iterator[Finding]:
    """Yield the keys that boto3 can't honour."""
    for key in _REFUSED.keys() & values:
        if values[key] != "false":
            yield Finding(
                resource=f"aws:{key}",
                problem="the lookup of workers doesn't support this key, so it could"
                " read another account or endpoint than the provider writes to.",
                hint=f"Instead, {_REFUSED[key]}. To remove it:",
                command=commands.config_rm(stack, f"aws:{key}"),
            )


def _half_keys(values: Mapping[str, str], stack: str) -> Iterator[Finding]:
    for key, other in (
        ("accessKey", "secretKey"),
        ("secretKey", "accessKey"),
        ("token", "accessKey"),
    ):
        if key in values and other not in values:
            yield Finding(
                resource=f"aws:{key}",
                problem=f"expected aws:{other} beside it; it is not set.",
                hint="Set it:",
                command=commands.config_set(
                    stack, f"aws:{other}", "<value>", "--secret"
                ),
            )


def _structured(
    values: Mapping[str, str], key: str, item_type: type[_Item], faults: list[Finding]
) -> list[_Item]:
    """Parse the JSON text that Pulumi passes for a YAML list."""
    if key not in values:
        return []
    try:
        return TypeAdapter(list[item_type]).validate_json(values[key])  # type: ignore[valid-type]
    except ValidationError as error:
        for detail in error.errors():
            path = "".join(f"[{part}]" for part in detail["loc"])
            faults.append(
                Finding(
                    resource=f"aws:{key}{path}",
                    problem=f"{detail['msg']}.",
                    hint="See the configuration options of pulumi-aws.",
                )
            )
        return []


def _attempts(values: Mapping[str, str], stack: str, faults: list[Finding]) -> int:
    text = values.get("maxRetries", str(_ATTEMPTS))
    if text.isdecimal() and int(text) > 0:
        return int(text)
    faults.append(
        Finding(
            resource="aws:maxRetries",
            problem=f"expected a whole number, at least 1; found {text!r}.",
            hint="Set it, for example:",
            command=commands.config_set(stack, "aws:maxRetries", str(_ATTEMPTS)),
        )
    )
    return _ATTEMPTS


def _one_file(values: Mapping[str, str], key: str, faults: list[Finding]) -> str | None:
    files = _structured(values, key, str, faults)
    if len(files) > 1:
        faults.append(
            Finding(
                resource=f"aws:{key}",
                problem=f"expected one file, found {len(files)}; boto3 reads only one.",
                hint="Join them into one file.",
            )
        )
    return files[0] if files else None
