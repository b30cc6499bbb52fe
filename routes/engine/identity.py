"""What the engine and its AWS provider know: account and region."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_aws.get_caller_identity import get_caller_identity
from pulumi_aws.get_region import get_region

from routes import remedies
from routes.errors import Finding, LookupFailedError

_PATIENCE: Final = 5.0
"""Seconds for a lookup that may fail as well."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Where, and as whom, the provider declares resources."""

    account: str
    region: str

    def must_be(self, account: str, region: str) -> None:
        """Compare with where the workers were looked up.

        Raises:
            LookupFailedError: they differ, so the plan is for another place.
        """
        if (account, region) != (self.account, self.region):
            fault = Finding(
                where=f"account {self.account}, {self.region}",
                problem="the AWS provider acts there, but the workers were looked up in"
                f" account {account}, {region}.",
                remedy="Check AWS_PROFILE, the credentials in the environment, and the"
                " stack's keys:",
                command=remedies.pulumi(pulumi.get_stack(), "config"),
            )
            raise LookupFailedError(str(fault))


def provider_identity(lookup: Future[Any]) -> Identity:
    """Ask the provider, while the lookup runs beside it.

    Raises:
        LookupFailedError: the provider has no region, no valid credentials, or no right
            to act in this account. If the lookup fails as well, it is the lookup's own
            error, for that says what to do.
    """
    try:
        return Identity(
            account=get_caller_identity().account_id, region=get_region().region
        )
    except Exception as error:  # noqa: BLE001 - what an invoke raises has no type
        with suppress(TimeoutError):
            lookup.result(_PATIENCE)
        fault = Finding(
            where="the AWS provider",
            problem="it cannot be used:",
            rows=tuple(str(error).rpartition("returned an error: ")[2].splitlines()),
            remedy="Check the credentials in the environment, and the stack's keys:",
            command=remedies.pulumi(pulumi.get_stack(), "config"),
        )
        raise LookupFailedError(str(fault)) from None
