"""Which of several routes to one network wins."""

from __future__ import annotations

import pytest

from routes.model import Route, RouteTable
from routes.verify.forwarding import ForwardingTable, Leg
from routes.verify.packets import span
from tests import builders

(PODS,) = builders.networks("10.200.1.0/24")
LISTS = {"pl-1": (PODS,), "pl-2": (PODS,)}


def legs(*routes: Route) -> list[Leg]:
    table = RouteTable(id="rtb-1", name="", vpc_id="vpc-1", routes=routes)
    return list(ForwardingTable(table, LISTS).legs(PODS))


@pytest.mark.parametrize("origin", ["EnableVgwRoutePropagation", "Advertisement"])
def test_an_entry_of_a_prefix_list_wins_over_an_equal_propagated_route(
    origin: str,
) -> None:
    listed = Route(destination="pl-1", target="eni-1")
    propagated = Route(destination=PODS, target="vgw-1", origin=origin)

    assert legs(propagated, listed) == [Leg(span(PODS), (listed,), 24)]


def test_equal_prefix_lists_are_told_in_one_order_even_with_one_target() -> None:
    one = Route(destination="pl-1", target="eni-1")
    two = Route(destination="pl-2", target="eni-1")

    assert legs(one, two) == legs(two, one)


def test_addresses_without_a_route_are_one_leg_of_no_length() -> None:
    assert legs() == [Leg(span(PODS), (), -1)]
