"""What the engine and its AWS provider know: configuration, account and region."""

from __future__ import annotations

from dataclasses import dataclass

from pulumi.runtime import get_config_env
from pulumi_aws.get_caller_identity import get_caller_identity
from pulumi_aws.get_region import get_region

from routes.errors import Fault, LookupFailedError


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
            fault = Fault(
                where=f"account {self.account}, {self.region}",
                problem="the AWS provider acts there, but the workers were looked up in"
                f" account {account}, {region}.",
                remedy="Check AWS_PROFILE, the credentials in the environment, and the"
                " aws: configuration of the stack.",
            )
            raise LookupFailedError(str(fault))


def stack_config() -> dict[str, str]:
    """Return the stack's whole configuration: namespaced keys, values as text."""
    return {key: str(value) for key, value in get_config_env().items()}


def identity() -> Identity:
    """Ask the provider.

    Raises:
        LookupFailedError: the provider has no region, no valid credentials, or no right
            to act in this account.
    """
    try:
        return Identity(
            account=get_caller_identity().account_id, region=get_region().region
        )
    except Exception as error:  # noqa: BLE001 - what an invoke raises has no type
        reason = str(error).rpartition("returned an error: ")[2]
        raise LookupFailedError(f"The AWS provider is not usable.\n{reason}") from None
