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

from sandbox import TOP, mishaps
from sandbox import lab as labs
from sandbox.lab import Lab
from sandbox.wires import packets
from sandbox.wires import ping as pinging
from sandbox.wires.account import read
from sandbox.wires.client import Wires
from sandbox.wires.packets import Probe
from tests.sandbox.conftest import route_all

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from sandbox.wires.kernel import Namespace

Change = Callable[["EC2Client", Lab], object]
ALL = {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}
"""Workers 0 and 1 share a subnet; 2 is in another."""


@pytest.fixture
def lab(ec2: EC2Client) -> Lab:
    """Three workers in two subnets, every route in place."""
    made = labs.create_spread_lab(ec2)
    route_all(ec2, made)
    return made


def arrived(wires: Wires, ec2: EC2Client, kind: str = "ok") -> set[tuple[int, int]]:
    """Return the pairs of workers, by number, between which packets arrive."""
    account = read(ec2)
    numbers = {worker.id: number for number, worker in enumerate(account.workers)}
    found = pinging.arrivals(wires, account)
    return {(numbers[a], numbers[b]) for (a, b), how in found.items() if how == kind}


def interface(ec2: EC2Client, lab: Lab, number: int) -> str:
    return labs.interface_of(ec2, lab.workers[f"worker-{number}"])


def acl_of(ec2: EC2Client, lab: Lab) -> str:
    """Return the ACL that guards both subnets."""
    found = ec2.describe_network_acls(
        Filters=[{"Name": "vpc-id", "Values": [lab.vpc_id]}]
    )
    return found["NetworkAcls"][0]["NetworkAclId"]


def entry(
    ec2: EC2Client,
    lab: Lab,
    number: int,
    action: Literal["allow", "deny"],
    cidr: str,
    **more: Any,  # noqa: ANN401
) -> None:
    """Add an inbound rule, for all protocols unless said otherwise."""
    ec2.create_network_acl_entry(
        NetworkAclId=acl_of(ec2, lab),
        RuleNumber=number,
        RuleAction=action,
        CidrBlock=cidr,
        Egress=False,
        **({"Protocol": "-1"} | more),
    )


def a_more_specific_route_leads_elsewhere(ec2: EC2Client, lab: Lab) -> None:
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock="10.200.1.0/30",
        NetworkInterfaceId=interface(ec2, lab, 0),
    )


def a_more_specific_route_leads_right(ec2: EC2Client, lab: Lab) -> None:
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


def a_prefix_list_says_the_same_as_a_route(ec2: EC2Client, lab: Lab) -> None:
    """ "Static routes" come before "Prefix list routes" ("Route priority")."""
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationPrefixListId=prefix_list(ec2, "10.200.1.0/24"),
        GatewayId=lab.gateway_id,
    )


def a_prefix_list_leads_in_place_of_a_route(ec2: EC2Client, lab: Lab) -> None:
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
    """Stateless: the ACL does not know that it is a reply. ICMP has no ports."""
    ports = {"From": 1024, "To": 8079}, {"From": 8081, "To": 65535}
    for number, span in enumerate(ports, 10):
        entry(ec2, lab, number, "deny", "10.200.2.0/24", Protocol="6", PortRange=span)


def a_lower_rule_allows(ec2: EC2Client, lab: Lab) -> None:
    entry(ec2, lab, 20, "deny", "10.200.0.0/16")
    entry(ec2, lab, 10, "allow", "10.200.2.0/24")


def pings_are_denied(ec2: EC2Client, lab: Lab) -> None:
    entry(
        ec2,
        lab,
        10,
        "deny",
        "10.200.0.0/16",
        Protocol="1",
        IcmpTypeCode={"Type": 8, "Code": -1},
    )


def let_in(ec2: EC2Client, lab: Lab, **rule: Any) -> None:  # noqa: ANN401
    """Let pods in by this rule alone, of all protocols unless said otherwise."""
    mishaps.break_(ec2, lab, "group")
    ec2.authorize_security_group_ingress(
        GroupId=lab.security_group_id,
        IpPermissions=[{"IpProtocol": "-1", **rule}],  # type: ignore[list-item]
    )


def only_worker_0_is_let_in(ec2: EC2Client, lab: Lab) -> None:
    """Stateful: replies to worker 0 come from ranges that no rule lets in."""
    let_in(ec2, lab, IpRanges=[{"CidrIp": "10.200.0.0/24"}])


def only_the_group_itself_is_let_in(ec2: EC2Client, lab: Lab) -> None:
    """A group stands for "the private IP addresses" of its interfaces, not for pods."""
    let_in(ec2, lab, UserIdGroupPairs=[{"GroupId": lab.security_group_id}])


def only_tcp_is_let_in(ec2: EC2Client, lab: Lab) -> None:
    pods = [{"CidrIp": "10.200.0.0/16"}]
    let_in(ec2, lab, IpProtocol="tcp", FromPort=8080, ToPort=8080, IpRanges=pods)


def mishap(what: str) -> Change:
    return lambda ec2, lab: mishaps.break_(ec2, lab, what)


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        pytest.param(lambda *_: None, set(), id="nothing is broken"),
        pytest.param(mishap("route"), {(0, 1), (1, 0), (2, 1), (1, 2)}, id="no route"),
        pytest.param(mishap("worker"), {(0, 1), (1, 0), (2, 1), (1, 2)}, id="stopped"),
        pytest.param(mishap("check"), {(0, 1), (1, 0), (2, 1), (1, 2)}, id="check on"),
        pytest.param(mishap("acl"), {(1, 2), (2, 1)}, id="an ACL, between subnets"),
        pytest.param(mishap("group"), ALL, id="no group's rule"),
        (a_more_specific_route_leads_elsewhere, {(0, 1), (1, 0), (2, 1), (1, 2)}),
        (a_more_specific_route_leads_right, set()),
        (a_prefix_list_says_the_same_as_a_route, set()),
        (a_prefix_list_leads_in_place_of_a_route, set()),
        (a_subnet_falls_back_to_the_main_table, {(0, 2), (2, 0), (1, 2), (2, 1)}),
        (a_lower_rule_allows, {(0, 2), (2, 0), (1, 2), (2, 1)}),
        (only_worker_0_is_let_in, {(1, 0), (1, 2), (2, 0), (2, 1)}),
        (only_the_group_itself_is_let_in, ALL),
    ],
)
def test_a_change_stops_just_these(
    wires: Wires, ec2: EC2Client, lab: Lab, change: Change, lost: set[tuple[int, int]]
) -> None:
    change(ec2, lab)

    assert arrived(wires, ec2) == ALL - lost


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (a_reply_is_denied, ("icmp", {(0, 2), (1, 2)})),
        (pings_are_denied, ("tcp", {(0, 2), (2, 0), (1, 2), (2, 1)})),
        (only_tcp_is_let_in, ("tcp", ALL)),
    ],
)
def test_a_rule_for_one_protocol_stops_just_that(
    wires: Wires,
    ec2: EC2Client,
    lab: Lab,
    change: Change,
    expected: tuple[str, set[tuple[int, int]]],
) -> None:
    kind, pairs = expected
    change(ec2, lab)

    assert arrived(wires, ec2, kind) == pairs


def test_both_ip_families_are_laid(wires: Wires, ec2: EC2Client) -> None:
    lab = labs.create_lab(
        ec2,
        workers=2,
        user_data=lambda n: f"pod-cidr={labs.pod_cidr(n)},fd00:200:0:{n}::/64",
    )
    route_all(ec2, lab)
    assert arrived(wires, ec2) == set()

    for number in range(2):
        ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationIpv6CidrBlock=f"fd00:200:0:{number}::/64",
            NetworkInterfaceId=interface(ec2, lab, number),
        )
    assert arrived(wires, ec2) == set()

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
    assert arrived(wires, ec2) == {(0, 1), (1, 0)}


@pytest.mark.usefixtures("lab")
def test_a_pod_answers_for_every_address_of_its_cidr(
    wires: Wires, ec2: EC2Client
) -> None:
    wires.lay(read(ec2))
    probes = [
        Probe(0, f"10.200.0.{last}", 2, f"10.200.2.{255 - last}", port, source_port)
        for last in (0, 1, 128, 255)
        for port, source_port in ((0, 0), (443, 1024), (65535, 65535))
    ]

    assert wires.send(probes, 1) == [True] * len(probes)
    assert wires.send([Probe(0, "10.200.0.1", 2, "10.200.3.1", 443)], 0.1) == [False]


def test_packets_of_a_started_worker_do_not_wait_for_a_second(
    wires: Wires, ec2: EC2Client, lab: Lab
) -> None:
    """While it was stopped its neighbour could not be asked for."""
    probe = Probe(1, "10.200.1.1", 0, "10.200.0.1", 80)
    ec2.stop_instances(InstanceIds=[lab.workers["worker-1"]])
    wires.lay(read(ec2))
    assert wires.send([probe], 0.1) == [False]

    ec2.start_instances(InstanceIds=[lab.workers["worker-1"]])
    wires.lay(read(ec2))
    assert wires.send([probe], 0.1) == [True]


def test_an_answer_that_came_in_time_counts_however_late_one_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late() -> float:
        time.sleep(0.1)
        return float(next(clock))

    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", late)
    here = SimpleNamespace(enter=lambda: None)
    probe = Probe(0, "127.0.0.1", 0, "127.0.0.1", 39147)

    assert packets.send([cast("Namespace", here)], [probe], 0.5) == [True]


def test_fifty_workers_are_laid_in_five_seconds_of_cpu(ec2: EC2Client) -> None:
    labs.create_lab(ec2, workers=50)
    account = read(ec2)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    with Wires() as wires:
        wires.lay(account)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(account.workers) == 50
    assert after.ru_utime + after.ru_stime < before.ru_utime + before.ru_stime + 5


def test_the_wires_know_nothing_of_the_program() -> None:
    imported = {
        name
        for path in (TOP / "sandbox" / "wires").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }

    assert "sandbox.wires.account" in imported
    assert not {name for name in imported if name.split(".")[0] in {"routes", "tests"}}
