"""Blockers at a worker and in its subnet's route table."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from routes.errors import Severity
from routes.model import Instance, RouteKey
from routes.networks import Network
from routes.verify.forwarding import ForwardingTable
from routes.verify.header_space import Traffic
from routes.verify.reachability import PairResult
from routes.verify.stages import CheckKind
from routes.verify.verification import Outcome, verify
from tests import builders
from tests.snapshots import (
    ALL,
    UPDATE,
    Change,
    all_of,
    desired_route,
    dual_stack,
    group_rule,
    in_main_table,
    lab,
    prefix_list,
    with_group,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)
from tests.unit.verify.blockers import (
    DESCRIBE_INTERFACE,
    FROM_GATEWAY,
    FROM_ROUTE_SERVER,
    IN_THE_WAY,
    INTERFACE_DELETED,
    OTHER_POD_CIDR,
    POD_1,
    RETARGETED,
    UNMANAGED_PART,
    Blocker,
    assert_blocked,
    delete,
)


def on_instance(number: int, problem: str, action: str) -> Blocker:
    return Blocker(
        check=CheckKind.INSTANCE,
        resource=f"i-{number}",
        problem=problem,
        command=f"aws ec2 {action} --instance-ids i-{number} --region us-east-1",
        affected=f"worker-{number}",
    )


def on_route(problem: str, command: str, hint: str = "") -> Blocker:
    return Blocker(
        check=CheckKind.ROUTE,
        resource="rtb-1",
        problem=problem,
        hint=hint,
        command=command,
        affected=POD_1,
    )


@pytest.mark.parametrize(
    ("change", "traffic", "blocker"),
    [
        pytest.param(
            with_worker(0, state="stopped"),
            ALL,
            on_instance(0, "is stopped", "start-instances"),
            id="the sender is stopped",
        ),
        pytest.param(
            with_worker(1, state="stopped"),
            ALL,
            on_instance(1, "is stopped", "start-instances"),
            id="the receiver is stopped",
        ),
        pytest.param(
            with_worker(1, state="pending"),
            ALL,
            on_instance(1, "is pending", "wait instance-running"),
            id="the receiver is still starting",
        ),
        pytest.param(
            with_worker(1, state="stopping"),
            ALL,
            on_instance(1, "is stopping", "wait instance-stopped"),
            id="the receiver is stopping",
        ),
        pytest.param(
            with_worker(1, interface=None),
            ALL,
            on_instance(1, "has no primary network interface", "describe-instances"),
            id="the receiver has no interface",
        ),
        pytest.param(
            with_worker(0, interface=None),
            ALL,
            on_instance(0, "has no primary network interface", "describe-instances"),
            id="the sender has no interface",
        ),
        pytest.param(
            lambda s: replace(s, states={"eni-1": "detaching"}),
            ALL,
            Blocker(
                check=CheckKind.INSTANCE,
                resource="eni-1",
                problem="is detaching",
                command="aws ec2 describe-network-interfaces --network-interface-ids"
                " eni-1 --region us-east-1",
                affected="worker-1",
            ),
            id="the receiver's interface is detaching",
        ),
        pytest.param(
            lambda s: replace(s, states={"subnet-1": "unavailable"}),
            ALL,
            Blocker(
                check=CheckKind.INSTANCE,
                resource="subnet-1",
                problem="is unavailable",
                command="aws ec2 describe-subnets --subnet-ids subnet-1 --region"
                " us-east-1",
                affected="worker-0",
            ),
            id="the sender's subnet is unavailable",
        ),
        pytest.param(
            all_of(
                without_routes("10.200.1.0/24"),
                with_routes(
                    builders.route("10.200.0.0/16", "local", origin="CreateRouteTable")
                ),
            ),
            ALL,
            on_route("sends 10.200.0.0/16 to the VPC's local route", ""),
            id="the pod CIDR is the VPC's own",
        ),
        pytest.param(
            with_worker(1, pod_cidrs=builders.networks("fd00:200::/64")),
            ALL,
            Blocker(
                check=CheckKind.POD_CIDR,
                resource="i-0",
                problem="has addresses of another IP family only",
                command="",
                affected="worker-0",
            ),
            id="one has IPv4 pods, the other IPv6 pods",
        ),
        pytest.param(
            without_routes("10.200.1.0/24"),
            ALL,
            on_route("has no route to the pod CIDR", UPDATE),
            id="the route is missing, and the default route takes the packets",
        ),
        pytest.param(
            without_routes("10.200.1.0/24", "0.0.0.0/0"),
            ALL,
            on_route("has no route to the pod CIDR", UPDATE),
            id="the route is missing, and no other matches",
        ),
        pytest.param(
            without_routes("10.200.0.0/24"),
            ALL,
            Blocker(
                check=CheckKind.ROUTE,
                resource="rtb-1",
                problem="has no route to the pod CIDR",
                command=UPDATE,
                affected="10.200.0.0/24 of worker-0",
                on_reply=True,
            ),
            id="the route back is missing",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-2")),
            ALL,
            on_route("leads to eni-2 instead", UPDATE),
            id="the route leads to another worker",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-2")),
                lambda snapshot: replace(snapshot, managed={}),
            ),
            ALL,
            on_route("leads to eni-2 instead", "", IN_THE_WAY),
            id="an unmanaged route leads to another worker",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "igw-1")),
            ALL,
            on_route("leads to igw-1 instead", UPDATE, RETARGETED),
            id="the route leads to a gateway",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "igw-1")),
                lambda snapshot: replace(snapshot, managed={}),
            ),
            ALL,
            on_route("leads to igw-1 instead", "", IN_THE_WAY),
            id="an unmanaged route leads to a gateway",
        ),
        pytest.param(
            all_of(
                with_routes(
                    builders.route("10.200.1.0/24", "eni-8", state="blackhole")
                ),
                lambda snapshot: replace(snapshot, managed={}),
            ),
            ALL,
            on_route(
                "has a blackhole: the interface is deleted",
                delete("10.200.1.0/24"),
                INTERFACE_DELETED,
            ),
            id="an unmanaged blackhole of a deleted interface",
        ),
        pytest.param(
            all_of(
                with_routes(
                    builders.route("10.200.1.0/24", "eni-8", state="blackhole")
                ),
                lambda snapshot: replace(
                    snapshot,
                    managed={},
                    attachments={**snapshot.attachments, "eni-8": None},
                ),
            ),
            ALL,
            on_route("has a blackhole: the interface is detached", "", IN_THE_WAY),
            id="an unmanaged blackhole of a detached interface",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
            ALL,
            on_route("has a blackhole", DESCRIBE_INTERFACE),
            id="the route is a blackhole for no known reason",
        ),
        pytest.param(
            all_of(
                with_routes(
                    builders.route("10.200.1.0/24", "eni-1", state="blackhole")
                ),
                lambda snapshot: replace(
                    snapshot, attachments={**snapshot.attachments, "eni-1": None}
                ),
            ),
            ALL,
            on_route("has a blackhole: the interface is detached", DESCRIBE_INTERFACE),
            id="the route is a blackhole because the interface is detached",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.128/25", "eni-2")),
            ALL,
            on_route(
                "sends 10.200.1.128/25, a part of a pod CIDR, to eni-2",
                "",
                UNMANAGED_PART,
            ),
            id="a more specific route takes half of the pods",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.128/25", "pcx-1")),
            ALL,
            on_route(
                "sends 10.200.1.128/25, a part of a pod CIDR, to pcx-1",
                "",
                UNMANAGED_PART,
            ),
            id="a peering connection takes half of the pods",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.128/25", "eni-2")),
                lambda s: replace(
                    s,
                    managed={
                        **(s.managed or {}),
                        RouteKey.parse("rtb-1_10.200.1.128/25"): "eni-2",
                    },
                ),
            ),
            ALL,
            on_route("sends 10.200.1.128/25, a part of a pod CIDR, to eni-2", UPDATE),
            id="an obsolete route of the stack takes half of the pods",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.7/32", "eni-8", state="blackhole")),
            ALL,
            on_route(
                "sends 10.200.1.7/32, a part of a pod CIDR, to eni-8",
                delete("10.200.1.7/32"),
                INTERFACE_DELETED,
            ),
            id="a more specific blackhole of a deleted interface",
        ),
        pytest.param(
            with_routes(
                builders.route(
                    "10.200.1.7/32", "eni-8", state="blackhole", instance_id="i-8"
                )
            ),
            ALL,
            on_route(
                "sends 10.200.1.7/32, a part of a pod CIDR, to eni-8",
                "",
                UNMANAGED_PART,
            ),
            id="a more specific blackhole of an instance that may start again",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.7/32", "eni-1", state="blackhole")),
            ALL,
            on_route(
                "sends 10.200.1.7/32, a part of a pod CIDR, to eni-1",
                "",
                UNMANAGED_PART,
            ),
            id="a more specific route is a blackhole for one pod",
        ),
        pytest.param(
            with_routes(
                builders.route(
                    "10.200.1.64/26", "vgw-1", origin="EnableVgwRoutePropagation"
                )
            ),
            ALL,
            on_route(
                "sends 10.200.1.64/26, a part of a pod CIDR, to vgw-1",
                "",
                f"{FROM_GATEWAY} {OTHER_POD_CIDR}",
            ),
            id="a propagated route takes a part of the pods",
        ),
        pytest.param(
            with_routes(
                builders.route("10.200.1.64/26", "eni-9", origin="Advertisement")
            ),
            ALL,
            on_route(
                "sends 10.200.1.64/26, a part of a pod CIDR, to eni-9",
                "",
                f"{FROM_ROUTE_SERVER} {OTHER_POD_CIDR}",
            ),
            id="a route server's route takes a part of the pods",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("pl-1", "pcx-1")),
                prefix_list("10.200.1.16/28", "192.168.0.0/16"),
            ),
            ALL,
            on_route("sends pl-1, a part of a pod CIDR, to pcx-1", "", UNMANAGED_PART),
            id="an entry of a prefix list takes a part of the pods",
        ),
        pytest.param(
            all_of(
                without_routes("10.200.1.0/24"),
                with_routes(
                    builders.route(
                        "10.200.1.0/24", "vgw-1", origin="EnableVgwRoutePropagation"
                    )
                ),
            ),
            ALL,
            on_route(
                "has no route to the pod CIDR; 10.200.1.0/24, propagated, leads to"
                " vgw-1",
                UPDATE,
            ),
            id="a propagated route exists, and the static one is missing",
        ),
        pytest.param(
            all_of(
                without_routes("10.200.1.0/24"),
                with_routes(builders.route("10.200.1.0/25", "eni-1")),
            ),
            ALL,
            on_route("has no route to the pod CIDR", UPDATE),
            id="a more specific route to the worker covers only half of the pods",
        ),
        pytest.param(
            in_main_table("subnet-1"),
            ALL,
            Blocker(
                check=CheckKind.ROUTE,
                resource="rtb-main",
                problem="isn't among routeTables and has no route to the pod CIDR",
                command="pulumi config set pod-routes:routeTables kubernetes,rtb-main"
                " --stack dev",
                affected=POD_1,
            ),
            id="the sender's subnet falls back to the main table",
        ),
        pytest.param(
            in_main_table("subnet-2"),
            ALL,
            Blocker(
                check=CheckKind.ROUTE,
                resource="rtb-main",
                problem="isn't among routeTables and has no route to the pod CIDR",
                command="pulumi config set pod-routes:routeTables kubernetes,rtb-main"
                " --stack dev",
                affected="10.200.0.0/24 of worker-0",
                on_reply=True,
            ),
            id="the receiver's subnet falls back to the main table",
        ),
        pytest.param(
            all_of(
                in_main_table("subnet-1"), lambda s: replace(s, tables=s.tables[:1])
            ),
            ALL,
            Blocker(
                check=CheckKind.ROUTE,
                resource="subnet-1",
                problem="has no route table",
                command="",
            ),
            id="the snapshot has no table for the subnet",
        ),
        pytest.param(
            with_interface(0, source_dest_check=True),
            ALL,
            Blocker(
                check=CheckKind.SOURCE_DEST_CHECK,
                resource="eni-0",
                problem="has its source/destination check on",
                command="aws ec2 modify-network-interface-attribute"
                " --network-interface-id eni-0 --no-source-dest-check"
                " --region us-east-1",
                affected="worker-0",
            ),
            id="the sender's check is on",
        ),
        pytest.param(
            with_interface(1, source_dest_check=True),
            ALL,
            Blocker(
                check=CheckKind.SOURCE_DEST_CHECK,
                resource="eni-1",
                problem="has its source/destination check on",
                command="aws ec2 modify-network-interface-attribute"
                " --network-interface-id eni-1 --no-source-dest-check"
                " --region us-east-1",
                affected="worker-1",
            ),
            id="the receiver's check is on",
        ),
        pytest.param(
            all_of(dual_stack, without_routes("fd00:200:0:1::/64")),
            ALL,
            Blocker(
                check=CheckKind.ROUTE,
                resource="rtb-1",
                problem="has no route to the pod CIDR",
                command=UPDATE,
                affected="fd00:200:0:1::/64 of worker-1",
            ),
            id="the IPv6 route is missing while IPv4 is reachable",
        ),
    ],
)
def test_a_blocker_is_reported_with_its_fix(
    change: Change, traffic: Traffic, blocker: Blocker
) -> None:
    assert_blocked(change(lab()), traffic, blocker)


@pytest.mark.parametrize(
    ("change", "traffic"),
    [
        pytest.param(lambda snapshot: snapshot, ALL, id="everything is allowed"),
        pytest.param(dual_stack, ALL, id="both IP families"),
        pytest.param(
            with_routes(builders.route("10.200.1.128/25", "eni-1")),
            ALL,
            id="a more specific route leads to the worker too",
        ),
        pytest.param(
            all_of(
                without_routes("10.200.1.0/24"),
                with_routes(
                    builders.route("10.200.1.0/25", "eni-1"),
                    builders.route("10.200.1.128/25", "eni-1"),
                ),
            ),
            ALL,
            id="two halves lead to the worker",
        ),
        pytest.param(
            lambda snapshot: replace(
                snapshot,
                tables=(
                    replace(
                        snapshot.tables[0],
                        routes=(
                            *snapshot.tables[0].routes,
                            builders.route(
                                "10.200.1.0/24",
                                "vgw-1",
                                origin="EnableVgwRoutePropagation",
                            ),
                        ),
                    ),
                ),
            ),
            ALL,
            id="a static route wins over a propagated one",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("pl-1", "tgw-1")),
                prefix_list("10.200.1.0/24"),
            ),
            ALL,
            id="a static route wins over an equal entry of a prefix list",
        ),
    ],
)
def test_packets_arrive_by_other_routes_to_the_same_worker(
    change: Change, traffic: Traffic
) -> None:
    result = verify(change(lab()), traffic).reachability.between("i-0", "i-1")

    assert result == PairResult()


@pytest.mark.parametrize(
    ("targets", "outcome"),
    [
        (("eni-1", "eni-1"), "reachable"),
        (("eni-1", "igw-1"), "unknown"),
        (("eni-2", "igw-1"), "blocked"),
        (("eni-1", "tgw-1"), "unknown"),
    ],
)
def test_prefix_lists_with_the_same_entry_are_certain_if_their_results_are_equal(
    targets: tuple[str, str], outcome: str
) -> None:
    """ "If your route table references multiple prefix lists that have overlapping CIDR
    blocks to different targets, we randomly choose which route takes priority" (VPC
    User Guide, "Route priority").
    """
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_routes(*map(builders.route, ("pl-1", "pl-2"), targets)),
        lambda snapshot: replace(
            snapshot,
            prefix_lists=dict.fromkeys(
                ("pl-1", "pl-2"), builders.networks("10.200.1.0/24")
            ),
        ),
    )

    result = verify(change(lab()), ALL).reachability.between("i-0", "i-1")

    assert result.outcome == outcome
    if targets == ("eni-1", "igw-1"):
        assert result.cause
        assert result.cause.problem == (
            "has pl-1 to eni-1 and pl-2 to igw-1 for the same addresses, and EC2 picks"
            " one at random"
        )


UNREAD = {"GetManagedPrefixListEntries": "AccessDenied"}
ONE_ADDRESS = all_of(
    with_worker(0, pod_cidrs=builders.networks("10.200.0.1/32")),
    with_routes(builders.route("10.200.0.1/32", "eni-0")),
)
"""worker-0 has one address only, so no prefix list can redirect its replies."""


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        pytest.param(
            with_routes(builders.route("pl-9", "igw-1")), "unknown", id="it may matter"
        ),
        pytest.param(
            with_routes(builders.route("pl-9", "eni-1")),
            "reachable",
            id="it leads to the worker too",
        ),
        pytest.param(
            all_of(
                with_worker(1, pod_cidrs=builders.networks("10.200.1.1/32")),
                with_routes(
                    builders.route("10.200.1.1/32", "eni-1"),
                    builders.route("pl-9", "igw-1"),
                ),
            ),
            "reachable",
            id="a static route to one address cannot be beaten",
        ),
        pytest.param(
            all_of(
                without_routes("10.200.1.0/24"),
                with_routes(builders.route("pl-9", "igw-1")),
            ),
            "blocked",
            id="with it or without, no route leads there",
        ),
        pytest.param(
            all_of(
                without_routes("10.200.1.0/24"),
                with_routes(builders.route("pl-9", "eni-1")),
            ),
            "unknown",
            id="it may be the only route",
        ),
    ],
)
def test_a_prefix_list_that_was_not_read_is_unknown_if_it_can_matter(
    change: Change, outcome: str
) -> None:
    snapshot = replace(change(ONE_ADDRESS(lab())), denied=UNREAD)

    result = verify(snapshot, ALL).reachability.between("i-0", "i-1")

    assert result.outcome == outcome


@pytest.mark.parametrize(
    ("behind", "outcome"),
    [
        pytest.param("eni-1", "unknown", id="to the worker, from another address"),
        pytest.param("igw-1", "blocked", id="to the internet"),
        pytest.param("nat-2", "blocked", id="in a loop"),
        pytest.param("tgw-1", "unknown", id="to a transit gateway"),
        pytest.param("", "blocked", id="nowhere"),
    ],
)
def test_a_nat_gateway_forwards_by_its_own_subnets_table(
    behind: str, outcome: str
) -> None:
    """See VPC User Guide, "NAT gateways"."""
    routes = [builders.route("10.200.1.0/24", behind)] if behind else []
    snapshot = with_routes(builders.route("10.200.1.0/24", "nat-1"))(lab())
    snapshot = replace(
        snapshot,
        tables=(
            *snapshot.tables,
            *(
                builders.table(*routes, id="rtb-nat", subnet_ids=("subnet-9",)),
                builders.table(
                    builders.route("10.200.1.0/24", "nat-1"),
                    id="rtb-nat-2",
                    subnet_ids=("subnet-10",),
                ),
            ),
        ),
        nat_gateways={"nat-1": "subnet-9", "nat-2": "subnet-10"},
    )

    result = verify(snapshot, ALL).reachability.between("i-0", "i-1")
    unread = replace(snapshot, nat_gateways={})

    assert result.outcome == outcome
    assert verify(unread, ALL).reachability.between("i-0", "i-1").outcome == "unknown"


@pytest.mark.parametrize("lists", [{}, {"pl-9": ()}])
def test_a_prefix_list_without_entries_makes_nothing_unknown(
    lists: dict[str, tuple[Network, ...]],
) -> None:
    """AWS denied nothing, so an absent list has no entries either."""
    routed = all_of(
        without_routes("10.200.1.0/24"), with_routes(builders.route("pl-9", "tgw-1"))
    )
    grouped = with_group(1, group_rule(1, "list", "pl-9"))

    for change in (routed, grouped):
        verification = verify(replace(change(lab()), prefix_lists=lists), ALL)
        result = verification.reachability.between("i-0", "i-1")
        assert result.outcome == "blocked"


@pytest.mark.parametrize("target", ["eni-9", "10.0.0.7", "fd00::7"])
def test_a_route_to_an_interface_is_unknown_if_interfaces_were_not_read(
    target: str,
) -> None:
    """An IP address is the next hop of a VPC route server's peer."""
    change = with_routes(builders.route("10.200.1.0/24", target))
    snapshot = replace(
        change(lab()), denied={"DescribeNetworkInterfaces": "AccessDenied"}
    )

    result = verify(snapshot, ALL).reachability.between("i-0", "i-1")

    assert result.outcome == "unknown"


def test_the_local_route_has_priority_over_a_more_specific_propagated_one() -> None:
    """ "If propagated routes from a Site-to-Site VPN connection or AWS Direct Connect
    connection overlap with the local route for your VPC, the local route is most
    preferred even if the propagated routes are more specific" (Site-to-Site VPN User
    Guide, "Route tables and route priority").
    """
    propagated = "EnableVgwRoutePropagation"
    table = builders.table(
        builders.route("10.0.1.0/24", "vgw-1", origin=propagated),
        builders.route("172.16.0.0/16", "vgw-1", origin=propagated),
    )

    forwarding = ForwardingTable(table, {})

    (segment,) = forwarding.ranges(ip_network("10.0.1.0/28"))
    assert [route.target for route in segment.routes] == ["local"]
    (segment,) = forwarding.ranges(ip_network("172.16.0.0/28"))
    assert [route.target for route in segment.routes] == ["vgw-1"]


def test_a_certain_blocker_comes_before_an_unknown_one() -> None:
    """Wherever on the path it is: here the route table comes after the instance."""
    change = all_of(
        without_routes("10.200.1.0/24"),
        lambda s: replace(s, denied={"DescribeSubnets": "AccessDenied"}),
    )

    verification = verify(change(lab()), ALL)

    result = verification.reachability.between("i-0", "i-1")
    assert result.outcome == "blocked"
    assert [cause.severity for cause in result.causes] == [
        Severity.ERROR,
        Severity.UNKNOWN,
    ]
    assert verification.outcome is Outcome.FAIL


def test_another_workers_own_route_is_never_to_be_deleted() -> None:
    """Two pod CIDRs overlap; the fix is another pod CIDR, not a deletion."""
    inner = ip_network("10.200.1.128/25")
    snapshot = with_routes(builders.route(str(inner), "eni-2"))(lab())
    overlapping = desired_route(snapshot.workers[2], inner)

    snapshot = replace(snapshot, desired=(*snapshot.desired, overlapping))

    cause = verify(snapshot, ALL).reachability.between("i-0", "i-1").cause
    assert cause is not None
    assert cause.problem == f"sends {inner}, a part of a pod CIDR, to eni-2"
    assert cause.hint == OTHER_POD_CIDR
    assert cause.command == ""


NO_WORKER = Instance(id="i-9", name="nat", state="running", subnet_id="subnet-9")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "tgw-1")),
            "leads to tgw-1 instead; 10.200.1.0/24 goes through tgw-1, which is not"
            " followed",
            id="a transit gateway",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.128/25", "vpce-1")),
            "sends 10.200.1.128/25, a part of a pod CIDR, to vpce-1; 10.200.1.128/25"
            " goes through vpce-1, which is not followed",
            id="an endpoint of a firewall or a gateway load balancer",
        ),
        pytest.param(
            all_of(
                without_routes("10.200.1.0/24"),
                with_routes(builders.route("0.0.0.0/0", "tgw-1")),
            ),
            "has no route to the pod CIDR; 0.0.0.0/0 goes through tgw-1, which is not"
            " followed",
            id="the default route to a transit gateway",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-9")),
                lambda s: replace(
                    s,
                    attachments={**s.attachments, "eni-9": "i-9"},
                    instances=(*s.instances, NO_WORKER),
                ),
            ),
            "leads to eni-9 instead; 10.200.1.0/24 goes through eni-9, which is not"
            " followed",
            id="an appliance",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-9")),
                lambda s: replace(s, attachments={**s.attachments, "eni-9": None}),
            ),
            "leads to eni-9 instead; 10.200.1.0/24 goes through eni-9, which is not"
            " followed",
            id="an interface of no instance, such as a load balancer's",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-9")),
                lambda s: replace(s, attachments={**s.attachments, "eni-9": "i-1"}),
            ),
            "leads to eni-9 instead; 10.200.1.0/24 goes through eni-9, which is not"
            " followed",
            id="the worker's second interface",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/25", "")),
            "sends 10.200.1.0/25, a part of a pod CIDR, to nothing; 10.200.1.0/25"
            " goes through an unnamed target, which is not followed",
            id="an unnamed target",
        ),
    ],
)
def test_a_target_that_is_not_followed_makes_a_pair_unknown(
    change: Change, problem: str
) -> None:
    """Packets may reach the worker behind it, or not."""
    result = verify(change(lab()), ALL).reachability.between("i-0", "i-1")

    assert result.outcome == "unknown"
    assert result.cause
    assert result.cause.problem == problem


@pytest.mark.parametrize(
    ("change", "command"),
    [
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "tgw-1")), "", id="in its place"
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.128/25", "vpce-1")), "", id="of a part"
        ),
        pytest.param(
            all_of(
                without_routes("10.200.1.0/24"),
                with_routes(builders.route("0.0.0.0/0", "tgw-1")),
            ),
            UPDATE,
            id="the default",
        ),
    ],
)
def test_no_command_deletes_a_route_that_may_be_intended(
    change: Change, command: str
) -> None:
    snapshot = replace(
        change(lab()), managed={RouteKey.parse("rtb-1_10.200.0.0/24"): "eni-0"}
    )

    result = verify(snapshot, ALL).reachability.between("i-0", "i-1")

    assert result.outcome == "unknown"
    assert result.cause
    assert result.cause.command == command


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "tgw-1", state="blackhole")),
            id="a deleted transit gateway",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-2")), id="another worker"
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-9")),
            id="a deleted interface",
        ),
        pytest.param(
            all_of(
                with_worker(0, state="stopped"),
                with_routes(builders.route("10.200.1.0/24", "tgw-1")),
            ),
            id="the sender, before the route",
        ),
    ],
)
def test_a_certain_blocker_is_not_unknown(change: Change) -> None:
    result = verify(change(lab()), ALL).reachability.between("i-0", "i-1")

    assert result.outcome == "blocked"


def denied(*actions: str) -> Change:
    return lambda snapshot: replace(
        snapshot, denied=dict.fromkeys(actions, "it failed.")
    )


@pytest.mark.parametrize(
    ("action", "change", "resource"),
    [
        pytest.param(action, change, f"ec2:{action}", id=action)
        for action, change in {
            "DescribeNetworkInterfaces": lambda s: replace(s, attachments={}),
            "DescribeSubnets": lambda s: replace(s, subnets=(), states={}),
            "DescribeSecurityGroupRules": lambda s: replace(s, security_group_rules=()),
            "DescribeNetworkAcls": lambda s: replace(s, acls=()),
        }.items()
    ]
    + [
        pytest.param(
            "GetManagedPrefixListEntries",
            with_routes(builders.route("pl-1", "vgw-1")),
            "pl-1",
            id="GetManagedPrefixListEntries, of a route",
        ),
        pytest.param(
            "GetManagedPrefixListEntries",
            with_group(1, group_rule(1, "pl", "pl-1")),
            "pl-1",
            id="GetManagedPrefixListEntries, of a rule",
        ),
    ],
)
def test_a_denied_call_makes_its_checks_unknown(
    action: str, change: Change, resource: str
) -> None:
    verification = verify(all_of(change, denied(action))(lab()), ALL)

    result = verification.reachability.between("i-0", "i-1")
    assert result.cause
    assert (result.outcome, result.cause.resource) == ("unknown", resource)
    assert verification.outcome is Outcome.UNKNOWN
    assert [note.resource for note in verification.notes] == [f"ec2:{action}"]


def test_a_denied_call_leaves_other_checks_alone() -> None:
    """Between interfaces of one subnet, network ACLs are not evaluated."""
    reachability = verify(denied("DescribeNetworkAcls")(lab()), ALL).reachability

    assert reachability.between("i-0", "i-2").outcome == "reachable"
    assert reachability.between("i-0", "i-1").outcome == "unknown"


def test_a_route_is_not_stale_because_interfaces_were_not_read() -> None:
    change = all_of(
        with_routes(builders.route("10.200.9.0/24", "eni-8", state="blackhole")),
        lambda s: replace(s, attachments={}),
        denied("DescribeNetworkInterfaces"),
    )

    assert verify(change(lab()), ALL).outcome is Outcome.UNKNOWN
