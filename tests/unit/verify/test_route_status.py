"""The status of each entry of a route table, and its fix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from routes.errors import Finding
from routes.model import Instance, Route, RouteKey
from routes.verify.fixes import Fix
from routes.verify.route_status import RouteStatus, TableEntry
from routes.verify.snapshot import Snapshot
from routes.verify.verification import Outcome, verify
from tests import builders
from tests.snapshots import (
    ALL,
    UPDATE,
    WEB,
    Change,
    all_of,
    dual_stack,
    lab,
    with_routes,
    with_worker,
    without_routes,
)
from tests.unit.verify.blockers import (
    DESCRIBE_INTERFACE,
    FROM_GATEWAY,
    IN_THE_WAY,
    INTERFACE_DELETED,
    RETARGETED,
    UNMANAGED,
    delete,
)


def entry_of(snapshot: Snapshot, destination: str) -> TableEntry:
    entries = verify(snapshot, ALL).entries
    return next(each for each in entries if str(each.key.destination) == destination)


def fix_of(entry: TableEntry) -> Fix:
    finding = entry.finding
    return Fix(finding.hint, finding.command) if finding else Fix()


def managing(snapshot: Snapshot, destination: str, target: str) -> Snapshot:
    """Add a route of rtb-1 to the state."""
    key = RouteKey.parse(f"rtb-1_{destination}")
    return replace(snapshot, managed={**(snapshot.managed or {}), key: target})


@pytest.mark.parametrize(
    ("change", "status", "reason", "command"),
    [
        pytest.param(lambda s: s, RouteStatus.IN_PLACE, "", "", id="in place"),
        pytest.param(
            without_routes("10.200.1.0/24"),
            RouteStatus.MISSING,
            "",
            UPDATE,
            id="missing",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-2")),
            RouteStatus.WRONG_TARGET,
            "",
            UPDATE,
            id="wrong target",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-2")),
                lambda s: replace(s, managed={}),
            ),
            RouteStatus.WRONG_TARGET,
            "",
            "",
            id="wrong target, unmanaged",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "igw-1")),
            RouteStatus.OCCUPIED,
            "",
            UPDATE,
            id="occupied",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "pcx-1")),
                lambda s: replace(s, managed={}),
            ),
            RouteStatus.OCCUPIED,
            "",
            "",
            id="occupied, unmanaged",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-8", state="blackhole")),
            RouteStatus.BLACKHOLE,
            "the interface is deleted",
            UPDATE,
            id="blackhole, the interface is deleted",
        ),
        pytest.param(
            all_of(
                with_routes(
                    builders.route("10.200.1.0/24", "eni-8", state="blackhole")
                ),
                lambda s: replace(s, attachments={**s.attachments, "eni-8": None}),
            ),
            RouteStatus.BLACKHOLE,
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
            RouteStatus.BLACKHOLE,
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
            RouteStatus.BLACKHOLE,
            "i-1 is stopping",
            "aws ec2 wait instance-stopped --instance-ids i-1 --region us-east-1",
            id="blackhole, the instance is stopping",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
            RouteStatus.BLACKHOLE,
            "",
            DESCRIBE_INTERFACE,
            id="blackhole, for no known reason",
        ),
    ],
)
def test_the_status_of_a_desired_route(
    change: Change, status: RouteStatus, reason: str, command: str
) -> None:
    entry = entry_of(change(lab()), "10.200.1.0/24")

    assert (entry.status, entry.reason) == (status, reason)
    assert fix_of(entry).command == command
    assert (entry.key.route_table_id, entry.worker) == ("rtb-1", "worker-1")


@pytest.mark.parametrize(
    ("target", "state", "hint"),
    [
        ("eni-2", "active", IN_THE_WAY),
        ("pcx-1", "active", IN_THE_WAY),
        ("nat-1", "blackhole", IN_THE_WAY),
        ("eni-8", "blackhole", INTERFACE_DELETED),
    ],
)
def test_an_unmanaged_route_in_the_way_is_explained(
    target: str, state: str, hint: str
) -> None:
    change = with_routes(builders.route("10.200.1.0/24", target, state=state))

    entry = entry_of(replace(change(lab()), managed={}), "10.200.1.0/24")

    assert fix_of(entry).hint == hint
    assert bool(fix_of(entry).command) == (hint == INTERFACE_DELETED)


def test_a_retargeted_route_in_a_deselected_table_needs_its_table_selected() -> None:
    """Only an update retargets it, and only in selected tables."""
    change = with_routes(builders.route("10.200.1.0/24", "eni-2"))
    snapshot = replace(change(lab()), route_table_ids=())

    (cause,) = verify(snapshot, ALL).reachability.counts

    assert cause.command == (
        "pulumi config set pod-routes:routeTables kubernetes,rtb-1 --stack dev"
    )


def test_an_ipv6_blackhole_is_deleted_with_the_ipv6_option() -> None:
    stale = builders.route("fd00:200:0:9::/64", "eni-8", state="blackhole")

    entry = entry_of(with_routes(stale)(dual_stack(lab())), "fd00:200:0:9::/64")

    option = "--destination-ipv6-cidr-block fd00:200:0:9::/64"
    assert option in fix_of(entry).command


def test_a_route_retargeted_to_a_gateway_is_explained() -> None:
    change = with_routes(builders.route("10.200.1.0/24", "igw-1"))

    assert fix_of(entry_of(change(lab()), "10.200.1.0/24")).hint == RETARGETED


def test_a_propagated_blackhole_is_explained() -> None:
    change = with_routes(
        builders.route(
            "10.200.9.0/24",
            "vgw-1",
            state="blackhole",
            origin="EnableVgwRoutePropagation",
        )
    )

    entry = entry_of(change(lab()), "10.200.9.0/24")

    assert entry.status is RouteStatus.STALE
    assert fix_of(entry) == Fix(FROM_GATEWAY)


@pytest.mark.parametrize(
    ("route", "status", "reason"),
    [
        pytest.param(
            builders.route("10.200.9.0/24", "eni-8", state="blackhole"),
            RouteStatus.STALE,
            "the interface is deleted",
            id="stale, its target is deleted",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "eni-8"),
            RouteStatus.STALE,
            "the interface is deleted",
            id="stale, and EC2 still calls it active",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "eni-2"),
            RouteStatus.UNMANAGED,
            "",
            id="unmanaged",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "tgw-1"),
            RouteStatus.UNMANAGED,
            "",
            id="unmanaged, to a gateway",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "eni-6", state="blackhole"),
            RouteStatus.UNMANAGED,
            "i-6 is stopped",
            id="unmanaged, its instance is stopped",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "eni-7", state="blackhole"),
            RouteStatus.UNMANAGED,
            "the interface is detached",
            id="unmanaged, its interface is detached",
        ),
        pytest.param(
            builders.route("10.200.9.0/24", "tgw-1", state="blackhole"),
            RouteStatus.STALE,
            "",
            id="stale, its gateway is deleted",
        ),
        pytest.param(
            builders.route("192.168.0.0/24", "eni-8", state="blackhole"),
            RouteStatus.OTHER,
            "",
            id="outside the cluster's range",
        ),
        pytest.param(
            builders.route("pl-9", "vpce-1"), RouteStatus.OTHER, "", id="an endpoint"
        ),
    ],
)
def test_the_status_of_other_routes_depends_on_the_clusters_range(
    route: Route, status: RouteStatus, reason: str
) -> None:
    """A target that may come back isn't stale: a stop detaches no interface."""
    snapshot = lab()
    stopped = Instance(id="i-6", name="", state="stopped", subnet_id="subnet-1")
    snapshot = replace(
        snapshot,
        attachments={**snapshot.attachments, "eni-6": "i-6", "eni-7": None},
        instances=(*snapshot.instances, stopped),
    )

    verification = verify(with_routes(route)(snapshot), ALL)

    (entry,) = (
        each
        for each in verification.entries
        if each.key.destination == route.destination
    )
    assert (entry.status, entry.reason) == (status, reason)
    is_stale = status is RouteStatus.STALE
    fix = Fix(UNMANAGED) if is_stale else Fix()
    if is_stale and route.state == "blackhole" and reason:
        fix = Fix(INTERFACE_DELETED, delete("10.200.9.0/24"))
    assert fix_of(entry) == fix
    assert (entry.key.route_table_id, entry.worker) == ("rtb-1", "")
    assert (verification.outcome is Outcome.PASS) == status.is_fine
    noted = [note.resource for note in verification.notes]
    assert noted == (["rtb-1 10.200.9.0/24"] if reason and status.is_fine else [])


@pytest.mark.parametrize(
    ("destination", "target", "reason"),
    [
        ("10.200.9.0/24", "eni-2", ""),
        ("10.200.9.0/24", "eni-8", "the interface is deleted"),
        ("192.168.0.0/24", "eni-2", ""),
    ],
)
def test_an_update_deletes_an_obsolete_route(
    destination: str, target: str, reason: str
) -> None:
    snapshot = with_routes(builders.route(destination, target))(lab())

    entry = entry_of(managing(snapshot, destination, target), destination)

    assert (entry.status, entry.reason) == (RouteStatus.OBSOLETE, reason)
    assert fix_of(entry) == Fix(command=UPDATE)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            {"faults": (Finding(resource="worker-1", problem="2 instances match."),)},
            "the plan has faults",
            id="the plan has faults",
        ),
        pytest.param(
            {"pending_operations": ("deleting rtb-1_10.200.9.0/24",)},
            "an update is running, or was interrupted",
            id="an update is pending",
        ),
        pytest.param(
            {"kept": (RouteKey.parse("rtb-1_10.200.9.0/24"),)},
            "an update leaves it as it is",
            id="the plan keeps it",
        ),
    ],
)
def test_a_managed_route_is_unknown_while_a_worker_may_need_it(
    change: dict[str, Any], reason: str
) -> None:
    snapshot = with_routes(builders.route("10.200.9.0/24", "eni-2"))(lab())
    snapshot = managing(snapshot, "10.200.9.0/24", "eni-2")

    entry = entry_of(replace(snapshot, **change), "10.200.9.0/24")

    assert (entry.status, entry.reason) == (RouteStatus.UNKNOWN, reason)
    assert fix_of(entry) == Fix()


def test_a_propagated_route_is_unmanaged() -> None:
    """A static one with the same destination may be managed: both can exist."""
    propagated = builders.route(
        "10.200.9.0/24", "vgw-1", origin="EnableVgwRoutePropagation"
    )
    snapshot = with_routes(propagated)(lab())
    snapshot = managing(snapshot, "10.200.9.0/24", "eni-2")

    entry = entry_of(snapshot, "10.200.9.0/24")

    assert entry.status is RouteStatus.UNMANAGED


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
    both = replace(
        snapshot,
        route_table_ids=("rtb-main", "rtb-1"),
        tables=(replace(main, routes=()), *snapshot.tables[:1]),
    )

    verification = verify(both, WEB)

    assert verification.traffic == WEB
    assert [(*str(e.key).split(), e.target) for e in verification.entries] == [
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
