"""Each step of a packet's way, and each way in which it fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from routes.errors import Fault, RoutesError
from routes.model import Route
from routes.packets import Question, matched
from routes.reachability import Cause, Step
from routes.snapshot import Instance, Snapshot, load, save
from routes.verify import RouteFinding, Standing, verify
from tests import builders
from tests.snapshots import (
    Change,
    all_of,
    group_rule,
    lab,
    rule,
    wanted_route,
    with_acl,
    with_group,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)

ALL = Question()
WEB = Question("tcp", 8080)
UPDATE = "pulumi up --refresh --stack dev"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What must be said of the first worker's packets to the second."""

    step: Step
    resource: str
    problem: str
    command: str
    subject: str = ""
    on_reply: bool = False


def six(snapshot: Snapshot) -> Snapshot:
    """Give every worker an IPv6 pod CIDR as well, routed and let in."""
    workers = tuple(
        replace(
            one,
            pod_cidrs=(*one.pod_cidrs, ip_network(f"fd00:200:0:{number}::/64")),
        )
        for number, one in enumerate(snapshot.workers)
    )
    wanted = tuple(
        wanted_route(one, network) for one in workers for network in one.pod_cidrs
    )
    rules = tuple(
        group_rule(group, "pods6", "fd00:200::/48") for group in range(len(workers))
    )
    changed = replace(
        snapshot,
        cluster_cidrs=(*snapshot.cluster_cidrs, ip_network("fd00:200::/48")),
        workers=workers,
        wanted=wanted,
        held={route.import_id: route.network_interface_id for route in wanted},
        security_group_rules=(*snapshot.security_group_rules, *rules),
    )
    return with_routes(
        *(
            Route(destination=route.destination, target=route.network_interface_id)
            for route in wanted
        )
    )(changed)


def in_main_table(subnet: str) -> Change:
    """Take a subnet's own association with rtb-1 away."""

    def change(snapshot: Snapshot) -> Snapshot:
        return replace(
            snapshot,
            tables=tuple(
                replace(
                    table,
                    subnet_ids=tuple(one for one in table.subnet_ids if one != subnet),
                )
                for table in snapshot.tables
            ),
        )

    return change


def prefix_list(*networks: str) -> Change:
    def change(snapshot: Snapshot) -> Snapshot:
        return replace(snapshot, prefix_lists={"pl-1": builders.networks(*networks)})

    return change


def delete(destination: str) -> str:
    option = "prefix-list-id" if destination.startswith("pl-") else "cidr-block"
    return (
        "aws ec2 delete-route --route-table-id rtb-1"
        f" --destination-{option} {destination} --region us-east-1"
    )


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


def on_instance(number: int, problem: str, action: str) -> Stop:
    return Stop(
        step=Step.INSTANCE,
        resource=f"i-{number}",
        problem=problem,
        command=f"aws ec2 {action} --instance-ids i-{number} --region us-east-1",
        subject=f"worker-{number}",
    )


def on_route(problem: str, command: str) -> Stop:
    return Stop(
        step=Step.ROUTE,
        resource="rtb-1",
        problem=problem,
        command=command,
        subject=POD_1,
    )


def on_acl(
    number: int, problem: str, subject: str, command: str, *, on_reply: bool = False
) -> Stop:
    return Stop(
        step=Step.NETWORK_ACL,
        resource=f"acl-{number}",
        problem=problem,
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


TURN = (
    "aws ec2 replace-route --route-table-id rtb-1 --destination-cidr-block"
    " 10.200.1.0/24 --network-interface-id eni-1 --region us-east-1"
)
BY_GROUP = (
    "allows pods inbound by naming a group only; EC2 documents that for private"
    " addresses, not for pods'"
)
POD_1 = "10.200.1.0/24 of worker-1"
TCP_8080 = "--protocol 6 --port-range From=8080,To=8080"
TCP_REPLY = "--protocol 6 --port-range From=1024,To=65535"


@pytest.mark.parametrize(
    ("change", "question", "stop"),
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
            id="the receiver is about to stop",
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
            with_worker(1, pod_cidrs=builders.networks("fd00:200::/64")),
            ALL,
            Stop(
                step=Step.POD_CIDR,
                resource="i-0",
                problem="has pod CIDRs of another IP family only",
                command="",
                subject="worker-0",
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
            Stop(
                step=Step.ROUTE,
                resource="rtb-1",
                problem="has no route to the pod CIDR",
                command=UPDATE,
                subject="10.200.0.0/24 of worker-0",
                on_reply=True,
            ),
            id="the route back is missing",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-2")),
            ALL,
            on_route("leads elsewhere, to eni-2", UPDATE),
            id="the route leads to another worker",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("10.200.1.0/24", "eni-2")),
                lambda snapshot: replace(snapshot, held={}),
            ),
            ALL,
            on_route(
                "leads elsewhere, to eni-2",
                TURN,
            ),
            id="the route leads elsewhere and is not the stack's",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "igw-1")),
            ALL,
            on_route("leads elsewhere, to igw-1", delete("10.200.1.0/24")),
            id="the route leads to a gateway",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "")),
            ALL,
            on_route("leads elsewhere, to nothing", delete("10.200.1.0/24")),
            id="the route leads to what EC2 does not name",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/25", "")),
            ALL,
            on_route(
                "sends 10.200.1.0/25, a part of a pod CIDR, to nothing",
                delete("10.200.1.0/25"),
            ),
            id="a more specific route leads to what EC2 does not name",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
            ALL,
            on_route(
                "holds a blackhole",
                TURN,
            ),
            id="the route is a blackhole for no reason that EC2 tells",
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
            on_route(
                "holds a blackhole: the interface is detached",
                TURN,
            ),
            id="the route is a blackhole because the interface is detached",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.128/25", "eni-2")),
            ALL,
            on_route(
                "sends 10.200.1.128/25, a part of a pod CIDR, to eni-2",
                delete("10.200.1.128/25"),
            ),
            id="a more specific route takes half of the pods",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.7/32", "eni-1", state="blackhole")),
            ALL,
            on_route(
                "sends 10.200.1.7/32, a part of a pod CIDR, to eni-1",
                delete("10.200.1.7/32"),
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
                "aws ec2 disable-vgw-route-propagation --route-table-id rtb-1"
                " --gateway-id vgw-1 --region us-east-1",
            ),
            id="a propagated route takes a part of the pods",
        ),
        pytest.param(
            with_routes(
                builders.route("10.200.1.64/26", "eni-9", origin="Advertisement")
            ),
            ALL,
            on_route("sends 10.200.1.64/26, a part of a pod CIDR, to eni-9", ""),
            id="a route server's route takes a part of the pods",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("pl-1", "tgw-1")),
                prefix_list("10.200.1.16/28", "192.168.0.0/16"),
            ),
            ALL,
            on_route("sends pl-1, a part of a pod CIDR, to tgw-1", delete("pl-1")),
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
            on_route("has no route to the pod CIDR", UPDATE),
            id="a propagated route stands where the static one is missing",
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
            Stop(
                step=Step.ROUTE,
                resource="rtb-main",
                problem="is not among routeTables and has no route to the pod CIDR",
                command="pulumi config set pod-routes:routeTables rtb-1,rtb-main"
                " --stack dev",
                subject=POD_1,
            ),
            id="the sender's subnet falls back to the main table",
        ),
        pytest.param(
            in_main_table("subnet-2"),
            ALL,
            Stop(
                step=Step.ROUTE,
                resource="rtb-main",
                problem="is not among routeTables and has no route to the pod CIDR",
                command="pulumi config set pod-routes:routeTables rtb-1,rtb-main"
                " --stack dev",
                subject="10.200.0.0/24 of worker-0",
                on_reply=True,
            ),
            id="the receiver's subnet falls back to the main table",
        ),
        pytest.param(
            all_of(
                in_main_table("subnet-1"), lambda s: replace(s, tables=s.tables[:1])
            ),
            ALL,
            Stop(
                step=Step.ROUTE,
                resource="subnet-1",
                problem="has no route table",
                command="",
            ),
            id="the snapshot knows no table of the subnet",
        ),
        pytest.param(
            with_interface(0, source_dest_check=True),
            ALL,
            Stop(
                step=Step.SOURCE_DEST_CHECK,
                resource="eni-0",
                problem="has its source/destination check on",
                command="aws ec2 modify-network-interface-attribute"
                " --network-interface-id eni-0 --no-source-dest-check"
                " --region us-east-1",
                subject="worker-0",
            ),
            id="the sender's check is on",
        ),
        pytest.param(
            with_interface(1, source_dest_check=True),
            ALL,
            Stop(
                step=Step.SOURCE_DEST_CHECK,
                resource="eni-1",
                problem="has its source/destination check on",
                command="aws ec2 modify-network-interface-attribute"
                " --network-interface-id eni-1 --no-source-dest-check"
                " --region us-east-1",
                subject="worker-1",
            ),
            id="the receiver's check is on",
        ),
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
                "aws ec2 delete-network-acl-entry --network-acl-id acl-1"
                " --egress --rule-number 1 --region us-east-1",
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
                "aws ec2 delete-network-acl-entry --network-acl-id acl-2"
                " --ingress --rule-number 1 --region us-east-1",
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
                "does not allow all traffic outbound",
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
                "does not allow all traffic inbound",
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
                problem="does not allow all traffic inbound",
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
                "does not allow icmp inbound",
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
            all_of(six, without_routes("fd00:200:0:1::/64")),
            ALL,
            Stop(
                step=Step.ROUTE,
                resource="rtb-1",
                problem="has no route to the pod CIDR",
                command=UPDATE,
                subject="fd00:200:0:1::/64 of worker-1",
            ),
            id="the IPv6 route is missing while IPv4 is well",
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
def test_the_first_step_that_stops_a_packet_is_named_with_what_mends_it(
    change: Change, question: Question, stop: Stop
) -> None:
    found = verify(change(lab()), question)

    verdict = found.reachability.between("i-0", "i-1")
    assert verdict.cause == Cause(
        step=stop.step,
        resource=stop.resource,
        problem=stop.problem,
        command=stop.command,
        subject=stop.subject,
    )
    assert verdict.on_reply == stop.on_reply
    assert not found.is_well


@pytest.mark.parametrize(
    ("change", "question", "notes"),
    [
        pytest.param(lambda snapshot: snapshot, ALL, [], id="everything is allowed"),
        pytest.param(six, ALL, [], id="both IP families"),
        pytest.param(
            with_routes(builders.route("10.200.1.128/25", "eni-1")),
            ALL,
            [],
            id="a more specific route leads to the worker all the same",
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
            [],
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
            [],
            id="a static route wins over a propagated one",
        ),
        pytest.param(
            all_of(
                with_routes(builders.route("pl-1", "tgw-1")),
                prefix_list("10.200.1.0/24"),
            ),
            ALL,
            [],
            id="a static route wins over an equal entry of a prefix list",
        ),
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

    assert verdict.cause is None
    assert verdict.notes == tuple(
        Cause(step=step, resource=resource, problem=problem, stops=False)
        for step, resource, problem in notes
    )


def denied(number: int, *, egress: bool) -> Change:
    """Put a rule that denies pods in front of an ACL's own."""

    def change(snapshot: Snapshot) -> Snapshot:
        guard = next(one for one in snapshot.acls if one.id == f"acl-{number}")
        rules = (rule(50, egress=egress, allow=False), *guard.rules)
        others = (one for one in snapshot.acls if one != guard)
        return replace(snapshot, acls=(*others, replace(guard, rules=rules)))

    return change


JOURNEY: list[tuple[Change, str, bool]] = [
    (with_worker(0, state="stopped"), "i-0", False),
    (with_worker(1, state="stopped"), "i-1", False),
    (without_routes("10.200.1.0/24"), "rtb-1", False),
    (with_interface(0, source_dest_check=True), "eni-0", False),
    (with_interface(1, source_dest_check=True), "eni-1", False),
    (denied(1, egress=True), "acl-1", False),
    (denied(2, egress=False), "acl-2", False),
    (with_group(0, egress=True), "sg-0", False),
    (with_group(1), "sg-1", False),
    (without_routes("10.200.0.0/24"), "rtb-1", True),
    (denied(2, egress=True), "acl-2", True),
    (denied(1, egress=False), "acl-1", True),
    (without_routes("fd00:200:0:1::/64"), "rtb-1", False),
]


"""What stops a packet from the first worker to the second, where, and if on reply."""


@pytest.mark.parametrize("first", range(len(JOURNEY)))
def test_of_all_steps_that_fail_the_first_on_the_journey_is_named(first: int) -> None:
    broken = all_of(six, *(change for change, _, _ in JOURNEY[first:]))(lab())

    verdict = verify(broken, ALL).reachability.between("i-0", "i-1")

    assert verdict.cause
    assert (verdict.cause.resource, verdict.on_reply) == JOURNEY[first][1:]


def test_ipv4_is_followed_to_its_end_before_ipv6() -> None:
    change = all_of(
        six,
        denied(2, egress=True),
        without_routes("fd00:200:0:1::/64", "fd00:200::/64"),
    )

    verdict = verify(change(lab()), ALL).reachability.between("i-0", "i-1")

    assert verdict.cause
    assert (verdict.cause.resource, verdict.on_reply) == ("acl-2", True)


def test_the_healthy_lab_is_well() -> None:
    found = verify(lab(), ALL)

    assert found.is_well
    assert found.notes == ()
    assert (found.reachability.reachable, sum(found.reachability.pairs)) == (6, 6)


def test_every_pair_of_workers_that_are_alike_counts() -> None:
    found = verify(lab(12, subnets=1), ALL).reachability

    assert [len(group) for group in found.groups] == [4, 4, 4]
    assert found.pairs == (12 * 11,)


def test_an_acl_is_not_asked_between_interfaces_of_one_subnet() -> None:
    change = with_acl(
        1, rule(50, egress=True, allow=False), rule(50, egress=False, allow=False)
    )

    found = verify(change(lab()), ALL).reachability

    assert found.between("i-0", "i-2").cause is None
    assert found.between("i-0", "i-1").cause is not None


def test_two_prefix_lists_with_one_entry_are_a_fault_unless_both_lead_there() -> None:
    """EC2 picks one of them by chance."""
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_routes(builders.route("pl-1", "eni-1"), builders.route("pl-2", "eni-2")),
        lambda snapshot: replace(
            snapshot,
            prefix_lists={
                "pl-1": builders.networks("10.200.1.0/24"),
                "pl-2": builders.networks("10.200.1.0/24"),
            },
        ),
    )

    assert verify(change(lab()), ALL).reachability.between("i-0", "i-1").cause


def test_another_workers_own_route_is_never_to_be_removed() -> None:
    """Two pod CIDRs overlap; what mends that is another pod CIDR, not a deletion."""
    inner = ip_network("10.200.1.128/25")
    snapshot = with_routes(builders.route(str(inner), "eni-2"))(lab())
    overlapping = wanted_route(snapshot.workers[2], inner)

    found = verify(replace(snapshot, wanted=(*snapshot.wanted, overlapping)), ALL)

    cause = found.reachability.between("i-0", "i-1").cause
    assert cause is not None
    assert cause.problem == f"sends {inner}, a part of a pod CIDR, to eni-2"
    assert cause.command == ""


@pytest.mark.parametrize(
    ("protocol", "ports", "expected"),
    [
        pytest.param(1, (-1, -1), (0, 65535), id="every type"),
        pytest.param(1, (8, -1), (2048, 2303), id="every code of one type"),
        pytest.param(58, (128, 0), (32768, 32768), id="one code of ICMPv6"),
        pytest.param(6, (80, 443), (80, 443), id="TCP ports"),
        pytest.param(47, (80, 443), (0, 65535), id="a protocol without ports"),
        pytest.param(17, None, (0, 65535), id="no ports given"),
    ],
)
def test_the_ports_of_a_rule_mean_what_its_protocol_says(
    protocol: int, ports: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    assert matched(protocol, ports, ip_network("10.0.0.0/8")).ports == expected


def test_pairs_that_fail_alike_are_counted_under_one_cause() -> None:
    found = verify(with_group(1)(lab(6)), ALL).reachability

    problems = {(cause.resource, cause.problem) for cause in found.counts()}
    assert problems == {("sg-1", "does not allow all traffic inbound")}
    assert sum(found.counts().values()) == 2 * 5
    assert found.reachable == 6 * 5 - 2 * 5


def test_a_worker_without_a_pod_cidr_is_a_fault_and_the_rest_is_verified() -> None:
    unreadable = Fault(where="worker-1 (i-1)", problem="it has no user data.")
    change = all_of(
        with_worker(1, pod_cidrs=()), lambda s: replace(s, faults=(unreadable,))
    )

    found = verify(change(lab()), ALL)

    assert unreadable in found.faults
    assert [worker.name for worker in found.reachability.workers] == [
        "worker-0",
        "worker-2",
    ]
    assert found.reachability.reachable == 2
    assert not found.is_well


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
            TURN,
            id="wrong target, and not the stack's",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "igw-1")),
            Standing.HELD,
            "",
            delete("10.200.1.0/24"),
            id="held by something else",
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
            "",
            "aws ec2 wait instance-stopped --instance-ids i-1 --region us-east-1",
            id="blackhole, the instance is about to stop",
        ),
        pytest.param(
            with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
            Standing.BLACKHOLE,
            "",
            TURN,
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
    found = finding(with_routes(route)(lab()), str(route.destination))

    assert (found.standing, found.why) == (standing, why)
    assert found.command == (
        delete("10.200.9.0/24") if standing is Standing.STALE else ""
    )
    assert (found.table_id, found.worker) == ("rtb-1", "")


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


@pytest.mark.parametrize(
    ("change", "where", "problem"),
    [
        pytest.param(
            lambda s: replace(s, held={**s.held, "rtb-1_10.200.1.0/24": "eni-7"}),
            "rtb-1 10.200.1.0/24",
            "stack dev says eni-7, EC2 says eni-1.",
            id="another target",
        ),
        pytest.param(
            without_routes("10.200.1.0/24"),
            "rtb-1 10.200.1.0/24",
            "stack dev says eni-1, EC2 says no such route.",
            id="deleted behind the stack's back",
        ),
        pytest.param(
            lambda s: replace(s, held={**s.held, "rtb-1_10.200.9.0/24": "eni-9"}),
            "rtb-1 10.200.9.0/24",
            "stack dev says eni-9, EC2 says no such route.",
            id="no longer wanted, and gone",
        ),
        pytest.param(
            lambda s: replace(s, held={**s.held, "rtb-1_10.200.1.0/24": ""}),
            "rtb-1 10.200.1.0/24",
            "stack dev says no interface, EC2 says eni-1.",
            id="made for something else than an interface",
        ),
    ],
)
def test_a_stack_that_disagrees_with_ec2_is_a_fault(
    change: Change, where: str, problem: str
) -> None:
    assert verify(change(lab()), ALL).faults == (
        Fault(
            where=where,
            problem=problem,
            remedy="Bring both to what the configuration asks for:",
            command=UPDATE,
        ),
    )


@pytest.mark.parametrize(
    ("target", "says"), [("igw-1", "igw-1"), ("", "nothing")], ids=["igw", "none"]
)
def test_a_held_route_turned_to_no_interface_has_to_go_first(
    target: str, says: str
) -> None:
    change = with_routes(builders.route("10.200.1.0/24", target))

    assert verify(change(lab()), ALL).faults == (
        Fault(
            where="rtb-1 10.200.1.0/24",
            problem=f"stack dev says eni-1, EC2 says {says}.",
            remedy="If nobody needs that route, remove it, and then:",
            command=UPDATE,
        ),
    )


def test_routes_that_the_stack_does_not_hold_can_be_taken_over() -> None:
    assert verify(replace(lab(11), held={}), ALL).faults == (
        Fault(
            where="stack dev",
            problem="routes stand that it wants and does not hold:",
            rows=(*(f"rtb-1 10.200.{n}.0/24" for n in range(10)), "and 1 more"),
            remedy="Take them over; this writes the file to import:",
            command="python -m routes import-file --stack dev",
        ),
    )


@pytest.mark.parametrize(
    ("target", "standing"),
    [("igw-1", Standing.HELD), ("eni-0", Standing.WRONG_TARGET)],
)
def test_a_route_to_something_else_is_not_offered_to_be_taken_over(
    target: str, standing: Standing
) -> None:
    change = all_of(
        with_routes(builders.route("10.200.1.0/24", target)),
        lambda s: replace(
            s, held={k: v for k, v in (s.held or {}).items() if v != "eni-1"}
        ),
    )

    found = verify(change(lab()), ALL)

    assert found.faults == ()
    assert finding(change(lab()), "10.200.1.0/24").standing is standing


def test_a_state_that_was_not_read_is_not_judged() -> None:
    assert verify(replace(lab(), held=None), ALL).is_well


def test_workers_whose_table_is_not_served_are_named() -> None:
    snapshot = in_main_table("subnet-2")(lab(22))
    kept, main = snapshot.tables
    right = replace(kept, id="rtb-0", subnet_ids=("subnet-9",))

    found = verify(replace(snapshot, tables=(right, kept, main)), ALL)

    assert found.faults == (
        Fault(
            where="rtb-main",
            problem="workers' subnets use it, but pod-routes:routeTables does not name"
            " it:",
            rows=(
                *(
                    f"worker-{n}  subnet-2"
                    for n in (1, 11, 13, 15, 17, 19, 21, 3, 5, 7)
                ),
                "and 1 more",
            ),
            remedy="Have the stack serve it as well, then update:",
            command="pulumi config set pod-routes:routeTables rtb-1,rtb-main"
            " --stack dev",
        ),
    )


def test_a_table_that_somebody_else_keeps_right_is_a_note() -> None:
    snapshot = in_main_table("subnet-2")(lab())
    kept, main = snapshot.tables
    snapshot = replace(snapshot, tables=(kept, replace(main, routes=kept.routes)))

    found = verify(snapshot, ALL)

    assert found.is_well
    assert [note.where for note in found.notes] == ["rtb-main"]


@pytest.mark.parametrize(
    ("state", "noted"),
    [
        pytest.param("running", ["subnet-9"], id="running"),
        pytest.param("stopped", [], id="stopped"),
    ],
)
def test_subnets_of_other_instances_without_the_routes_are_a_note(
    state: str, noted: list[str]
) -> None:
    other = Instance(id="i-9", name="api", state=state, subnet_id="subnet-9")
    snapshot = lab()

    found = verify(replace(snapshot, instances=(*snapshot.instances, other)), ALL)

    assert [note.where for note in found.notes] == noted
    assert found.is_well


def test_a_neighbours_own_table_is_the_one_that_counts() -> None:
    other = Instance(id="i-9", name="api", state="running", subnet_id="subnet-9")
    snapshot = lab()
    kept, main = snapshot.tables
    own = replace(kept, id="rtb-9", subnet_ids=("subnet-9",))

    found = verify(
        replace(
            snapshot,
            instances=(*snapshot.instances, other),
            tables=(kept, main, own),
        ),
        ALL,
    )

    assert found.notes == ()


def test_a_subnet_without_any_table_is_no_neighbour() -> None:
    other = Instance(id="i-9", name="api", state="running", subnet_id="subnet-9")
    snapshot = lab()

    found = verify(
        replace(
            snapshot,
            instances=(*snapshot.instances, other),
            tables=snapshot.tables[:1],
        ),
        ALL,
    )

    assert found.notes == ()


def test_a_neighbour_in_a_workers_subnet_is_not_named_beside_the_worker() -> None:
    snapshot = in_main_table("subnet-2")(lab())
    other = Instance(id="i-9", name="api", state="running", subnet_id="subnet-2")

    found = verify(replace(snapshot, instances=(*snapshot.instances, other)), ALL)

    assert [fault.where for fault in found.faults] == ["rtb-main"]
    assert found.notes == ()


def test_a_snapshot_comes_back_from_its_file(tmp_path: Path) -> None:
    change = all_of(
        six,
        with_routes(builders.route("pl-1", "vpce-1")),
        prefix_list("10.200.1.16/28"),
        with_group(1, group_rule(1, "peer", "sg-0", protocol=6, ports=(1, 2))),
        lambda s: replace(
            s, faults=(Fault(where="worker-9", problem="it is not there."),), held=None
        ),
    )
    snapshot = change(lab())

    save(snapshot, tmp_path / "snapshot.json")

    assert load(tmp_path / "snapshot.json") == snapshot
    assert (tmp_path / "snapshot.json").read_text().startswith('{\n  "stack": "dev",\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "{",
            "the file: Invalid JSON: EOF while parsing an object at line 1 column 1.",
            id="not JSON",
        ),
        pytest.param("{}", "stack: Field required.", id="not a snapshot"),
        pytest.param(
            '{"stack": "dev", "account": "1", "region": "r", "vpc": {"id": 7}}',
            "vpc.id: Input should be a valid string.",
            id="a snapshot with a number for an id",
        ),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(text)

    with pytest.raises(RoutesError) as caught:
        load(path)

    assert str(caught.value) == (
        f"{path} is not a snapshot of this version: {message}\n"
        "  Write it again: python -m routes verify --save-snapshot"
    )


def test_a_snapshot_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RoutesError, match="cannot be read: No such file"):
        load(tmp_path / "snapshot.json")
