"""`sourceDestCheck: disable`: updates turn the source/destination check off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.cli_user import CliUser
from tests.e2e.watching import WATCHED, Watch, target, until
from tests.policies import acting_with, grant, policy

UP = "pulumi up --yes --skip-preview"


@pytest.fixture
def checked(user: CliUser) -> str:
    """Start a worker whose check is on, and return its interface."""
    instance_id = labs.add_worker(
        user.ec2,
        user.lab,
        "worker-3",
        address="10.0.2.13",
        user_data=labs.user_data(3),
        source_dest_check=True,
    )
    user.configure(workers="worker-*", sourceDestCheck="disable")
    return target(user, instance_id)


def is_on(user: CliUser, interface_id: str) -> bool:
    (interface,) = user.ec2.describe_network_interfaces(
        NetworkInterfaceIds=[interface_id]
    )["NetworkInterfaces"]
    return interface["SourceDestCheck"]


def test_an_update_turns_the_check_off_before_it_creates_routes(
    user: CliUser, checked: str, local_aws: Sandbox
) -> None:
    preview = user.does("pulumi preview")

    assert "The update turns off the source/destination check of:" in preview.text
    assert f"{checked} of worker-3" in preview.text
    assert "warning" not in preview.text
    assert is_on(user, checked)
    local_aws.clear_calls()

    user.does(UP)

    assert not is_on(user, checked)
    writes = [
        call.action
        for call in local_aws.calls()
        if call.action in {"ModifyNetworkInterfaceAttribute", "CreateRoute"}
    ]
    assert writes == ["ModifyNetworkInterfaceAttribute"] + 4 * ["CreateRoute"]
    again = user.does("pulumi preview --expect-no-changes")
    assert "check" not in again.text


def test_by_default_a_check_that_is_on_is_a_warning(
    user: CliUser, checked: str
) -> None:
    user.configure(workers="worker-*")

    update = user.does(UP)

    text = " ".join(update.text.split())
    assert f"{checked} has its source/destination check on" in text
    assert is_on(user, checked)


def test_its_permission_is_a_policy_of_its_own(
    user: CliUser, checked: str, local_aws: Sandbox
) -> None:
    keys = acting_with(local_aws, policy("up"))
    assert "ModifyNetworkInterfaceAttribute" in user.is_refused(UP, **keys)
    assert is_on(user, checked)

    statements = policy("up")["Statement"] + policy("checks")["Statement"]
    grant(local_aws, policy("up") | {"Statement": statements})
    user.does(UP, **keys)

    assert not is_on(user, checked)


def test_a_watcher_turns_a_check_off_that_somebody_turned_on_again(
    user: CliUser, checked: str, watching: Callable[..., Watch]
) -> None:
    user.configure(**WATCHED, sourceDestCheck="disable")
    watch = watching()
    watch.logs("4 of 4 routes are in place")
    assert not is_on(user, checked)

    user.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=checked, SourceDestCheck={"Value": True}
    )

    watch.logs("1 source/destination check(s) to turn off.")
    until(lambda: not is_on(user, checked), watch)
    watch.logs(": 1 source/destination check(s) turned off.")
    watch.ends()
