"""A restored moment equals what its commands leave behind."""

from __future__ import annotations

import re

from tests.e2e.cli_user import CliUser
from tests.e2e.moments import BEGINNING, Moments, with_routes

CHANGING = re.compile(r"\d{4}-\d\d-\d\dT[^']+|[0-9a-f]{8}(-[0-9a-f]+){4}")
"""Times, and the random id that the engine gives to the provider."""


def everything(user: CliUser) -> dict[str, object]:
    """Return the account's routes and workers, and the stack's state and files."""
    ec2 = user.ec2
    files = [*user.workspace.path.glob("**/*")]
    return {
        "routes": user.routes(),
        "workers": ec2.describe_instances()["Reservations"],
        "interfaces": ec2.describe_network_interfaces()["NetworkInterfaces"],
        "state": sorted(CHANGING.sub("", str(each)) for each in user.state()),
        "config": user.does("pulumi config --json --show-secrets").text,
        "links": {str(file): file.readlink() for file in files if file.is_symlink()},
    }


def test_a_restored_moment_is_the_result_of_an_update(
    user: CliUser, moments: Moments
) -> None:
    with_routes(user)
    updated = everything(user)

    again = moments.after(*BEGINNING, with_routes)

    assert everything(again) == updated
    again.does("pulumi preview --expect-no-changes --refresh")
    again.does("pulumi destroy --yes --skip-preview")
    assert again.pod_routes() == {}
    once_more = moments.after(*BEGINNING, with_routes)
    assert everything(once_more) == updated
