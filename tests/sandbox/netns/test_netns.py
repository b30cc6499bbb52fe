"""Packets arrive where EC2's documentation says so, and nowhere else."""

from __future__ import annotations

import ast
import itertools
import resource
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from sandbox import TOP, faults
from sandbox import lab as labs
from sandbox.lab import Lab
from sandbox.netns import packets
from sandbox.netns import ping as pinging
from sandbox.netns.account import read
from sandbox.netns.client import Network
from sandbox.netns.packets import Probe
from tests.sandbox.conftest import route_all

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from sandbox.netns.kernel import Namespace

Change = Callable[["EC2Client", Lab], object]
ALL = {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}
"""Workers 0 and 1 share a subnet; 2 is in another."""


@pytest.fixture
def lab(ec2: EC2Client) -> Lab:
    """Return three workers in two subnets, with every route in place."""
    lab = labs.create_spread_lab(ec2)
    route_all(ec2, lab)
    return lab


def arriving(
    network: Network, ec2: EC2Client, kind: str = "ok"
) -> set[tuple[int, int]]:
    """Return the pairs of workers, by number, between which packets arrive."""
    account = read(ec2)
    numbers = {worker.id: number for number, worker in enumerate(account.workers)}
    results = pinging.arrivals(network, account)
    return {
        (numbers[source], numbers[target])
        for (source, target), result in results.items()
        if result == kind
    }


def interface(ec2: EC2Client, lab: Lab, number: int) -> str:
    return labs.interface_of(ec2, lab.workers[f"worker-{number}"])


def acl_of(ec2: EC2Client, lab: Lab) -> str:
    """Return the ACL of both subnets."""
    answer = ec2.describe_network_acls(
        Filters=[{"Name": "vpc-id", "Values": [lab.vpc_id]}]
    )
    return answer["NetworkAcls"][0]["NetworkAclId"]


def add_entry(
    ec2: EC2Client,
    lab: Lab,
    number: int,
    action: Literal["allow", "deny"],
    cidr: str,
    **more: Any,  # noqa: ANN401
) -> None:
    """Add an inbound rule, by default for all protocols."""
    ec2.create_network_acl_entry(
        NetworkAclId=acl_of(ec2, lab),
        RuleNumber=number,
        RuleAction=action,
        CidrBlock=cidr,
        Egress=False,
        **({"Protocol": "-1"} | more),
    )


def a_more_specific_route_has_another_target(ec2: EC2Client, lab: Lab) -> None:
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock="10.200.1.0/30",
        NetworkInterfaceId=interface(ec2, lab, 0),
    )


def a_more_specific_route_has_the_right_target(ec2: EC2Client, lab: Lab) -> None:
    ec2.replace_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        GatewayId=lab.gateway_id,
    )
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock="10.200.1.0/25",
        NetworkInterfaceId=interface(ec2, lab, 1),
    )


def prefix_list(ec2: EC2Client, cidr: str) -> str:
    return ec2.create_managed_prefix_list(
        PrefixListName="pods",
        MaxEntries=3,
        AddressFamily="IPv4",
        Entries=[{"Cidr": cidr}],
    )["PrefixList"]["PrefixListId"]


def a_prefix_list_has_the_destination_of_a_route(ec2: EC2Client, lab: Lab) -> None:
    """ "Static routes" come before "Prefix list routes" ("Route priority")."""
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationPrefixListId=prefix_list(ec2, "10.200.1.0/24"),
        GatewayId=lab.gateway_id,
    )


def a_prefix_list_replaces_a_route(ec2: EC2Client, lab: Lab) -> None:
    ec2.delete_route(RouteTableId=lab.table_id, DestinationCidrBlock="10.200.1.0/24")
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationPrefixListId=prefix_list(ec2, "10.200.1.0/24"),
        NetworkInterfaceId=interface(ec2, lab, 1),
    )


def a_subnet_falls_back_to_the_main_table(ec2: EC2Client, lab: Lab) -> None:
    for table in ec2.describe_route_tables()["RouteTables"]:
        for association in table["Associations"]:
            if association.get("SubnetId") not in {None, lab.subnet_id}:
                ec2.disassociate_route_table(
                    AssociationId=association["RouteTableAssociationId"]
                )


def a_reply_is_denied(ec2: EC2Client, lab: Lab) -> None:
    """ACLs are stateless, so they filter replies too. ICMP has no ports."""
    ports = {"From": 1024, "To": 8079}, {"From": 8081, "To": 65535}
    for number, span in enumerate(ports, 10):
        add_entry(
            ec2, lab, number, "deny", "10.200.2.0/24", Protocol="6", PortRange=span
        )


def a_lower_rule_allows(ec2: EC2Client, lab: Lab) -> None:
    add_entry(ec2, lab, 20, "deny", "10.200.0.0/16")
    add_entry(ec2, lab, 10, "allow", "10.200.2.0/24")


def pings_are_denied(ec2: EC2Client, lab: Lab) -> None:
    add_entry(
        ec2,
        lab,
        10,
        "deny",
        "10.200.0.0/16",
        Protocol="1",
        IcmpTypeCode={"Type": 8, "Code": -1},
    )


def allow_in(ec2: EC2Client, lab: Lab, **rule: Any) -> None:  # noqa: ANN401
    """Allow pods by this rule alone, by default for all protocols."""
    faults.inject(ec2, lab, "group")
    ec2.authorize_security_group_ingress(
        GroupId=lab.security_group_id,
        IpPermissions=[{"IpProtocol": "-1", **rule}],  # type: ignore[list-item]
    )


def only_worker_0_is_allowed_in(ec2: EC2Client, lab: Lab) -> None:
    """Groups are stateful: replies to worker 0 need no rule."""
    allow_in(ec2, lab, IpRanges=[{"CidrIp": "10.200.0.0/24"}])


def only_the_group_itself_is_allowed_in(ec2: EC2Client, lab: Lab) -> None:
    """A group means "the private IP addresses" of its interfaces, and no pods."""
    allow_in(ec2, lab, UserIdGroupPairs=[{"GroupId": lab.security_group_id}])


def only_tcp_is_allowed_in(ec2: EC2Client, lab: Lab) -> None:
    pods = [{"CidrIp": "10.200.0.0/16"}]
    allow_in(ec2, lab, IpProtocol="tcp", FromPort=8080, ToPort=8080, IpRanges=pods)


def fault(name: str) -> Change:
    return lambda ec2, lab: faults.inject(ec2, lab, name)


@pytest.mark.parametrize(
    ("change", "blocked"),
    [
        pytest.param(lambda *_: None, set(), id="no fault"),
        pytest.param(fault("route"), {(0, 1), (1, 0), (2, 1), (1, 2)}, id="no route"),
        pytest.param(
            fault("worker"), {(0, 1), (1, 0), (2, 1), (1, 2)}, id="a stopped worker"
        ),
        pytest.param(
            fault("check"),
            {(0, 1), (1, 0), (2, 1), (1, 2)},
            id="a source/destination check",
        ),
        pytest.param(fault("acl"), {(1, 2), (2, 1)}, id="an ACL, between subnets"),
        pytest.param(fault("group"), ALL, id="no rule of a group"),
        (a_more_specific_route_has_another_target, {(0, 1), (1, 0), (2, 1), (1, 2)}),
        (a_more_specific_route_has_the_right_target, set()),
        (a_prefix_list_has_the_destination_of_a_route, set()),
        (a_prefix_list_replaces_a_route, set()),
        (a_subnet_falls_back_to_the_main_table, {(0, 2), (2, 0), (1, 2), (2, 1)}),
        (a_lower_rule_allows, {(0, 2), (2, 0), (1, 2), (2, 1)}),
        (only_worker_0_is_allowed_in, {(1, 0), (1, 2), (2, 0), (2, 1)}),
        (only_the_group_itself_is_allowed_in, ALL),
    ],
)
def test_a_change_blocks_exactly_these_pairs(
    network: Network,
    ec2: EC2Client,
    lab: Lab,
    change: Change,
    blocked: set[tuple[int, int]],
) -> None:
    change(ec2, lab)

    assert arriving(network, ec2) == ALL - blocked


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (a_reply_is_denied, ("icmp", {(0, 2), (1, 2)})),
        (pings_are_denied, ("tcp", {(0, 2), (2, 0), (1, 2), (2, 1)})),
        (only_tcp_is_allowed_in, ("tcp", ALL)),
    ],
)
def test_a_rule_for_one_protocol_blocks_that_alone(
    network: Network,
    ec2: EC2Client,
    lab: Lab,
    change: Change,
    expected: tuple[str, set[tuple[int, int]]],
) -> None:
    kind, pairs = expected
    change(ec2, lab)

    assert arriving(network, ec2, kind) == pairs


def test_both_ip_families_are_supported(network: Network, ec2: EC2Client) -> None:
    lab = labs.create_lab(
        ec2,
        workers=2,
        user_data=lambda n: f"pod-cidr={labs.pod_cidr(n)},fd00:200:0:{n}::/64",
    )
    route_all(ec2, lab)
    assert arriving(network, ec2) == set()

    for number in range(2):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationIpv6CidrBlock=f"fd00:200:0:{number}::/64",
            NetworkInterfaceId=interface(ec2, lab, number),
        )
    assert arriving(network, ec2) == set()

    ec2.authorize_security_group_ingress(
        GroupId=lab.security_group_id,
        IpPermissions=[
            {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "fd00:200::/32"}]}
        ],
    )
    ec2.authorize_security_group_egress(
        GroupId=lab.security_group_id,
        IpPermissions=[{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}],
    )
    assert arriving(network, ec2) == {(0, 1), (1, 0)}


@pytest.mark.usefixtures("lab")
def test_a_pod_answers_for_every_address_of_its_cidr(
    network: Network, ec2: EC2Client
) -> None:
    network.create(read(ec2))
    probes = [
        Probe(0, f"10.200.0.{last}", 2, f"10.200.2.{255 - last}", port, source_port)
        for last in (0, 1, 128, 255)
        for port, source_port in ((0, 0), (443, 1024), (65535, 65535))
    ]

    assert network.send(probes, 1) == [True] * len(probes)
    assert network.send([Probe(0, "10.200.0.1", 2, "10.200.3.1", 443)], 0.1) == [False]


def test_packets_of_a_started_worker_arrive_at_once(
    network: Network, ec2: EC2Client, lab: Lab
) -> None:
    """While it was stopped, the kernel could not look up its neighbour."""
    probe = Probe(1, "10.200.1.1", 0, "10.200.0.1", 80)
    ec2.stop_instances(InstanceIds=[lab.workers["worker-1"]])
    network.create(read(ec2))
    assert network.send([probe], 0.1) == [False]

    ec2.start_instances(InstanceIds=[lab.workers["worker-1"]])
    network.create(read(ec2))
    assert network.send([probe], 0.1) == [True]


def test_an_answer_in_time_counts_even_if_the_poll_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late_clock() -> float:
        time.sleep(0.1)
        return float(next(clock))

    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", late_clock)
    here = SimpleNamespace(enter=lambda: None)
    probe = Probe(0, "127.0.0.1", 0, "127.0.0.1", 39147)

    assert packets.send([cast("Namespace", here)], [probe], 0.5) == [True]


def test_a_network_of_fifty_workers_takes_five_seconds_of_cpu(ec2: EC2Client) -> None:
    labs.create_lab(ec2, workers=50)
    account = read(ec2)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    with Network() as network:
        network.create(account)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(account.workers) == 50
    assert after.ru_utime + after.ru_stime < before.ru_utime + before.ru_stime + 5


def test_the_network_shares_no_code_with_the_program() -> None:
    imported = {
        name
        for path in (TOP / "sandbox" / "netns").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }

    assert "sandbox.netns.account" in imported
    assert not {name for name in imported if name.split(".")[0] in {"routes", "tests"}}
