"""How each route of a table stands, and what mends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routes.errors import Finding
from routes.model import Instance, Route
from routes.verify.snapshot import Snapshot
from routes.verify.standing import RouteFinding, Standing
from routes.verify.verification import verify
from tests import builders
from tests.snapshots import (
    ALL,
    UPDATE,
    WEB,
    Change,
    all_of,
    lab,
    six,
    with_routes,
    with_worker,
    without_routes,
)
from tests.unit.verify.stops import (
    DELETED,
    HANDED_OVER,
    IN_THE_WAY,
    NOT_OURS,
    OF_A_GATEWAY,
    SHOW,
    delete,
)


def finding(snapshot: Snapshot, destination: str) -> RouteFinding:
    found = verify(snapshot, ALL).routes
    return next(one for one in found if one.destination == destination)


@pytest.mark.parametrize(
    ("change", "standing", "why", "command"),
    [
        pytest.param(lambda s: s, Standing.IN_PLACE, "", "", id="in place"),
        pytest.param(
            without_routes("10.200.1.0/24"), Standing.MISSING, "", UPDATE, id="missing"
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-2")),
            Standing.WRONG_TARGET,
            "",
            UPDATE,
            id="wrong target",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-2")),
                lambda s: replace(s, held={}),
            ),
            Standing.WRONG_TARGET,
            "",
            "",
            id="wrong target, and not the stack's",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "igw-1")),
            Standing.HELD,
            "",
            UPDATE,
            id="held by something else",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "pcx-1")),
                lambda s: replace(s, held={}),
            ),
            Standing.HELD,
            "",
            "",
            id="held by something else, and never the stack's",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-8", state="blackhole")),
            Standing.BLACKHOLE,
            "the interface is gone",
            UPDATE,
            id="blackhole, the interface is gone",
        ),
        pytest.param(
            all_of(
                with_routes(
                    builders.route("10.200.1.0/24", "eni-8", state="blackhole")
                ),
                lambda s: replace(s, attachments={**s.attachments, "eni-8": None}),
            ),
            Standing.BLACKHOLE,
            "the interface is detached",
            UPDATE,
            id="blackhole, the interface is detached",
        ),
        pytest.param(
            all_of(
                with_routes(
                    builders.route("10.200.1.0/24", "eni-1", state="blackhole")
                ),
                with_worker(1, state="stopped"),
                lambda s: replace(
                    s,
                    instances=(
                        Instance(
                            id="i-1", name="", state="stopped", subnet_id="subnet-2"
                        ),
                    ),
                ),
            ),
            Standing.BLACKHOLE,
            "i-1 is stopped",
            "aws ec2 start-instances --instance-ids i-1 --region us-east-1",
            id="blackhole, the instance is stopped",
        ),
        pytest.param(
            all_of(
                with_routes(
                    builders.route("10.200.1.0/24", "eni-1", state="blackhole")
                ),
                with_worker(0, state="stopped"),
                with_worker(1, state="stopping"),
            ),
            Standing.BLACKHOLE,
            "i-1 is stopping",
            "aws ec2 wait instance-stopped --instance-ids i-1 --region us-east-1",
            id="blackhole, the instance is about to stop",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
            Standing.BLACKHOLE,
            "",
            SHOW,
            id="blackhole, for no reason that EC2 tells",
        ),
    ],
)
def test_a_wanted_route_is_judged_by_what_stands_there(
    change: Change, standing: Standing, why: str, command: str
) -> None:
    found = finding(change(lab()), "10.200.1.0/24")

    assert (found.standing, found.why, found.command) == (standing, why, command)
    assert (found.table_id, found.worker) == ("rtb-1", "worker-1")


@pytest.mark.parametrize(
    ("target", "state", "remedy"),
    [
        ("eni-2", "active", IN_THE_WAY),
        ("pcx-1", "active", IN_THE_WAY),
        ("nat-1", "blackhole", IN_THE_WAY),
        ("eni-8", "blackhole", DELETED),
    ],
)
def test_an_unmanaged_route_in_the_way_is_explained(
    target: str, state: str, remedy: str
) -> None:
    change = with_routes(builders.route("10.200.1.0/24", target, state=state))

    found = finding(replace(change(lab()), held={}), "10.200.1.0/24")

    assert found.remedy == remedy
    assert bool(found.command) == (remedy == DELETED)


def test_a_retargeted_route_in_a_table_that_is_not_served_has_its_table_served() -> (
    None
):
    """Only an update retargets it, and only where it serves the table."""
    change = with_routes(builders.route("10.200.1.0/24", "eni-2"))
    snapshot = replace(change(lab()), route_table_ids=())

    (cause,) = verify(snapshot, ALL).reachability.counts

    assert cause.command == (
        "pulumi config set pod-routes:routeTables kubernetes,rtb-1 --stack dev"
    )


def test_an_ipv6_blackhole_is_deleted_by_its_own_option() -> None:
    stale = builders.route("fd00:200:0:9::/64", "eni-8", state="blackhole")

    found = finding(with_routes(stale)(six(lab())), "fd00:200:0:9::/64")

    assert "--destination-ipv6-cidr-block fd00:200:0:9::/64" in found.command


def test_a_route_retargeted_to_a_gateway_is_explained() -> None:
    change = with_routes(builders.route("10.200.1.0/24", "igw-1"))

    assert finding(change(lab()), "10.200.1.0/24").remedy == HANDED_OVER


def test_a_blackhole_that_a_gateway_propagates_is_explained() -> None:
    change = with_routes(
        builders.route(
            "10.200.9.0/24",
            "vgw-1",
            state="blackhole",
            origin="EnableVgwRoutePropagation",
        )
    )

    found = finding(change(lab()), "10.200.9.0/24")

    assert (found.standing, found.remedy, found.command) == (
        Standing.STALE,
        OF_A_GATEWAY,
        "",
    )


@pytest.mark.parametrize(
    ("route", "standing", "why"),
    [
        pytest.param(
            builders.route("10.200.9.0/24", "eni-8", state="blackhole"),
            Standing.STALE,
            "the interface is gone",
            id="stale, its target is gone",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "eni-8"),
            Standing.STALE,
            "the interface is gone",
            id="stale, though EC2 has not noticed",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "eni-2"),
            Standing.FOREIGN,
            "",
            id="foreign",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "tgw-1"),
            Standing.FOREIGN,
            "",
            id="foreign, to a gateway",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "eni-6", state="blackhole"),
            Standing.FOREIGN,
            "i-6 is stopped",
            id="foreign, its instance is stopped",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "eni-7", state="blackhole"),
            Standing.FOREIGN,
            "the interface is detached",
            id="foreign, its interface is detached",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "tgw-1", state="blackhole"),
            Standing.STALE,
            "",
            id="stale, its gateway is gone",
        ),
        pytest.param(
            builders.route("192.168.0.0/24", "eni-8", state="blackhole"),
            Standing.OTHER,
            "",
            id="outside the cluster's range",
        ),
        pytest.param(
            builders.route("pl-9", "vpce-1"), Standing.OTHER, "", id="an endpoint"
        ),
    ],
)
def test_other_routes_are_told_apart_by_the_clusters_range(
    route: Route, standing: Standing, why: str
) -> None:
    """What may come back is another's: a stop detaches no interface."""
    snapshot = lab()
    asleep = Instance(id="i-6", name="", state="stopped", subnet_id="subnet-1")
    snapshot = replace(
        snapshot,
        attachments={**snapshot.attachments, "eni-6": "i-6", "eni-7": None},
        instances=(*snapshot.instances, asleep),
    )

    verification = verify(with_routes(route)(snapshot), ALL)

    (found,) = (
        one for one in verification.routes if one.destination == str(route.destination)
    )
    assert (found.standing, found.why) == (standing, why)
    is_deleted = standing is Standing.STALE and route.state == "blackhole" and why
    explained = NOT_OURS if standing is Standing.STALE else ""
    assert found.remedy == (DELETED if is_deleted else explained)
    assert found.command == (delete("10.200.9.0/24") if is_deleted else "")
    assert (found.table_id, found.worker) == ("rtb-1", "")
    assert verification.is_well == standing.is_well
    told = [note.where for note in verification.notes]
    assert told == (["rtb-1 10.200.9.0/24"] if why and standing.is_well else [])


@pytest.mark.parametrize(
    ("destination", "target", "why"),
    [
        ("10.200.9.0/24", "eni-2", ""),
        ("10.200.9.0/24", "eni-8", "the interface is gone"),
        ("192.168.0.0/24", "eni-2", ""),
    ],
)
def test_a_route_of_the_stack_that_no_worker_wants_is_its_update_s(
    destination: str, target: str, why: str
) -> None:
    snapshot = with_routes(builders.route(destination, target))(lab())
    held = {**(snapshot.held or {}), f"rtb-1_{destination}": target}

    found = finding(replace(snapshot, held=held), destination)

    assert (found.standing, found.why) == (Standing.LEFT_OVER, why)
    assert found.command == UPDATE


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(
            {"faults": (Finding(where="worker-1", problem="found 2."),)},
            "its worker could not be judged",
            id="the plan has faults",
        ),
        pytest.param(
            {"pending": ("deleting rtb-1_10.200.9.0/24",)},
            "an update is under way, or was interrupted",
            id="an update is pending",
        ),
    ],
)
def test_a_route_of_the_stack_is_undecided_while_it_may_be_wanted(
    change: dict[str, object], why: str
) -> None:
    snapshot = with_routes(builders.route("10.200.9.0/24", "eni-2"))(lab())
    held = {**(snapshot.held or {}), "rtb-1_10.200.9.0/24": "eni-2"}

    found = finding(replace(snapshot, held=held, **change), "10.200.9.0/24")  # type: ignore[arg-type]

    assert (found.standing, found.why, found.command) == (Standing.UNDECIDED, why, "")


def test_a_propagated_route_is_not_the_stack_s() -> None:
    """A static one of the same destination may be: both stand side by side."""
    propagated = builders.route(
        "10.200.9.0/24", "vgw-1", origin="EnableVgwRoutePropagation"
    )
    snapshot = with_routes(propagated)(lab())
    held = {**(snapshot.held or {}), "rtb-1_10.200.9.0/24": "eni-2"}

    found = finding(replace(snapshot, held=held), "10.200.9.0/24")

    assert found.standing is Standing.FOREIGN


def test_tables_are_listed_by_id_and_their_entries_by_destination() -> None:
    snapshot = with_routes(
        builders.route("pl-2", "vpce-1"),
        builders.route("pl-1", "vpce-1"),
        builders.route("fd00::/8", "tgw-1"),
        builders.route("10.200.10.0/24", "tgw-1"),
        builders.route("10.200.9.0/24", "tgw-1"),
        builders.route("10.200.9.0/24", "vgw-1", origin="EnableVgwRoutePropagation"),
    )(lab(1))
    (main,) = (table for table in snapshot.tables if table.main)
    served = replace(
        snapshot,
        route_table_ids=("rtb-main", "rtb-1"),
        tables=(replace(main, routes=()), *snapshot.tables[:1]),
    )

    found = verify(served, WEB)

    assert found.question == WEB
    assert [(one.table_id, one.destination, one.target) for one in found.routes] == [
        ("rtb-1", "10.200.0.0/24", "eni-0"),
        ("rtb-1", "0.0.0.0/0", "igw-1"),
        ("rtb-1", "10.0.0.0/16", "local"),
        ("rtb-1", "10.200.9.0/24", "tgw-1"),
        ("rtb-1", "10.200.9.0/24", "vgw-1"),
        ("rtb-1", "10.200.10.0/24", "tgw-1"),
        ("rtb-1", "fd00::/8", "tgw-1"),
        ("rtb-1", "pl-1", "vpce-1"),
        ("rtb-1", "pl-2", "vpce-1"),
    ]
