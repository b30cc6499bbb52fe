"""What network ACLs and security groups stop, and what mends it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from routes.verify.journey import Cause, Effect, Step
from routes.verify.packets import Question
from routes.verify.reachability import Verdict
from routes.verify.verification import verify
from tests.snapshots import (
    ALL,
    WEB,
    Change,
    all_of,
    group_rule,
    lab,
    prefix_list,
    rule,
    six,
    with_acl,
    with_group,
    with_interface,
)
from tests.unit.verify.stops import Stop, assert_stopped

BY_GROUP = (
    "allows pods inbound by naming a group only; EC2 documents that for private"
    " addresses, not for pods'"
)

TCP_8080 = "--protocol 6 --port-range From=8080,To=8080"

TCP_REPLY = "--protocol 6 --port-range From=1024,To=65535"


def allow(way: str, number: int, acl: int, what: str = "--protocol -1") -> str:
    return (
        f"aws ec2 create-network-acl-entry --network-acl-id acl-{acl} --{way}"
        f" --rule-number {number} {what} --rule-action allow"
        " --cidr-block 10.200.0.0/16 --region us-east-1"
    )


def authorize(way: str, group: int, what: str = '"IpProtocol":"-1"') -> str:
    return (
        f"aws ec2 authorize-security-group-{way} --group-id sg-{group}"
        f' --ip-permissions \'[{{{what},"IpRanges":'
        '[{"CidrIp":"10.200.0.0/16"}]}]\' --region us-east-1'
    )


NO_NUMBER = (
    "No rule number is free before it. Whoever owns the network ACL has to renumber or"
    " delete that rule."
)


def on_acl(  # noqa: PLR0913 - one for each attribute of a stop
    number: int,
    problem: str,
    subject: str,
    command: str,
    *,
    remedy: str = "",
    on_reply: bool = False,
) -> Stop:
    return Stop(
        step=Step.NETWORK_ACL,
        resource=f"acl-{number}",
        problem=problem,
        remedy=remedy,
        command=command,
        subject=subject,
        on_reply=on_reply,
    )


def on_group(number: int, problem: str, subject: str, command: str) -> Stop:
    return Stop(
        step=Step.SECURITY_GROUP,
        resource=f"sg-{number}",
        problem=problem,
        command=command,
        subject=subject,
    )


@pytest.mark.parametrize(
    ("change", "question", "stop"),
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
            id="the sender's ACL denies on the way out",
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
            id="the receiver's ACL denies on the way in",
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
            id="the receiver's ACL denies the reply on its way out",
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
            id="the sender's ACL denies the reply on its way in",
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
                remedy=NO_NUMBER,
            ),
            id="nothing can be put in front of the rule that denies",
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
            id="one rule can be put in front of the rule that denies",
        ),
        pytest.param(
            with_acl(2, rule(1, egress=False, allow=False)),
            ALL,
            on_acl(
                2,
                "denies all traffic inbound, by rule 1",
                "from 10.200.0.0/24",
                "",
                remedy=NO_NUMBER,
            ),
            id="nothing can be put in front of it on the way in",
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
            id="an ACL denies the protocol that is asked for",
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
            id="an ACL lets the port in, but not the replies",
        ),
        pytest.param(
            with_acl(1, rule(50, egress=True, allow=False, protocol=1)),
            Question("icmp"),
            on_acl(
                1,
                "denies icmp outbound, by rule 50",
                "to 10.200.1.0/24",
                allow("egress", 49, 1, "--protocol 1 --icmp-type-code Type=-1,Code=-1"),
            ),
            id="an ACL denies ICMP, which is asked for",
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
            id="the sender's group lets nothing out",
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
            id="the receiver's group lets nothing in",
        ),
        pytest.param(
            all_of(
                with_interface(1, security_group_ids=("sg-1", "sg-2")),
                with_group(1),
                with_group(2),
            ),
            ALL,
            Stop(
                step=Step.SECURITY_GROUP,
                resource="sg-1, sg-2",
                problem="has no inbound rule",
                command=authorize("ingress", 1),
                subject="from 10.200.0.0/24",
            ),
            id="none of the receiver's groups lets anything in",
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
            id="the receiver's group lets in nodes, not pods",
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
            id="the receiver's group lets in half of the pods",
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
            id="the receiver's group leaves one port out",
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
            id="the receiver's group forgets ICMP",
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
            id="the receiver's group lets in another port than is asked for",
        ),
        pytest.param(
            with_group(1),
            Question("icmp"),
            on_group(
                1,
                "has no inbound rule",
                "from 10.200.0.0/24",
                authorize("ingress", 1, '"IpProtocol":"1","FromPort":-1,"ToPort":-1'),
            ),
            id="the receiver's group lets in no ping, where one is asked for",
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
            all_of(six, with_group(1, group_rule(1, "pods", "10.200.0.0/16"))),
            ALL,
            on_group(
                1,
                "does not allow all traffic inbound",
                "from fd00:200::/64",
                "aws ec2 authorize-security-group-ingress --group-id sg-1"
                ' --ip-permissions \'[{"IpProtocol":"-1","Ipv6Ranges":'
                '[{"CidrIpv6":"fd00:200::/48"}]}]\' --region us-east-1',
            ),
            id="the receiver's group lets IPv4 pods in, not IPv6 pods",
        ),
        pytest.param(
            all_of(
                six,
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
def test_what_a_filter_stops_is_named_with_the_rule_that_mends_it(
    change: Change, question: Question, stop: Stop
) -> None:
    assert_stopped(change(lab()), question, stop)


@pytest.mark.parametrize(
    ("change", "question", "notes"),
    [
        pytest.param(
            all_of(
                with_group(1, group_rule(1, "pl", "pl-1")), prefix_list("10.200.0.0/16")
            ),
            ALL,
            [],
            id="a prefix list lets the pods in",
        ),
        pytest.param(
            with_group(
                1, group_rule(1, "x", "10.200.0.0/16", protocol=6, ports=(8080, 8080))
            ),
            WEB,
            [],
            id="the port that is asked for is allowed",
        ),
        pytest.param(
            with_acl(
                1,
                rule(40, egress=False, allow=True, protocol=6, ports=(1024, 65535)),
                rule(50, egress=False, allow=False),
            ),
            WEB,
            [],
            id="an ACL lets the replies in",
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
                (Step.SECURITY_GROUP, "sgr-1-peer", BY_GROUP),
            ],
            id="a group lets its peers in by security group only",
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
                    Step.SECURITY_GROUP,
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
                    Step.SECURITY_GROUP,
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
                    Step.NETWORK_ACL,
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
            id="an ACL denies what is not asked for",
        ),
        pytest.param(
            with_acl(
                2,
                rule(49, egress=True, allow=True, protocol=6, ports=(1024, 65535)),
                rule(50, egress=True, allow=False),
                rule(49, egress=False, allow=True, protocol=6, ports=(443, 443)),
                rule(50, egress=False, allow=False),
            ),
            Question("tcp", 443),
            [],
            id="the receiver's ACL lets in the port, and out the replies",
        ),
        pytest.param(
            lambda snapshot: replace(snapshot, acls=()),
            ALL,
            [],
            id="the snapshot knows no ACL of the subnets",
        ),
    ],
)
def test_packets_that_arrive_say_on_what_that_rests(
    change: Change, question: Question, notes: list[tuple[Step, str, str]]
) -> None:
    verdict = verify(change(lab()), question).reachability.between("i-0", "i-1")

    assert verdict == Verdict(
        notes=tuple(
            Cause(step=step, resource=resource, problem=problem, effect=Effect.NOTES)
            for step, resource, problem in notes
        )
    )


def test_an_acl_is_not_asked_between_interfaces_of_one_subnet() -> None:
    change = with_acl(
        1, rule(50, egress=True, allow=False), rule(50, egress=False, allow=False)
    )

    found = verify(change(lab()), ALL).reachability

    assert found.between("i-0", "i-2").cause is None
    assert found.between("i-0", "i-1").cause is not None
