"""The account and the region in which the AWS provider acts."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_aws.get_caller_identity import get_caller_identity
from pulumi_aws.get_region import get_region

from routes import commands
from routes.errors import Finding, LookupFailedError

_PATIENCE: Final = 5.0
"""Seconds to wait for the lookup's own error."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The account and the region of the provider."""

    account: str
    region: str

    def require(self, account: str, region: str) -> None:
        """Compare with the account and the region of the lookup.

        Raises:
            LookupFailedError: they differ.
        """
        if (account, region) != (self.account, self.region):
            fault = Finding(
                resource=f"account {self.account}, {self.region}",
                problem="the AWS provider acts there, but workers were looked up in"
                f" account {account}, {region}.",
                hint="Check AWS_PROFILE, the credentials in the environment, and the"
                " stack's keys:",
                command=commands.pulumi(pulumi.get_stack(), "config"),
            )
            raise LookupFailedError(str(fault))


def provider_identity(lookup: Future[Any]) -> Identity:
    """Return the provider's identity, while the lookup runs.

    Raises:
        LookupFailedError: the provider has no region, or no valid credentials. If the
            lookup fails too, its own error is raised, which has a fix.
    """
    try:
        return Identity(
            account=get_caller_identity().account_id, region=get_region().region
        )
    except Exception as error:  # noqa: BLE001 - what an invoke raises has no type
        with suppress(TimeoutError):
            lookup.result(_PATIENCE)
        fault = Finding(
            resource="the AWS provider",
            problem="it failed:",
            details=tuple(str(error).rpartition("returned an error: ")[2].splitlines()),
            hint="Check the credentials in the environment, and the stack's keys:",
            command=commands.pulumi(pulumi.get_stack(), "config"),
        )
        raise LookupFailedError(str(fault)) from None
