"""What tests begin with is what the commands that it stands for leave behind."""

from __future__ import annotations

import re

from tests.e2e.moments import BEGINNING, Moments, with_routes
from tests.e2e.person import Person

CHANGING = re.compile(r"\d{4}-\d\d-\d\dT[^']+|[0-9a-f]{8}(-[0-9a-f]+){4}")
"""Times, and the id that the engine draws for the provider."""


def everything(person: Person) -> dict[str, object]:
    """Return the account's routes and workers, and the stack's state and files."""
    ec2 = person.ec2
    files = [*person.workspace.path.glob("**/*")]
    return {
        "routes": person.routes(),
        "workers": ec2.describe_instances()["Reservations"],
        "interfaces": ec2.describe_network_interfaces()["NetworkInterfaces"],
        "state": sorted(CHANGING.sub("", str(each)) for each in person.state()),
        "config": person.does("pulumi config --json --show-secrets").text,
        "links": {str(file): file.readlink() for file in files if file.is_symlink()},
    }


def test_what_is_put_back_is_what_an_update_has_made(
    person: Person, moments: Moments
) -> None:
    with_routes(person)
    made = everything(person)

    again = moments.after(*BEGINNING, with_routes)

    assert everything(again) == made
    again.does("pulumi preview --expect-no-changes --refresh")
    again.does("pulumi destroy --yes --skip-preview")
    assert again.pod_routes() == {}
    once_more = moments.after(*BEGINNING, with_routes)
    assert everything(once_more) == made
