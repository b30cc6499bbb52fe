"""Convert the exceptions of AWS and boto3 into one error with a fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from routes import commands
from routes.errors import (
    DeniedError,
    Finding,
    LookupFailedError,
    NotFoundError,
)

_DENIALS: Final = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_MANY: Final = 25
"""The default number of attempts of the AWS provider."""
_ENCODED: Final = "Encoded authorization failure message: "


@contextmanager
def explained(
    action: str, region: str, stack: str, *, conceals: bool = False
) -> Iterator[None]:
    """Convert an exception of AWS or boto3 into one error with a fix.

    Args:
        action: the call inside, and its purpose.
        region: of the call.
        stack: the stack that commands name.
        conceals: whether to hide the message, which may contain secrets.

    Raises:
        DeniedError: AWS denied the call.
        NotFoundError: AWS doesn't know the resource.
        LookupFailedError: any other exception of AWS or boto3. A bug in this program
            is raised unchanged.
    """
    failed: type[LookupFailedError] = LookupFailedError
    try:
        yield
    except ClientError as error:
        fault = _error_code(error, action, region, stack)
        code = error.response.get("Error", {}).get("Code", "")
        if code in _DENIALS:
            failed = DeniedError
        elif code.endswith(".NotFound"):
            failed = NotFoundError
    except Exception as error:
        if not _is_boto3s(error):
            raise
        fault = _failure(error, action, region, stack)
    else:
        return
    if conceals:
        fault = concealed_failure(fault.resource)
    raise failed(str(fault)) from None


def concealed_failure(resource: str) -> Finding:
    """Report a failure without its details."""
    return Finding(
        resource=resource,
        problem="it failed. The details may contain part of a secret value of the"
        " configuration, so they aren't shown.",
        hint="Check the secret aws: keys of the stack.",
    )


def _failure(error: Exception, action: str, region: str, stack: str) -> Finding:
    """Describe a failure without an answer from AWS.

    Only messages of botocore's own errors are shown. Others may quote what was read:
    user data, or keys of malformed credentials.
    """
    problem = "the answer isn't from AWS, or was cut short."
    if isinstance(error, BotoCoreError):
        problem = str(error)
    elif _is_of(error, "botocore.credentials"):
        problem = "the credentials have expired and could not be refreshed."
    return Finding(
        resource=f"{action} in {region}",
        problem=problem,
        hint="Check the network, the region, the profile, and AWS_ENDPOINT_URL or"
        " aws:endpoints if they are set. To show the stack's own keys:",
        command=commands.pulumi(stack, "config"),
    )


def _is_boto3s(error: Exception) -> bool:
    """Return whether boto3 raised it or passed it on; otherwise it is a bug here."""
    theirs = isinstance(error, BotoCoreError | ResponseParserError)
    return theirs or _is_of(error, "botocore")


def _is_of(error: Exception, package: str) -> bool:
    """Return whether it passed through a module of this package."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(f.f_globals["__name__"].startswith(package) for f in frames)


def _error_code(error: ClientError, action: str, region: str, stack: str) -> Finding:
    """Describe AWS's error, and how to fix it.

    Codes: EC2 API Reference, "Error codes"; STS API Reference, "Common errors".
    """
    details = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code = details.get("Code", "unknown")
    name = error.operation_name
    service = "sts" if name in {"AssumeRole", "GetCallerIdentity"} else "ec2"
    message, _, encoded = details.get("Message", "").partition(_ENCODED)
    hint, command = "", ""
    match code:
        case _ if code in _DENIALS:
            hint = _denial(message)
            if encoded:
                hint = "AWS encoded the reason. To decode it:"
                command = commands.shell_command(
                    "aws",
                    *("sts", "decode-authorization-message"),
                    *("--encoded-message", encoded.strip()),
                )
        case "ExpiredToken" | "ExpiredTokenException" | "RequestExpired":
            hint = "The session has expired: log in again (aws sso login)."
        case "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch":
            hint = "AWS doesn't know these credentials: check the profile and region."
        case "RequestLimitExceeded" | "Throttling" | "ThrottlingException":
            attempts = metadata.get("RetryAttempts", 0) + 1
            hint = f"AWS throttled {attempts} attempts. Try again, or allow more:"
            more = str(max(_MANY, 2 * attempts))
            command = commands.config_set(stack, "aws:maxRetries", more)
    what = action if action.startswith(name) else f"{name} for {action}"
    return Finding(
        resource=f"{service}:{what} in {region}",
        problem=f"it failed with {code}: {message.strip()}",
        details=(f"Request id: {metadata.get('RequestId', 'none')}",),
        hint=hint,
        command=command,
    )


def _denial(message: str) -> str:
    """Say who can allow a denied action, if AWS names the policy.

    AWS writes "because no identity-based policy allows the ec2:DescribeVpcs action" or
    "with an explicit deny in a service control policy" (IAM User Guide, "Troubleshoot
    access denied error messages").
    """
    missing = re.search(r"because no (.+?) allows the (\S+) action", message)
    denied = re.search(r"with an explicit deny in (?:an? |the )?([\w -]+)", message)
    if missing and missing[1] == "identity-based policy":
        return f"Allow {missing[2]} for this identity; see policies/."
    if missing:
        return f"A {missing[1]} has to allow {missing[2]}: ask its owner."
    if denied:
        return f"No other policy can allow it: ask the owner of that {denied[1]}."
    return "AWS doesn't name the policy: ask the administrator of the account."
