"""Which routes made by hand can be taken over, and the file that does it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from routes.adopt import Adoption, adopt
from routes.model import (
    COMPONENT_TYPE,
    ROUTE_TYPE,
    PodRoute,
    Route,
    RouteTable,
    Vpc,
)
from routes.plan import Plan
from routes.stack import Stack
from tests.builders import one_line, route, table

FIRST = "10.200.0.0/24"
SECOND = "10.200.1.0/24"


def wanted(
    destination: str, target: str = "eni-1", table_id: str = "rtb-1"
) -> PodRoute[str]:
    return PodRoute(
        route_table_id=table_id,
        destination=ip_network(destination),
        network_interface_id=target,
        worker="worker-1",
    )


def adopted(
    routes: list[PodRoute[str]],
    tables: list[RouteTable],
    held: dict[str, str],
    components: dict[str, str],
) -> Adoption:
    plan = Plan(
        vpc=Vpc(id="vpc-1", cidrs=()),
        tables=tuple(tables),
        workers=(),
        routes=tuple(routes),
        faults=(),
        warnings=(),
    )
    stack = Stack(name="dev", config={}, targets=held, components=components)
    return adopt(plan, stack, "us-east-1")


def test_a_standing_route_with_the_right_target_is_a_child_of_its_component() -> None:
    found = adopted([wanted(FIRST)], [table(route(FIRST, "eni-1"))], {}, {})

    assert found.routes == (wanted(FIRST),)
    assert found.notes == ()
    assert found.document == {
        "nameTable": {},
        "resources": [
            {"type": COMPONENT_TYPE, "name": "rtb-1", "component": True},
            {
                "type": ROUTE_TYPE,
                "name": f"rtb-1_{FIRST}",
                "id": f"rtb-1_{FIRST}",
                "parent": "rtb-1",
            },
        ],
    }


def test_a_component_that_the_stack_holds_is_named_and_not_imported() -> None:
    found = adopted(
        [wanted(FIRST)],
        [table(route(FIRST, "eni-1"))],
        {},
        {"rtb-1": "urn-1", "rtb-2": "urn-2"},
    )

    assert found.document["nameTable"] == {"rtb-1": "urn-1"}
    assert [one["type"] for one in found.document["resources"]] == [ROUTE_TYPE]


def test_two_routes_of_a_table_share_one_component() -> None:
    tables = [
        table(route(FIRST, "eni-1"), route(SECOND, "eni-1")),
        table(route(FIRST, "eni-1"), id="rtb-2"),
    ]

    found = adopted(
        [
            wanted("10.200.9.0/24"),
            wanted(FIRST),
            wanted(SECOND),
            wanted(FIRST, table_id="rtb-2"),
        ],
        tables,
        {},
        {},
    )

    assert [one["name"] for one in found.document["resources"]] == [
        "rtb-1",
        "rtb-2",
        f"rtb-1_{FIRST}",
        f"rtb-1_{SECOND}",
        f"rtb-2_{FIRST}",
    ]


@pytest.mark.parametrize(
    "standing",
    [
        pytest.param([], id="nothing stands"),
        pytest.param([route(SECOND, "eni-1")], id="another destination"),
    ],
)
def test_a_route_that_does_not_stand_is_left_to_the_update(
    standing: list[Route],
) -> None:
    found = adopted([wanted(FIRST)], [table(*standing)], {}, {})

    assert not found.routes
    assert not found.notes
    assert found.document == {"nameTable": {}, "resources": []}


def test_a_route_that_the_stack_holds_is_not_imported_again() -> None:
    found = adopted(
        [wanted(FIRST), wanted(SECOND)],
        [table(route(FIRST, "eni-1"), route(SECOND, "eni-1"))],
        {f"rtb-1_{FIRST}": "eni-1"},
        {},
    )

    assert found.routes == (wanted(SECOND),)
    (note,) = found.notes
    assert note.where == f"rtb-1 {FIRST}"
    assert note.problem == "the stack holds this route already."


@pytest.mark.parametrize(
    ("destination", "option"),
    [
        (FIRST, f"--destination-cidr-block {FIRST}"),
        ("fd00:200::/64", "--destination-ipv6-cidr-block fd00:200::/64"),
    ],
)
def test_a_wrong_target_is_told_with_the_command_that_turns_it(
    destination: str, option: str
) -> None:
    found = adopted(
        [wanted(destination), wanted(SECOND)],
        [table(route(destination, "eni-7"), route(SECOND, "eni-1"))],
        {},
        {},
    )

    assert found.routes == (wanted(SECOND),)
    (note,) = found.notes
    assert note.where == f"rtb-1 {destination}"
    assert one_line(note.problem) == (
        "expected a route to eni-1 of worker-1, found one to eni-7;"
        " it is not in the import file."
    )
    assert note.remedy == "If it is yours, point it at the worker and run this again:"
    assert note.command == (
        f"aws ec2 replace-route --route-table-id rtb-1 {option}"
        " --network-interface-id eni-1 --region us-east-1"
    )
