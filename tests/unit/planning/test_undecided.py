"""What stays as the state has it, because an answer of EC2 does not decide it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from routes.engine.state import Stack
from routes.errors import PlanError
from routes.model import ManagedRoute, Selector, Worker
from routes.planning import plan
from tests import builders
from tests.builders import (
    discovery,
    networks,
    pod_route,
    route,
    settings,
    table,
    worker,
)

SKIP = settings(workers="worker-*", unready="skip", maxRemovals="100%")
REFUSE = settings(workers="worker-*", maxRemovals="100%")
ALL = Selector("worker-*")


def stack(*served: Worker, table_id: str = "rtb-1") -> Stack:
    """Return a stack that an update left with the routes of these workers."""
    routes = [
        pod_route(str(one.pod_cidrs[0]), one.interface.id, table_id, one.instance_id)
        for one in served
        if one.interface
    ]
    return builders.stack(
        {each.import_id: each.network_interface_id for each in routes},
        declared={each.import_id: each for each in routes},
    )


def swapped(**changes: Any) -> list[Worker]:  # noqa: ANN401
    """Return two workers that have each other's pod CIDR; the first is changed."""
    first = {"pod_cidrs": networks("10.200.1.0/24"), **changes}
    return [worker(0, **first), worker(1, pod_cidrs=networks("10.200.0.0/24"))]


def test_a_table_that_its_name_does_not_find_keeps_its_routes() -> None:
    """A filter by name left it out, and its id found it."""
    other = table(id="rtb-2", name="other")
    found = discovery(
        {ALL: (worker(0),)},
        {Selector("kubernetes"): (), Selector("other"): (other,)},
        former_tables=(table(route("10.200.0.0/24", "eni-0")),),
    )

    planned = plan.make(SKIP, found, stack(worker(0)))

    assert planned.kept == {"rtb-1_10.200.0.0/24"}
    assert planned.problems


def test_a_list_of_tables_that_lacks_one_of_two_namesakes_deletes_nothing() -> None:
    found = discovery(
        {ALL: (worker(0),)},
        {Selector("kubernetes"): (table(id="rtb-2"),)},
        former_tables=(table(route("10.200.0.0/24", "eni-0")),),
    )

    planned = plan.make(SKIP, found, stack(worker(0)))

    assert planned.kept == {"rtb-1_10.200.0.0/24"}
    with pytest.raises(PlanError, match="list of route tables was short"):
        plan.make(REFUSE, found, stack(worker(0)))


def test_a_table_that_no_entry_is_for_any_more_loses_its_routes() -> None:
    found = discovery(
        {ALL: (worker(0),)},
        {Selector("other"): (table(id="rtb-2", name="other"),)},
        former_tables=(table(route("10.200.0.0/24", "eni-0")),),
    )

    planned = plan.make(SKIP, found, stack(worker(0)))

    assert not planned.kept
    assert [each.route_table_id for each in planned.routes] == ["rtb-2"]


@pytest.mark.parametrize("changes", [{"interface": None}, {"pod_cidrs": ()}])
def test_of_two_that_swap_pod_cidrs_one_that_is_not_ready_loses_no_route(
    changes: dict[str, Any],
) -> None:
    found = discovery({ALL: tuple(swapped(**changes))})

    planned = plan.make(SKIP, found, stack(worker(0), worker(1)))

    assert planned.kept == {"rtb-1_10.200.0.0/24", "rtb-1_10.200.1.0/24"}


def test_two_that_swap_pod_cidrs_are_retargeted() -> None:
    planned = plan.make(
        SKIP, discovery({ALL: tuple(swapped())}), stack(worker(0), worker(1))
    )

    assert not planned.kept
    assert [each.network_interface_id for each in planned.routes] == ["eni-1", "eni-0"]


def imported(target: str, instance_id: str) -> Stack:
    """Return a stack that has worker-0's route by an import, to some target."""
    route_ = ManagedRoute(urn="urn", target=target, instance_id=instance_id)
    return builders.stack(managed={"rtb-1_10.200.0.0/24": route_})


def test_an_imported_route_of_a_worker_without_its_interface_is_held_back() -> None:
    found = discovery({ALL: (worker(0, interface=None),)})

    planned = plan.make(SKIP, found, imported("eni-0", "i-0"))

    assert planned.kept == {"rtb-1_10.200.0.0/24"}
    assert "primary network interface" in planned.problems[0].problem


def test_an_imported_route_that_a_refresh_saw_retargeted_waits_for_the_unread() -> None:
    found = discovery(
        {ALL: (worker(0, pod_cidrs=()), worker(1))},
        unreadable={"i-0": "it has no user data."},
    )

    planned = plan.make(SKIP, found, imported("eni-1", "i-1"))

    assert planned.kept == {"rtb-1_10.200.0.0/24"}


def test_a_gateways_route_is_no_twins_either() -> None:
    """Both have the pod CIDR of a route that leads to a gateway now."""
    twins = (worker(0), worker(1, pod_cidrs=networks("10.200.0.0/24")))
    existing = table(route("10.200.0.0/24", "igw-9"))
    holder = stack(worker(0))
    seen = {key: replace(each, target="") for key, each in holder.managed.items()}

    planned = plan.make(
        SKIP, discovery({ALL: twins}, [existing]), replace(holder, managed=seen)
    )

    assert planned.kept == seen.keys()
    assert not planned.routes


def test_a_table_whose_vpc_is_not_listed_is_named() -> None:
    with pytest.raises(PlanError, match="not their VPC"):
        plan.make(SKIP, discovery({}, vpcs=()), stack())


def test_a_route_that_leads_to_a_worker_that_is_not_ready_is_put_back() -> None:
    """Somebody retargeted it, and a refresh saw that; its own worker is ready."""
    newcomer = worker(5, pod_cidrs=(), interface=None)
    key = "rtb-1_10.200.0.0/24"
    elsewhere = ManagedRoute(urn="urn", target="eni-5", instance_id="i-5")
    found = discovery(
        {ALL: (worker(0), newcomer)},
        [table(route("10.200.0.0/24", "eni-5", instance_id="i-5"))],
        unreadable={"i-5": "it has no user data."},
    )

    planned = plan.make(
        SKIP, found, replace(stack(worker(0)), managed={key: elsewhere})
    )

    assert not planned.kept
    assert [each.network_interface_id for each in planned.routes] == ["eni-0"]
