"""Packets that network ACLs and security groups block, and the rules that fix it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from routes.errors import Finding, Severity
from routes.verify.header_space import Traffic
from routes.verify.reachability import PairResult
from routes.verify.stages import CheckKind
from routes.verify.verification import verify
from tests.snapshots import (
    ALL,
    WEB,
    Change,
    all_of,
    dual_stack,
    group_rule,
    lab,
    prefix_list,
    rule,
    with_acl,
    with_group,
    with_interface,
)
from tests.unit.verify.blockers import Blocker, assert_blocked

BY_GROUP = (
    "allows pods inbound by naming a group only; EC2 documents that for private"
    " addresses, not for pods'"
)

TCP_8080 = "--protocol 6 --port-range From=8080,To=8080"

TCP_REPLY = "--protocol 6 --port-range From=1024,To=65535"


def allow(direction: str, number: int, acl: int, packets: str = "--protocol -1") -> str:
    return (
        f"aws ec2 create-network-acl-entry --network-acl-id acl-{acl} --{direction}"
        f" --rule-number {number} {packets} --rule-action allow"
        " --cidr-block 10.200.0.0/16 --region us-east-1"
    )


def authorize(direction: str, group: int, packets: str = '"IpProtocol":"-1"') -> str:
    return (
        f"aws ec2 authorize-security-group-{direction} --group-id sg-{group}"
        f' --ip-permissions \'[{{{packets},"IpRanges":'
        '[{"CidrIp":"10.200.0.0/16"}]}]\' --region us-east-1'
    )


NO_NUMBER = (
    "No rule number is free before it. The network ACL's owner has to renumber or"
    " delete that rule."
)


def on_acl(  # noqa: PLR0913 - one for each attribute of a blocker
    number: int,
    problem: str,
    affected: str,
    command: str,
    *,
    hint: str = "",
    on_reply: bool = False,
) -> Blocker:
    return Blocker(
        check=CheckKind.NETWORK_ACL,
        resource=f"acl-{number}",
        problem=problem,
        hint=hint,
        command=command,
        affected=affected,
        on_reply=on_reply,
    )


def on_group(number: int, problem: str, affected: str, command: str) -> Blocker:
    return Blocker(
        check=CheckKind.SECURITY_GROUP,
        resource=f"sg-{number}",
        problem=problem,
        command=command,
        affected=affected,
    )


@pytest.mark.parametrize(
    ("change", "traffic", "blocker"),
    [
        pytest.param(
            with_acl(1, rule(50, egress=True, allow=False)),
            ALL,
            on_acl(
                1,
                "denies all traffic outbound, by rule 50",
                "to 10.200.1.0/24",
                allow("egress", 49, 1),
            ),
            id="the sender's ACL denies outbound packets",
        ),
        pytest.param(
            with_acl(2, rule(50, egress=False, allow=False)),
            ALL,
            on_acl(
                2,
                "denies all traffic inbound, by rule 50",
                "from 10.200.0.0/24",
                allow("ingress", 49, 2),
            ),
            id="the receiver's ACL denies inbound packets",
        ),
        pytest.param(
            with_acl(2, rule(50, egress=True, allow=False)),
            ALL,
            on_acl(
                2,
                "denies all traffic outbound, by rule 50",
                "to 10.200.0.0/24",
                allow("egress", 49, 2),
                on_reply=True,
            ),
            id="the receiver's ACL denies the outbound reply",
        ),
        pytest.param(
            with_acl(1, rule(50, egress=False, allow=False)),
            ALL,
            on_acl(
                1,
                "denies all traffic inbound, by rule 50",
                "from 10.200.1.0/24",
                allow("ingress", 49, 1),
                on_reply=True,
            ),
            id="the sender's ACL denies the inbound reply",
        ),
        pytest.param(
            with_acl(1, alone=True),
            ALL,
            on_acl(
                1,
                "denies all traffic outbound, by rule *",
                "to 10.200.1.0/24",
                allow("egress", 32766, 1),
            ),
            id="an ACL without rules denies everything",
        ),
        pytest.param(
            with_acl(1, rule(32768, egress=True, allow=False), alone=True),
            ALL,
            on_acl(
                1,
                "denies all traffic outbound, by rule *",
                "to 10.200.1.0/24",
                allow("egress", 32767, 1),
            ),
            id="the last rule of an ACL with IPv6",
        ),
        pytest.param(
            with_acl(1, rule(1, egress=True, allow=False)),
            ALL,
            on_acl(
                1,
                "denies all traffic outbound, by rule 1",
                "to 10.200.1.0/24",
                "",
                hint=NO_NUMBER,
            ),
            id="no number is free before the rule that denies",
        ),
        pytest.param(
            with_acl(1, rule(2, egress=True, allow=False)),
            ALL,
            on_acl(
                1,
                "denies all traffic outbound, by rule 2",
                "to 10.200.1.0/24",
                allow("egress", 1, 1),
            ),
            id="one number is free before the rule that denies",
        ),
        pytest.param(
            with_acl(2, rule(1, egress=False, allow=False)),
            ALL,
            on_acl(
                2,
                "denies all traffic inbound, by rule 1",
                "from 10.200.0.0/24",
                "",
                hint=NO_NUMBER,
            ),
            id="no number is free before an inbound rule that denies",
        ),
        pytest.param(
            with_acl(
                1,
                rule(50, egress=True, allow=False),
                rule(49, egress=True, allow=True, protocol=17),
            ),
            ALL,
            on_acl(
                1,
                "denies tcp outbound, by rule 50",
                "to 10.200.1.0/24",
                allow("egress", 48, 1),
            ),
            id="an earlier rule allows only another protocol",
        ),
        pytest.param(
            with_acl(
                1,
                rule(
                    50,
                    egress=True,
                    allow=False,
                    network=ip_network("10.200.1.32/27"),
                    protocol=6,
                    ports=(8080, 8090),
                ),
            ),
            ALL,
            on_acl(
                1,
                "denies tcp 8080-8090 outbound, by rule 50",
                "to 10.200.1.32/27",
                allow("egress", 49, 1),
            ),
            id="an ACL denies a few ports to a few of the pods",
        ),
        pytest.param(
            with_acl(
                1,
                rule(50, egress=True, allow=False, protocol=1, ports=(8, -1)),
            ),
            ALL,
            on_acl(
                1,
                "denies icmp type 8 code 0 outbound, by rule 50",
                "to 10.200.1.0/24",
                allow("egress", 49, 1),
            ),
            id="an ACL denies echo requests",
        ),
        pytest.param(
            with_acl(1, rule(50, egress=True, allow=False, protocol=6)),
            WEB,
            on_acl(
                1,
                "denies tcp 8080 outbound, by rule 50",
                "to 10.200.1.0/24",
                allow("egress", 49, 1, TCP_8080),
            ),
            id="an ACL denies the protocol of the traffic",
        ),
        pytest.param(
            with_acl(
                1,
                rule(40, egress=False, allow=True, protocol=6, ports=(8080, 8080)),
                rule(50, egress=False, allow=False),
            ),
            WEB,
            on_acl(
                1,
                "denies tcp 1024-8079 inbound, by rule 50",
                "from 10.200.1.0/24",
                allow("ingress", 49, 1, TCP_REPLY),
                on_reply=True,
            ),
            id="an ACL allows the port, but not the replies",
        ),
        pytest.param(
            with_acl(1, rule(50, egress=True, allow=False, protocol=1)),
            Traffic("icmp"),
            on_acl(
                1,
                "denies icmp outbound, by rule 50",
                "to 10.200.1.0/24",
                allow("egress", 49, 1, "--protocol 1 --icmp-type-code Type=-1,Code=-1"),
            ),
            id="an ACL denies ICMP, which is the traffic",
        ),
        pytest.param(
            with_group(0, egress=True),
            ALL,
            on_group(
                0,
                "has no outbound rule",
                "to 10.200.1.0/24",
                authorize("egress", 0),
            ),
            id="the sender's group allows nothing outbound",
        ),
        pytest.param(
            with_group(1),
            ALL,
            on_group(
                1,
                "has no inbound rule",
                "from 10.200.0.0/24",
                authorize("ingress", 1),
            ),
            id="the receiver's group allows nothing inbound",
        ),
        pytest.param(
            all_of(
                with_interface(1, security_group_ids=("sg-1", "sg-2")),
                with_group(1),
                with_group(2),
            ),
            ALL,
            Blocker(
                check=CheckKind.SECURITY_GROUP,
                resource="sg-1, sg-2",
                problem="has no inbound rule",
                command=authorize("ingress", 1),
                affected="from 10.200.0.0/24",
            ),
            id="none of the receiver's groups allows anything inbound",
        ),
        pytest.param(
            with_group(1, group_rule(1, "vpc", "10.0.0.0/16")),
            ALL,
            on_group(
                1,
                "does not allow all traffic inbound",
                "from 10.200.0.0/24",
                authorize("ingress", 1),
            ),
            id="the receiver's group allows nodes, not pods",
        ),
        pytest.param(
            with_group(1, group_rule(1, "half", "10.200.0.0/25")),
            ALL,
            on_group(
                1,
                "does not allow all traffic inbound",
                "from 10.200.0.128/25",
                authorize("ingress", 1),
            ),
            id="the receiver's group allows half of the pods",
        ),
        pytest.param(
            with_group(
                1,
                group_rule(1, "low", "10.200.0.0/16", protocol=6, ports=(0, 8079)),
                group_rule(1, "high", "10.200.0.0/16", protocol=6, ports=(8081, 65535)),
                group_rule(1, "udp", "10.200.0.0/16", protocol=17),
            ),
            ALL,
            on_group(
                1,
                "does not allow tcp 8080 inbound",
                "from 10.200.0.0/24",
                authorize("ingress", 1),
            ),
            id="the receiver's group misses one port",
        ),
        pytest.param(
            with_group(
                1,
                group_rule(1, "tcp", "10.200.0.0/16", protocol=6),
                group_rule(1, "udp", "10.200.0.0/16", protocol=17),
            ),
            ALL,
            on_group(
                1,
                "does not allow icmp inbound",
                "from 10.200.0.0/24",
                authorize("ingress", 1),
            ),
            id="the receiver's group misses ICMP",
        ),
        pytest.param(
            with_group(
                1, group_rule(1, "x", "10.200.0.0/16", protocol=6, ports=(80, 80))
            ),
            WEB,
            on_group(
                1,
                "does not allow tcp 8080 inbound",
                "from 10.200.0.0/24",
                authorize(
                    "ingress", 1, '"IpProtocol":"6","FromPort":8080,"ToPort":8080'
                ),
            ),
            id="the receiver's group allows another port than the traffic's",
        ),
        pytest.param(
            with_group(1),
            Traffic("icmp"),
            on_group(
                1,
                "has no inbound rule",
                "from 10.200.0.0/24",
                authorize("ingress", 1, '"IpProtocol":"1","FromPort":-1,"ToPort":-1'),
            ),
            id="the receiver's group allows no ping, which is the traffic",
        ),
        pytest.param(
            all_of(
                with_group(1, group_rule(1, "pl", "pl-1")), prefix_list("10.9.0.0/16")
            ),
            ALL,
            on_group(
                1,
                "does not allow all traffic inbound",
                "from 10.200.0.0/24",
                authorize("ingress", 1),
            ),
            id="the receiver's group names a prefix list without the pods",
        ),
        pytest.param(
            with_group(1, group_rule(1, "peer", "sg-7")),
            ALL,
            on_group(
                1,
                "does not allow all traffic inbound",
                "from 10.200.0.0/24",
                authorize("ingress", 1),
            ),
            id="the receiver's group names a group that the sender is not in",
        ),
        pytest.param(
            with_group(1, group_rule(1, "peer", "sg-0", protocol=6)),
            ALL,
            on_group(
                1,
                "does not allow udp inbound",
                "from 10.200.0.0/24",
                authorize("ingress", 1),
            ),
            id="the receiver's group names the sender's for TCP only",
        ),
        pytest.param(
            all_of(dual_stack, with_group(1, group_rule(1, "pods", "10.200.0.0/16"))),
            ALL,
            on_group(
                1,
                "does not allow all traffic inbound",
                "from fd00:200::/64",
                "aws ec2 authorize-security-group-ingress --group-id sg-1"
                ' --ip-permissions \'[{"IpProtocol":"-1","Ipv6Ranges":'
                '[{"CidrIpv6":"fd00:200::/48"}]}]\' --region us-east-1',
            ),
            id="the receiver's group allows IPv4 pods, not IPv6 pods",
        ),
        pytest.param(
            all_of(
                dual_stack,
                with_acl(
                    1,
                    rule(
                        50,
                        egress=True,
                        allow=False,
                        network=ip_network("fd00:200::/48"),
                        protocol=58,
                    ),
                ),
            ),
            ALL,
            on_acl(
                1,
                "denies icmp outbound, by rule 50",
                "to fd00:200:0:1::/64",
                "aws ec2 create-network-acl-entry --network-acl-id acl-1"
                " --egress --rule-number 49 --protocol -1 --rule-action allow"
                " --ipv6-cidr-block fd00:200::/48 --region us-east-1",
            ),
            id="an ACL denies ICMPv6",
        ),
    ],
)
def test_denied_packets_are_reported_with_the_rule_that_fixes_it(
    change: Change, traffic: Traffic, blocker: Blocker
) -> None:
    assert_blocked(change(lab()), traffic, blocker)


@pytest.mark.parametrize(
    ("change", "traffic", "notes"),
    [
        pytest.param(
            all_of(
                with_group(1, group_rule(1, "pl", "pl-1")), prefix_list("10.200.0.0/16")
            ),
            ALL,
            [],
            id="a prefix list allows the pods",
        ),
        pytest.param(
            with_group(
                1, group_rule(1, "x", "10.200.0.0/16", protocol=6, ports=(8080, 8080))
            ),
            WEB,
            [],
            id="the traffic's port is allowed",
        ),
        pytest.param(
            with_acl(
                1,
                rule(40, egress=False, allow=True, protocol=6, ports=(1024, 65535)),
                rule(50, egress=False, allow=False),
            ),
            WEB,
            [],
            id="an ACL allows the replies",
        ),
        pytest.param(
            with_acl(
                1,
                rule(40, egress=True, allow=True),
                rule(50, egress=True, allow=False),
            ),
            ALL,
            [],
            id="an ACL allows before it denies",
        ),
        pytest.param(
            with_group(1, group_rule(1, "peer", "sg-0")),
            ALL,
            [
                (CheckKind.SECURITY_GROUP, "sgr-1-peer", BY_GROUP),
            ],
            id="a group allows its peers by security group only",
        ),
        pytest.param(
            with_group(
                1,
                group_rule(1, "tcp", "10.200.0.0/16", protocol=6),
                group_rule(1, "udp", "10.200.0.0/16", protocol=17),
                group_rule(1, "icmp", "10.200.0.0/16", protocol=1, ports=(-1, -1)),
            ),
            ALL,
            [
                (
                    CheckKind.SECURITY_GROUP,
                    "sg-1",
                    "allows tcp, udp and icmp inbound, not every protocol",
                )
            ],
            id="a group allows the three protocols one by one",
        ),
        pytest.param(
            all_of(
                with_interface(1, security_group_ids=("sg-1", "sg-2")),
                with_group(1, group_rule(1, "tcp", "10.200.0.0/16", protocol=6)),
                with_group(
                    2,
                    group_rule(2, "udp", "10.200.0.0/16", protocol=17),
                    group_rule(2, "icmp", "10.200.0.0/16", protocol=1),
                ),
            ),
            ALL,
            [
                (
                    CheckKind.SECURITY_GROUP,
                    "sg-1, sg-2",
                    "allows tcp, udp and icmp inbound, not every protocol",
                )
            ],
            id="two groups allow the three protocols together",
        ),
        pytest.param(
            with_acl(1, rule(50, egress=True, allow=False, protocol=47)),
            ALL,
            [
                (
                    CheckKind.NETWORK_ACL,
                    "acl-1",
                    "passes tcp, udp and icmp outbound, not every protocol",
                )
            ],
            id="an ACL denies GRE",
        ),
        pytest.param(
            with_acl(1, rule(50, egress=True, allow=False, protocol=17)),
            WEB,
            [],
            id="an ACL denies other traffic",
        ),
        pytest.param(
            with_acl(
                2,
                rule(49, egress=True, allow=True, protocol=6, ports=(1024, 65535)),
                rule(50, egress=True, allow=False),
                rule(49, egress=False, allow=True, protocol=6, ports=(443, 443)),
                rule(50, egress=False, allow=False),
            ),
            Traffic("tcp", 443),
            [],
            id="the receiver's ACL allows the port and the replies",
        ),
        pytest.param(
            lambda snapshot: replace(snapshot, acls=()),
            ALL,
            [],
            id="the snapshot has no ACL of the subnets",
        ),
    ],
)
def test_a_reachable_pair_has_its_assumptions_as_notes(
    change: Change, traffic: Traffic, notes: list[tuple[CheckKind, str, str]]
) -> None:
    result = verify(change(lab()), traffic).reachability.between("i-0", "i-1")

    assert result == PairResult(
        notes=tuple(
            Finding(
                check=check, resource=resource, problem=problem, severity=Severity.INFO
            )
            for check, resource, problem in notes
        )
    )


def test_acls_are_not_evaluated_between_interfaces_of_one_subnet() -> None:
    change = with_acl(
        1, rule(50, egress=True, allow=False), rule(50, egress=False, allow=False)
    )

    reachability = verify(change(lab()), ALL).reachability

    assert reachability.between("i-0", "i-2").cause is None
    assert reachability.between("i-0", "i-1").cause is not None
