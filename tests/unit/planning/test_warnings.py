"""Warnings: what keeps pods from talking although the routes are right."""

from __future__ import annotations

import dataclasses

import pytest

from routes.errors import Finding
from routes.model import Route, RouteTable, Worker
from routes.planning.warnings import warnings_of
from tests.builders import networks, route, settings, table, worker


def warned(held: RouteTable, *workers: Worker) -> list[Finding]:
    found = workers or (worker(0),)
    return [*warnings_of(settings(), "us-east-1", [held], found)]


def test_a_healthy_lab_has_no_warning() -> None:
    assert warned(table(route("10.200.0.0/24", "eni-0"))) == []


def test_a_source_destination_check_that_is_on_is_told_with_its_cure() -> None:
    lab = worker(0)
    assert lab.interface
    checked = dataclasses.replace(lab.interface, source_dest_check=True)

    (warning,) = warned(table(), worker(0, interface=checked))

    assert str(warning) == (
        "worker-0 (i-0): eni-0 has its source/destination check on, so EC2\n"
        "  drops what its pods send and receive.\n"
        "  Turn it off:\n"
        "  aws ec2 modify-network-interface-attribute --network-interface-id eni-0"
        " --no-source-dest-check --region us-east-1"
    )


@pytest.mark.parametrize(
    ("state", "remedy", "command"),
    [
        ("pending", "Wait for it:", "aws ec2 wait instance-running"),
        (
            "stopping",
            "Start it once it has stopped. To wait for that:",
            "aws ec2 wait instance-stopped",
        ),
        ("stopped", "Start it:", "aws ec2 start-instances"),
    ],
)
def test_an_instance_that_does_not_run_is_told_once(
    state: str, remedy: str, command: str
) -> None:
    own = route("10.200.0.0/24", "eni-0", state="blackhole")

    (warning,) = warned(table(own), worker(0, state=state))

    assert warning.where == "worker-0 (i-0)"
    assert warning.problem == (
        f"the instance is {state}; until it runs, its routes are blackholes."
    )
    assert warning.remedy == remedy
    assert warning.command == f"{command} --instance-ids i-0 --region us-east-1"


def test_a_blackhole_that_the_plan_points_elsewhere_is_not_told() -> None:
    old = route("10.200.0.0/24", "eni-9", state="blackhole")

    assert warned(table(old)) == []


def test_a_blackhole_of_a_running_worker_with_the_right_target_is_told() -> None:
    own = route("10.200.0.0/24", "eni-0", state="blackhole")

    (warning,) = warned(table(own))

    assert warning.where == "worker-0 (i-0)"
    assert warning.problem == (
        "the route 10.200.0.0/24 in rtb-1 leads to its interface eni-0, and yet is a"
        " blackhole."
    )
    assert warning.remedy == "See how the interface is attached:"
    assert warning.command == (
        "aws ec2 describe-network-interfaces --network-interface-ids eni-0"
        " --region us-east-1"
    )


def test_a_blackhole_of_an_interface_that_may_come_back_is_not_to_be_deleted() -> None:
    """Whether it is gone, or on its way to another instance, the lookup cannot tell."""
    (warning,) = warned(table(route("10.200.9.0/24", "eni-9", state="blackhole")))

    assert warning.remedy.endswith(
        "declared it. Otherwise, this reports if its interface is deleted:"
    )
    assert warning.command == "python -m routes verify --stack dev"


def test_a_blackhole_of_no_worker_is_explained_and_no_command_deletes_it() -> None:
    (warning,) = warned(table(route("10.200.9.0/24", "nat-9", state="blackhole")))

    assert warning.where == "rtb-1"
    assert "10.200.9.0/24 to nat-9 is a blackhole" in warning.problem
    assert warning.remedy == (
        "An update deletes it if this stack declared it. Otherwise, if nobody needs it,"
        " its owner has to delete it."
    )
    assert warning.command == ""


def test_a_blackhole_whose_worker_may_come_back_is_not_to_be_deleted() -> None:
    """Another stack's worker, under maintenance."""
    foreign = route("10.200.9.0/24", "eni-9", state="blackhole", instance_id="i-9")

    (warning,) = warned(table(foreign))

    assert warning.problem == (
        "the route 10.200.9.0/24 to eni-9 is a blackhole, for i-9 does not run. No"
        " worker in this plan has that range: another's, perhaps."
    )
    assert (warning.remedy, warning.command) == ("", "")


def test_a_blackhole_whose_target_is_gone_leads_to_nothing() -> None:
    (warning,) = warned(table(route("10.200.9.0/24", "", state="blackhole")))

    assert "10.200.9.0/24 to nothing is a blackhole" in warning.problem


@pytest.mark.parametrize(
    "standing",
    [
        pytest.param(route("10.200.9.0/24"), id="one that works"),
        pytest.param(
            route("10.9.0.0/24", "pcx-1", state="blackhole"), id="outside the cluster"
        ),
        pytest.param(
            route(
                "10.200.9.0/24",
                "vgw-1",
                state="blackhole",
                origin="EnableVgwRoutePropagation",
            ),
            id="one that a gateway propagates",
        ),
        pytest.param(route("pl-1", "nat-1", state="blackhole"), id="a prefix list's"),
    ],
)
def test_what_is_not_of_the_cluster_is_not_warned_about(standing: Route) -> None:
    assert warned(table(standing)) == []


def test_ipv6_blackholes_are_reported_as_well() -> None:
    stale = route("fd00:200:0:9::/64", "nat-9", state="blackhole")
    wanted = settings(clusterCidr="fd00:200::/48")
    lab = worker(0, pod_cidrs=networks("fd00:200::/64"))

    (warning,) = warnings_of(wanted, "us-east-1", [table(stale)], [lab])

    assert "fd00:200:0:9::/64 to nat-9 is a blackhole" in warning.problem
