"""Which routes created by hand can be adopted, and the import file that does it."""

from __future__ import annotations

import pytest

from routes.engine.state import Stack
from routes.errors import Finding
from routes.model import (
    COMPONENT_TYPE,
    ROUTE_TYPE,
    PodRoute,
    Route,
    RouteKey,
    static_routes,
)
from routes.planning import adoption
from tests import builders
from tests.builders import key, pod_route, route, table

FIRST = "10.200.0.0/24"
SECOND = "10.200.1.0/24"


def unmanaged_routes(
    desired: list[PodRoute], existing: list[Route], stack: Stack | None = None
) -> tuple[list[RouteKey], list[RouteKey]]:
    """Return the routes that can be adopted, and those in conflict."""
    return adoption.unmanaged_routes(
        {each.key: each for each in desired},
        static_routes([table(*existing)]),
        (stack or builders.stack()).managed,
    )


def findings(
    desired: list[PodRoute], existing: list[Route], stack: Stack | None = None
) -> list[Finding]:
    """Return why the update would be refused."""
    adoptable, conflicting = unmanaged_routes(desired, existing, stack)
    by_key = {each.key: each for each in desired}
    return [
        *adoption.conflicts(conflicting, by_key, static_routes([table(*existing)])),
        *adoption.not_adopted(adoptable, by_key, "dev"),
    ]


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(route(FIRST, "eni-1"), id="the right target"),
        pytest.param(route(FIRST, "eni-9", state="blackhole"), id="a deleted one"),
    ],
)
def test_an_existing_route_that_belongs_to_nobody_else_can_be_adopted(
    existing: Route,
) -> None:
    assert unmanaged_routes([pod_route(FIRST)], [existing]) == ([key(FIRST)], [])


def test_an_imported_route_is_a_child_of_its_component() -> None:
    assert adoption.document([key(FIRST)], {}) == {
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


def test_a_component_in_the_state_is_named_and_not_imported() -> None:
    document = adoption.document([key(FIRST)], {"rtb-1": "urn-1", "rtb-2": "urn-2"})

    assert document["nameTable"] == {"rtb-1": "urn-1"}
    assert [one["type"] for one in document["resources"]] == [ROUTE_TYPE]


def test_two_routes_of_a_table_share_one_component() -> None:
    keys = [key(FIRST), key(SECOND), key(FIRST, "rtb-2")]

    assert [one["name"] for one in adoption.document(keys, {})["resources"]] == [
        "rtb-1",
        "rtb-2",
        f"rtb-1_{FIRST}",
        f"rtb-1_{SECOND}",
        f"rtb-2_{FIRST}",
    ]


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param([], id="no route exists"),
        pytest.param([route(SECOND, "eni-1")], id="another destination"),
    ],
)
def test_a_route_that_does_not_exist_is_left_to_the_update(
    existing: list[Route],
) -> None:
    assert unmanaged_routes([pod_route(FIRST)], existing) == ([], [])
    assert findings([pod_route(FIRST)], existing) == []
    assert adoption.document((), {}) == {"nameTable": {}, "resources": []}


@pytest.mark.parametrize("target", ["eni-1", "eni-9"])
def test_a_managed_route_is_left_to_the_update(target: str) -> None:
    desired = [pod_route(FIRST)]
    existing = [route(FIRST, target)]
    stack = builders.stack({key(FIRST): "eni-1"})

    assert unmanaged_routes(desired, existing, stack) == ([], [])
    assert findings(desired, existing, stack) == []


@pytest.mark.parametrize("destination", [FIRST, "fd00:200::/64"])
def test_a_wrong_target_is_explained_and_no_command_retargets_it(
    destination: str,
) -> None:
    desired = [pod_route(destination), pod_route(SECOND)]
    existing = [route(destination, "eni-7"), route(SECOND, "eni-1")]

    assert unmanaged_routes(desired, existing) == ([key(SECOND)], [key(destination)])
    conflict, not_adopted = findings(desired, existing)
    assert conflict.resource == f"rtb-1 {destination}"
    assert conflict.problem == (
        "leads to eni-7, and should lead to eni-1 of worker-1; it isn't in this"
        " stack's state."
    )
    assert conflict.hint == (
        "If it is yours, retarget it to the worker's interface, then adopt it with"
        " import-file; or delete it, and the update creates it. Otherwise the worker"
        " needs another pod CIDR."
    )
    assert conflict.command == ""
    assert not_adopted.details == (f"rtb-1 {SECOND} of worker-1",)


def test_a_route_to_another_kind_of_target_is_left_to_the_plan() -> None:
    assert unmanaged_routes([pod_route(FIRST)], [route(FIRST, "igw-1")]) == ([], [])


def test_routes_that_only_have_to_be_adopted_are_one_finding() -> None:
    (finding,) = findings(
        [pod_route(FIRST), pod_route(SECOND)],
        [route(FIRST, "eni-1"), route(SECOND, "eni-1")],
    )

    assert str(finding) == (
        "stack dev: these routes already exist with the right target, or a\n"
        "  deleted one, but aren't in the stack's state:\n"
        "  rtb-1 10.200.0.0/24 of worker-1\n"
        "  rtb-1 10.200.1.0/24 of worker-1\n"
        "  Unless another stack declares them, adopt them. This writes the import\n"
        "  file:\n"
        "  python -m routes import-file --stack dev"
    )
