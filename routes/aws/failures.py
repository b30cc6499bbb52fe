"""What AWS and boto3 raise, as one error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from routes import remedies
from routes.errors import DeniedError, Finding, LookupFailedError, NotFoundError

_DENIALS: Final = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_MANY: Final = 25
"""Attempts, as the AWS provider makes them unless told otherwise."""
_ENCODED: Final = "Encoded authorization failure message: "


@contextmanager
def explained(action: str, region: str, stack: str) -> Iterator[None]:
    """Turn what AWS and boto3 raise into one error that says what to do.

    Args:
        action: what is called inside, and for what.
        region: where.
        stack: whose configuration led there; remedies name it.

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
    except (NoCredentialsError, PartialCredentialsError):
        fault = Finding(
            where="AWS credentials",
            problem="none were found, or not all of them.",
            remedy="Log in (aws sso login, aws configure), or name a profile:",
            command=remedies.set_key(stack, "aws:profile", "<profile>"),
        )
    except (BotoCoreError, ResponseParserError) as error:
        # botocore quotes an answer that it cannot read, and user data may be in it.
        broken = isinstance(error, ResponseParserError)
        fault = Finding(
            where=f"{action} in {region}",
            problem="what answered is not AWS, or was cut short."
            if broken
            else f"{error}",
            remedy="Check the network, the region, the profile, and AWS_ENDPOINT_URL or"
            " aws:endpoints if they are set. The stack's own keys are shown by:",
            command=remedies.pulumi(stack, "config"),
        )
    else:
        return
    raise failed(str(fault)) from None


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
