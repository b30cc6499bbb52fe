"""Laws of verification: whatever the network, these hold."""

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
from routes.verify.packets import Packets, Question, Span, matched, span, without
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
QUESTIONS = st.sampled_from(
    [Question(), Question("tcp"), Question("tcp", 8080), Question("udp", 53)]
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
"""An instance, whose group has no rules, and all of a subnet."""
OTHERS = replace(
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
ENTRY = attrgetter("destination", "origin")  # a table has one static one per network
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
    """Return a lab of five workers with a few things broken, or not read."""
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
        sources=(API, OTHERS),
        attachments={**snapshot.attachments, "eni-9": "i-1"},
        nat_gateways={"nat-1": "subnet-2"},
        prefix_lists={"pl-1": (draw(NETWORKS),)},
        unread=dict.fromkeys(draw(st.lists(ACTIONS, max_size=1)), "AccessDenied"),
    )


def verdicts(snapshot: Snapshot, question: Question) -> dict[tuple[str, str], object]:
    found = verify(snapshot, question).reachability
    ids = [worker.instance_id for worker in found.workers]
    return {(a, b): found.between(a, b) for a in ids for b in ids if a != b}


def reachable(snapshot: Snapshot, question: Question) -> int:
    return verify(snapshot, question).reachability.reachable


@given(snapshots(), QUESTIONS, st.data())
def test_removing_a_route_to_a_worker_never_makes_more_pairs_reachable(
    snapshot: Snapshot, question: Question, data: st.DataObject
) -> None:
    """Of routes that lead to the worker itself; another may stand in the way."""
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

    assert reachable(after, question) <= reachable(snapshot, question)


@given(snapshots(), QUESTIONS, st.randoms(use_true_random=False))
def test_the_verdict_does_not_depend_on_the_order_of_anything(
    snapshot: Snapshot, question: Question, random: Random
) -> None:
    def shuffled(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(random.sample(items, len(items)))

    other = replace(
        snapshot,
        workers=shuffled(snapshot.workers),
        wanted=shuffled(snapshot.wanted),
        tables=shuffled(
            tuple(replace(t, routes=shuffled(t.routes)) for t in snapshot.tables)
        ),
        acls=shuffled(
            tuple(replace(acl, rules=shuffled(acl.rules)) for acl in snapshot.acls)
        ),
        security_group_rules=shuffled(snapshot.security_group_rules),
        instances=shuffled(snapshot.instances),
    )

    assert verdicts(other, question) == verdicts(snapshot, question)
    assert verify(other, question).routes == verify(snapshot, question).routes


@given(snapshots(), QUESTIONS)
def test_every_pair_is_counted_once(snapshot: Snapshot, question: Question) -> None:
    found = verify(snapshot, question).reachability

    assert sum(found.pairs) == 5 * 4
    assert all(found.pairs)


@given(snapshots(), QUESTIONS)
@settings(max_examples=25)
def test_whatever_was_found_can_be_shown(
    snapshot: Snapshot, question: Question
) -> None:
    """In every form, and each pair's way; what the way says is the pair's verdict."""
    found = verify(snapshot, question)
    shown = io.StringIO()
    console = terminal.trimmed(shown, width=80)
    terminal.show(found, console)
    assert html.render(found)
    assert github.render(found)
    assert document(found).model_dump_json()
    for source, target in permutations((*snapshot.workers, *snapshot.sources), 2):
        outcome = terminal.show_way(found, source, target, console)
        if source in snapshot.sources or target in snapshot.sources:
            continue
        verdict = found.reachability.between(source.instance_id, target.instance_id)
        assert OUTCOMES[verdict.outcome] is outcome


OUTCOMES = {
    "reachable": Outcome.WELL,
    "stopped": Outcome.WRONG,
    "unknown": Outcome.UNDECIDED,
}


@given(st.lists(STATIC, max_size=12, unique_by=lambda r: r.destination), NETWORKS)
def test_legs_agree_with_a_search_through_every_route(
    routes: list[Route], network: Network
) -> None:
    table = builders.table(*routes)
    legs = list(ForwardingTable(table, {}).legs(network))

    assert [leg.addresses.first for leg in legs[1:]] == [
        leg.addresses.last + 1 for leg in legs[:-1]
    ]
    assert Span(legs[0].addresses.first, legs[-1].addresses.last) == span(network)
    for leg in legs:
        for number in {
            leg.addresses.first,
            sum(leg.addresses) // 2,
            leg.addresses.last,
        }:
            address = IPv4Address(number)
            matches = [
                (route.destination.prefixlen, route)
                for route in table.routes
                if not isinstance(route.destination, str)
                and address in route.destination
            ]
            _, best = max(matches, key=itemgetter(0))
            assert leg.routes == (best,)


@given(NETWORKS, NETWORKS, PROTOCOLS, PORTS)
def test_what_a_rule_leaves_and_takes_is_the_whole(
    mine: Network, other: Network, protocol: int, ports: tuple[int, int] | None
) -> None:
    whole = matched(-1, None, mine)
    taken = matched(protocol, ports, other)
    parts = without([whole], taken)
    if whole.meets(taken):
        parts.append(whole.shared(taken))

    def size(numbers: Span) -> int:
        return numbers.last - numbers.first + 1

    def volume(box: Packets) -> int:
        return size(box.protocols) * size(box.ports) * size(box.addresses)

    assert sum(map(volume, parts)) == volume(whole)
    assert not any(a.meets(b) for a in parts for b in parts if a is not b)
