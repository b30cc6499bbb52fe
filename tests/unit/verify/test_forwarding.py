"""Which of several routes to one network has priority."""

from __future__ import annotations

import pytest

from routes.model import Route, RouteTable
from routes.verify.forwarding import ForwardingTable, RoutedRange
from routes.verify.header_space import span
from tests import builders

(PODS,) = builders.networks("10.200.1.0/24")
LISTS = {"pl-1": (PODS,), "pl-2": (PODS,)}


def segments(*routes: Route) -> list[RoutedRange]:
    table = RouteTable(id="rtb-1", name="", vpc_id="vpc-1", routes=routes)
    return list(ForwardingTable(table, LISTS).ranges(PODS))


@pytest.mark.parametrize("origin", ["EnableVgwRoutePropagation", "Advertisement"])
def test_a_prefix_lists_entry_has_priority_over_an_equal_propagated_route(
    origin: str,
) -> None:
    listed = Route(destination="pl-1", target="eni-1")
    propagated = Route(destination=PODS, target="vgw-1", origin=origin)

    assert segments(propagated, listed) == [RoutedRange(span(PODS), (listed,), 24)]


def test_equal_prefix_lists_have_the_same_order_in_every_table() -> None:
    one = Route(destination="pl-1", target="eni-1")
    two = Route(destination="pl-2", target="eni-1")

    assert segments(one, two) == segments(two, one)


def test_addresses_without_a_route_are_one_segment_without_a_length() -> None:
    assert segments() == [RoutedRange(span(PODS), (), None)]
