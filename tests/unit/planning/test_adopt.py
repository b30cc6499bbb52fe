"""Which routes made by hand can be taken over, and the file that does it."""

from __future__ import annotations

import pytest

from routes.engine.state import Stack
from routes.model import COMPONENT_TYPE, ROUTE_TYPE, PodRoute, Route, RouteTable
from routes.planning.adopt import Adoption, adopt, document, refusals
from tests import builders
from tests.builders import pod_route, route, table

FIRST = "10.200.0.0/24"
SECOND = "10.200.1.0/24"


def stack(**held: str) -> Stack:
    """Return a stack that holds routes of the first table to these interfaces."""
    targets = {f"rtb-1_{destination}": target for destination, target in held.items()}
    return builders.stack(targets)


def adopted(
    routes: list[PodRoute[str]], tables: list[RouteTable], holder: Stack | None = None
) -> Adoption:
    return adopt(routes, tables, holder or stack())


def test_a_standing_route_with_the_right_target_is_taken_over() -> None:
    found = adopted([pod_route(FIRST)], [table(route(FIRST, "eni-1"))])

    assert found == Adoption(routes=(pod_route(FIRST),), in_the_way=(), held=())


def test_what_is_taken_over_is_a_child_of_its_component() -> None:
    assert document([f"rtb-1_{FIRST}"], {}) == {
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
    written = document([f"rtb-1_{FIRST}"], {"rtb-1": "urn-1", "rtb-2": "urn-2"})

    assert written["nameTable"] == {"rtb-1": "urn-1"}
    assert [one["type"] for one in written["resources"]] == [ROUTE_TYPE]


def test_two_routes_of_a_table_share_one_component() -> None:
    written = document([f"rtb-1_{FIRST}", f"rtb-1_{SECOND}", f"rtb-2_{FIRST}"], {})

    assert [one["name"] for one in written["resources"]] == [
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
    found = adopted([pod_route(FIRST)], [table(*standing)])

    assert found == Adoption(routes=(), in_the_way=(), held=())
    assert refusals(found, stack()) == ()
    assert document((), {}) == {"nameTable": {}, "resources": []}


@pytest.mark.parametrize("target", ["eni-1", "eni-9"])
def test_a_route_that_the_stack_holds_is_the_updates_affair(target: str) -> None:
    holder = stack(**{FIRST: "eni-1"})
    found = adopted([pod_route(FIRST)], [table(route(FIRST, target))], holder)

    assert found == Adoption(routes=(), in_the_way=(), held=(pod_route(FIRST),))
    assert refusals(found, holder) == ()


@pytest.mark.parametrize("destination", [FIRST, "fd00:200::/64"])
def test_a_wrong_target_is_explained_and_no_command_retargets_it(
    destination: str,
) -> None:
    found = adopted(
        [pod_route(destination), pod_route(SECOND)],
        [table(route(destination, "eni-7"), route(SECOND, "eni-1"))],
    )

    assert found.routes == (pod_route(SECOND),)
    (finding,) = found.in_the_way
    assert finding.where == f"rtb-1 {destination}"
    assert finding.problem == (
        "leads to eni-7, and should lead to eni-1 of worker-1; this stack does not"
        " hold it."
    )
    assert finding.remedy == (
        "If it is yours, retarget it to the worker's interface, then adopt it with"
        " import-file; or delete it, and the update creates it. Otherwise the worker"
        " needs another pod CIDR."
    )
    assert finding.command == ""
    assert finding in refusals(found, stack())


def test_what_leads_to_no_interface_is_the_plans_affair() -> None:
    found = adopted([pod_route(FIRST)], [table(route(FIRST, "igw-1"))])

    assert found == Adoption(routes=(), in_the_way=(), held=())


def test_routes_that_only_have_to_be_taken_over_are_told_at_once() -> None:
    found = adopted(
        [pod_route(FIRST), pod_route(SECOND)],
        [table(route(FIRST, "eni-1"), route(SECOND, "eni-1"))],
    )

    (finding,) = refusals(found, stack())

    assert str(finding) == (
        "stack dev: these routes already exist, to the right target or to\n"
        "  one that is gone, and are not in its state:\n"
        "  rtb-1 10.200.0.0/24 of worker-1\n"
        "  rtb-1 10.200.1.0/24 of worker-1\n"
        "  Unless another stack declares them, adopt them; this writes the file to\n"
        "  import:\n"
        "  python -m routes import-file --stack dev"
    )
