"""Warnings: what keeps pods from talking although the routes are right."""

from __future__ import annotations

import dataclasses

import pytest

from routes.errors import Finding
from routes.model import Route, Worker, static_routes
from routes.planning.warnings import of_blackholes, of_workers
from routes.settings import Settings
from tests.builders import networks, pod_route, route, settings, table, worker

LAB = settings()


def warned(
    existing: Route | None, *workers: Worker, configured: Settings = LAB
) -> list[Finding]:
    """Return the warnings for a table with one route, by default for worker-0."""
    chosen = workers or (worker(0),)
    routes = [
        dataclasses.replace(pod_route(str(cidr), one.interface.id), worker=one.name)
        for one in chosen
        for cidr in one.pod_cidrs
        if one.interface
    ]
    return [
        *of_workers(settings(), "us-east-1", chosen),
        *of_blackholes(
            configured,
            "us-east-1",
            {each.key: each for each in routes},
            static_routes([table(existing) if existing else table()]),
            chosen,
        ),
    ]


def test_a_healthy_lab_has_no_warning() -> None:
    assert warned(route("10.200.0.0/24", "eni-0")) == []


def test_a_source_destination_check_that_is_on_is_reported_with_the_fix() -> None:
    lab = worker(0)
    assert lab.interface
    checked = dataclasses.replace(lab.interface, source_dest_check=True)

    (warning,) = warned(None, worker(0, interface=checked))

    assert str(warning) == (
        "worker-0 (i-0): eni-0 has its source/destination check on, so EC2\n"
        "  drops what its pods send and receive.\n"
        "  Turn it off:\n"
        "  aws ec2 modify-network-interface-attribute --network-interface-id eni-0"
        " --no-source-dest-check --region us-east-1"
    )


@pytest.mark.parametrize(
    ("state", "hint", "command"),
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
def test_an_instance_that_is_not_running_is_reported_once(
    state: str, hint: str, command: str
) -> None:
    own = route("10.200.0.0/24", "eni-0", state="blackhole")

    (warning,) = warned(own, worker(0, state=state))

    assert warning.resource == "worker-0 (i-0)"
    assert warning.problem == (
        f"the instance is {state}; until it runs, its routes are blackholes."
    )
    assert warning.hint == hint
    assert warning.command == f"{command} --instance-ids i-0 --region us-east-1"


def test_a_blackhole_that_the_plan_retargets_is_not_reported() -> None:
    assert warned(route("10.200.0.0/24", "eni-9", state="blackhole")) == []


def test_a_blackhole_of_a_running_worker_with_the_right_target_is_reported() -> None:
    (warning,) = warned(route("10.200.0.0/24", "eni-0", state="blackhole"))

    assert warning.resource == "rtb-1 10.200.0.0/24"
    assert warning.problem == (
        "leads to eni-0 of worker-0, which is running, and yet it is a blackhole."
    )
    assert warning.hint == "See how the interface is attached:"
    assert warning.command == (
        "aws ec2 describe-network-interfaces --network-interface-ids eni-0"
        " --region us-east-1"
    )


def test_no_command_deletes_a_blackhole_whose_interface_may_be_attached_again() -> None:
    """A lookup doesn't tell whether it is deleted, or about to be attached again."""
    (warning,) = warned(route("10.200.9.0/24", "eni-9", state="blackhole"))

    assert warning.hint.endswith(
        "declared it. Otherwise, this reports whether its interface is deleted:"
    )
    assert warning.command == "python -m routes verify --stack dev"


def test_an_unneeded_blackhole_is_explained_and_no_command_deletes_it() -> None:
    (warning,) = warned(route("10.200.9.0/24", "nat-9", state="blackhole"))

    assert warning.resource == "rtb-1 10.200.9.0/24"
    assert warning.problem.startswith("is a blackhole to nat-9, and no worker")
    assert warning.hint == (
        "An update deletes it if this stack declared it. Otherwise, if nobody needs it,"
        " its owner has to delete it."
    )
    assert warning.command == ""


def test_no_command_deletes_a_blackhole_whose_instance_may_be_started_again() -> None:
    """Another stack's worker, under maintenance."""
    (warning,) = warned(
        route("10.200.9.0/24", "eni-9", state="blackhole", instance_id="i-9")
    )

    assert warning.resource == "rtb-1 10.200.9.0/24"
    assert warning.problem == (
        "is a blackhole, because i-9 isn't running. No worker in this plan has that"
        " range; it may be another cluster's."
    )
    assert (warning.hint, warning.command) == ("", "")


def test_a_blackhole_without_a_target_leads_to_nothing() -> None:
    (warning,) = warned(route("10.200.9.0/24", "", state="blackhole"))

    assert warning.resource == "rtb-1 10.200.9.0/24"
    assert warning.problem.startswith("is a blackhole to nothing,")


@pytest.mark.parametrize(
    "existing",
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
def test_other_routes_are_not_reported(existing: Route) -> None:
    assert warned(existing) == []


def test_ipv6_blackholes_are_reported_as_well() -> None:
    (warning,) = warned(
        route("fd00:200:0:9::/64", "nat-9", state="blackhole"),
        worker(0, pod_cidrs=networks("fd00:200::/64")),
        configured=settings(clusterCidr="fd00:200::/48"),
    )

    assert warning.resource == "rtb-1 fd00:200:0:9::/64"
    assert warning.problem.startswith("is a blackhole to nat-9,")
