"""Laws of verification, which hold for any network."""

from __future__ import annotations

import io
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from itertools import permutations
from operator import attrgetter, itemgetter
from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from routes.model import (
    AclRule,
    Interface,
    Route,
    SecurityGroupRule,
)
from routes.networks import Network, contains
from routes.report import github, html, terminal
from routes.report.document import document
from routes.verify.forwarding import ForwardingTable
from routes.verify.header_space import (
    HeaderSpace,
    Span,
    Traffic,
    matching,
    span,
    subtract,
)
from routes.verify.snapshot import Snapshot
from routes.verify.verification import Outcome, verify
from tests import builders
from tests.snapshots import (
    group_rule,
    lab,
    rule,
    with_acl,
    with_group,
    with_interface,
    with_routes,
)

Item = TypeVar("Item")
TRAFFIC = st.sampled_from(
    [Traffic(), Traffic("tcp"), Traffic("tcp", 8080), Traffic("udp", 53)]
)
NETWORKS = st.builds(
    lambda address, length: ip_network((address, length), strict=False),
    st.integers(int(IPv4Address("10.200.0.0")), int(IPv4Address("10.200.4.0"))),
    st.integers(20, 32),
)
TARGETS = st.sampled_from(
    ["eni-0", "eni-1", "eni-2", "eni-9", "igw-1", "nat-1", "tgw-1", ""]
)
ROUTES = st.builds(
    Route,
    destination=NETWORKS | st.sampled_from(["pl-1", "pl-2"]),
    target=TARGETS,
    state=st.sampled_from(["active", "blackhole"]),
    origin=st.sampled_from(
        ["CreateRoute", "EnableVgwRoutePropagation", "Advertisement"]
    ),
)
API = replace(
    builders.worker(9),
    name="api",
    pod_cidrs=builders.networks("10.0.1.7/32"),
    interface=Interface(
        id="eni-api",
        subnet_id="subnet-1",
        source_dest_check=False,
        security_group_ids=("sg-9",),
    ),
)
"""An instance whose group has no rules."""
SUBNET = replace(
    API,
    instance_id="subnet-2",
    interface=Interface(id="", subnet_id="subnet-2", source_dest_check=False),
)
STATIC = ROUTES.filter(lambda route: not isinstance(route.destination, str))
LISTS = ("pl-1", "pl-2")
"""The second one was not read."""
ACTIONS = st.sampled_from(
    [
        "DescribeNetworkAcls",
        "DescribeSecurityGroupRules",
        "DescribeSubnets",
        "GetManagedPrefixListEntries",
    ]
)
ENTRY = attrgetter("destination", "origin")  # one static route per destination
PORTS = st.none() | st.tuples(st.integers(0, 9000), st.integers(9000, 65535))
PROTOCOLS = st.sampled_from([-1, 1, 6, 17, 47])


@st.composite
def acl_rules(draw: st.DrawFn) -> tuple[AclRule, ...]:
    numbers = draw(st.lists(st.integers(1, 99), unique=True, max_size=4))
    return tuple(
        rule(
            number,
            egress=draw(st.booleans()),
            allow=draw(st.booleans()),
            network=draw(NETWORKS),
            protocol=draw(PROTOCOLS),
            ports=draw(PORTS),
        )
        for number in numbers
    )


@st.composite
def group_rules(draw: st.DrawFn) -> tuple[SecurityGroupRule, ...]:
    count = draw(st.integers(0, 4))
    return tuple(
        group_rule(
            1,
            str(index),
            draw(st.sampled_from(["10.200.0.0/16", "10.200.0.0/25", "sg-0", *LISTS])),
            protocol=draw(PROTOCOLS),
            ports=draw(PORTS),
        )
        for index in range(count)
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Return a lab of five workers with some faults, or with a denied call."""
    snapshot = lab(5, subnets=draw(st.sampled_from([2, 5])))
    for change in (
        with_routes(*draw(st.lists(ROUTES, max_size=4, unique_by=ENTRY))),
        with_acl(1, *draw(acl_rules())),
        with_interface(draw(st.integers(0, 4)), source_dest_check=draw(st.booleans())),
    ):
        snapshot = change(snapshot)
    if draw(st.booleans()):
        snapshot = with_group(1, *draw(group_rules()))(snapshot)
    return replace(
        snapshot,
        sources=(API, SUBNET),
        attachments={**snapshot.attachments, "eni-9": "i-1"},
        nat_gateways={"nat-1": "subnet-2"},
        prefix_lists={"pl-1": (draw(NETWORKS),)},
        denied=dict.fromkeys(draw(st.lists(ACTIONS, max_size=1)), "AccessDenied"),
    )


def results(snapshot: Snapshot, traffic: Traffic) -> dict[tuple[str, str], object]:
    reachability = verify(snapshot, traffic).reachability
    ids = [worker.instance_id for worker in reachability.workers]
    return {(a, b): reachability.between(a, b) for a, b in permutations(ids, 2)}


def reachable(snapshot: Snapshot, traffic: Traffic) -> int:
    return verify(snapshot, traffic).reachability.reachable


@given(snapshots(), TRAFFIC, st.data())
def test_removing_a_route_to_a_worker_never_makes_more_pairs_reachable(
    snapshot: Snapshot, traffic: Traffic, data: st.DataObject
) -> None:
    """Only of routes to the worker itself: others may block packets."""
    owners = {
        one.interface.id: one.pod_cidrs[0] for one in snapshot.workers if one.interface
    }
    table = snapshot.tables[0]
    leading = [
        route
        for route in table.routes
        if not isinstance(route.destination, str)
        and route.target in owners
        and contains(owners[route.target], route.destination)
        and route.state == "active"
    ]
    if not leading:
        return
    removed = data.draw(st.sampled_from(leading))
    fewer = replace(table, routes=tuple(r for r in table.routes if r != removed))

    after = replace(snapshot, tables=(fewer, *snapshot.tables[1:]))

    assert reachable(after, traffic) <= reachable(snapshot, traffic)


@given(snapshots(), TRAFFIC, st.randoms(use_true_random=False))
def test_results_do_not_depend_on_the_order_of_anything(
    snapshot: Snapshot, traffic: Traffic, random: Random
) -> None:
    def shuffled(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(random.sample(items, len(items)))

    other = replace(
        snapshot,
        workers=shuffled(snapshot.workers),
        desired=shuffled(snapshot.desired),
        tables=shuffled(
            tuple(replace(t, routes=shuffled(t.routes)) for t in snapshot.tables)
        ),
        acls=shuffled(
            tuple(replace(acl, rules=shuffled(acl.rules)) for acl in snapshot.acls)
        ),
        security_group_rules=shuffled(snapshot.security_group_rules),
        instances=shuffled(snapshot.instances),
    )

    assert results(other, traffic) == results(snapshot, traffic)
    assert verify(other, traffic).entries == verify(snapshot, traffic).entries


@given(snapshots(), TRAFFIC)
def test_every_pair_is_counted_once(snapshot: Snapshot, traffic: Traffic) -> None:
    reachability = verify(snapshot, traffic).reachability

    assert sum(reachability.pairs) == 5 * 4
    assert all(reachability.pairs)


@given(snapshots(), TRAFFIC)
@settings(max_examples=25)
def test_every_report_can_be_rendered(snapshot: Snapshot, traffic: Traffic) -> None:
    """Each pair's trace too, and its outcome is the pair's."""
    verification = verify(snapshot, traffic)
    console = terminal.report_console(io.StringIO(), width=80)
    terminal.show(verification, console)
    assert html.render(verification)
    assert github.render(verification)
    assert document(verification).model_dump_json()
    for source, target in permutations((*snapshot.workers, *snapshot.sources), 2):
        outcome = terminal.show_trace(verification, source, target, console)
        if source in snapshot.sources or target in snapshot.sources:
            continue
        ids = source.instance_id, target.instance_id
        result = verification.reachability.between(*ids)
        assert OUTCOMES[result.outcome] is outcome


OUTCOMES = {
    "reachable": Outcome.PASS,
    "blocked": Outcome.FAIL,
    "unknown": Outcome.UNKNOWN,
}


@given(st.lists(STATIC, max_size=12, unique_by=lambda r: r.destination), NETWORKS)
def test_segments_agree_with_a_search_through_every_route(
    routes: list[Route], network: Network
) -> None:
    table = builders.table(*routes)
    segments = list(ForwardingTable(table, {}).ranges(network))

    assert [segment.addresses.first for segment in segments[1:]] == [
        segment.addresses.last + 1 for segment in segments[:-1]
    ]
    assert Span(segments[0].addresses.first, segments[-1].addresses.last) == span(
        network
    )
    for segment in segments:
        for number in {
            segment.addresses.first,
            sum(segment.addresses) // 2,
            segment.addresses.last,
        }:
            address = IPv4Address(number)
            matches = [
                (route.destination.prefixlen, route)
                for route in table.routes
                if not isinstance(route.destination, str)
                and address in route.destination
            ]
            _, best = max(matches, key=itemgetter(0))
            assert segment.routes == (best,)


@given(NETWORKS, NETWORKS, PROTOCOLS, PORTS)
def test_the_difference_and_the_intersection_make_the_whole(
    mine: Network, other: Network, protocol: int, ports: tuple[int, int] | None
) -> None:
    whole = matching(-1, None, mine)
    taken = matching(protocol, ports, other)
    parts = subtract([whole], taken)
    if whole.intersects(taken):
        parts.append(whole.intersection(taken))

    def size(numbers: Span) -> int:
        return numbers.last - numbers.first + 1

    def volume(space: HeaderSpace) -> int:
        return size(space.protocols) * size(space.ports) * size(space.addresses)

    assert sum(map(volume, parts)) == volume(whole)
    assert not any(a.intersects(b) for a in parts for b in parts if a is not b)
