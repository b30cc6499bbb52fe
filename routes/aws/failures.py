"""What AWS and boto3 raise, as one error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from routes import remedies
from routes.errors import (
    DeniedError,
    Finding,
    LookupFailedError,
    NotFoundError,
)

_DENIALS: Final = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_MANY: Final = 25
"""Attempts, as the AWS provider makes them unless told otherwise."""
_ENCODED: Final = "Encoded authorization failure message: "


@contextmanager
def explained(
    action: str, region: str, stack: str, *, conceals: bool = False
) -> Iterator[None]:
    """Turn what AWS and boto3 raise into one error that says what to do.

    Args:
        action: what is called inside, and for what.
        region: where.
        stack: whose configuration led there; remedies name it.
        conceals: whether to leave out what boto3 or AWS said, for secrets may be in it.

    Raises:
        DeniedError: AWS did not allow the call.
        NotFoundError: AWS does not know what it names.
        LookupFailedError: whatever else AWS or boto3 raised inside. A bug of ours stays
            one.
    """
    failed: type[LookupFailedError] = LookupFailedError
    try:
        yield
    except ClientError as error:
        fault = _refusal(error, action, region, stack)
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
        fault = concealing(fault.where)
    raise failed(str(fault)) from None


def concealing(where: str) -> Finding:
    """Report a failure of which no details may be shown."""
    return Finding(
        where=where,
        problem="it failed. The details may contain part of a secret value of the"
        " configuration, so they aren't shown.",
        remedy="Check the secret aws: keys of the stack.",
    )


def _failure(error: Exception, action: str, region: str, stack: str) -> Finding:
    """Tell what failed before AWS could answer.

    Only texts of botocore's own errors are shown. Others may quote what was read: user
    data of an answer, or keys of what should have been credentials.
    """
    problem = "what answered is not AWS, or was cut short."
    if isinstance(error, BotoCoreError):
        problem = str(error)
    elif _is_of(error, "botocore.credentials"):
        problem = "the credentials have expired and could not be refreshed."
    return Finding(
        where=f"{action} in {region}",
        problem=problem,
        remedy="Check the network, the region, the profile, and AWS_ENDPOINT_URL or"
        " aws:endpoints if they are set. The stack's own keys are shown by:",
        command=remedies.pulumi(stack, "config"),
    )


def _is_boto3s(error: Exception) -> bool:
    """Return whether boto3 raised it, or met it; else it is a bug of ours."""
    theirs = isinstance(error, BotoCoreError | ResponseParserError)
    return theirs or _is_of(error, "botocore")


def _is_of(error: Exception, package: str) -> bool:
    """Return whether a module of this package passed it on."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(f.f_globals["__name__"].startswith(package) for f in frames)


def _refusal(error: ClientError, action: str, region: str, stack: str) -> Finding:
    """Tell what AWS said, and what to do about its code.

    Codes: EC2 API Reference, "Error codes"; STS API Reference, "Common errors".
    """
    details = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code = details.get("Code", "unknown")
    name = error.operation_name
    service = "sts" if name in {"AssumeRole", "GetCallerIdentity"} else "ec2"
    message, _, encoded = details.get("Message", "").partition(_ENCODED)
    todo, command = "", ""
    match code:
        case _ if code in _DENIALS:
            todo = _denial(message)
            if encoded:
                todo = "Which policy it was is in what AWS encoded. To read it:"
                command = remedies.line(
                    "aws",
                    *("sts", "decode-authorization-message"),
                    *("--encoded-message", encoded.strip()),
                )
        case "ExpiredToken" | "ExpiredTokenException" | "RequestExpired":
            todo = "The session has expired: log in again (aws sso login)."
        case "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch":
            todo = "AWS does not know these credentials: check the profile and region."
        case "RequestLimitExceeded" | "Throttling" | "ThrottlingException":
            attempts = metadata.get("RetryAttempts", 0) + 1
            todo = f"AWS throttled {attempts} attempts. Try again, or allow more:"
            more = str(max(_MANY, 2 * attempts))
            command = remedies.set_key(stack, "aws:maxRetries", more)
    what = action if action.startswith(name) else f"{name} for {action}"
    return Finding(
        where=f"{service}:{what} in {region}",
        problem=f"it failed with {code}: {message.strip()}",
        rows=(f"Request id: {metadata.get('RequestId', 'none')}",),
        remedy=todo,
        command=command,
    )


def _denial(message: str) -> str:
    """Say who can lift a denial, as far as AWS says which policy it is.

    AWS writes "because no identity-based policy allows the ec2:DescribeVpcs action" or
    "with an explicit deny in a service control policy" (IAM User Guide, "Troubleshoot
    access denied error messages").
    """
    missing = re.search(r"because no (.+?) allows the (\S+) action", message)
    denied = re.search(r"with an explicit deny in (?:an? |the )?([\w -]+)", message)
    if missing and missing[1] == "identity-based policy":
        return f"Allow {missing[2]} for this identity; see policies/."
    if missing:
        return f"A {missing[1]} has to allow {missing[2]}: ask whoever owns it."
    if denied:
        return f"No allow elsewhere helps: ask whoever owns that {denied[1]}."
    return "AWS does not say which policy it was: ask whoever administers the account."
