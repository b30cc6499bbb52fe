"""The checks of network ACLs and security groups, and the rules that they suggest."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from operator import itemgetter

from routes.errors import Finding, Severity
from routes.model import NetworkAcl, SecurityGroupRule
from routes.networks import Network, enclosing, in_address_order
from routes.verify import fixes
from routes.verify.filters import (
    LAST_RULE,
    DeniedPackets,
    filter_by_acl,
    filter_by_groups,
)
from routes.verify.fixes import Fix
from routes.verify.header_space import HeaderSpace, Traffic, span
from routes.verify.results import CheckFindings, denied, note, unknown
from routes.verify.snapshot import Snapshot
from routes.verify.stages import CheckKind


class FilterChecks:
    """The filters of one snapshot, for some traffic."""

    def __init__(self, snapshot: Snapshot, traffic: Traffic) -> None:
        self._snapshot = snapshot
        self._traffic = traffic
        self._rules: dict[tuple[str, bool], list[SecurityGroupRule]] = {}
        for rule in sorted(snapshot.security_group_rules, key=lambda rule: rule.id):
            self._rules.setdefault((rule.group_id, rule.egress), []).append(rule)
        self._free_numbers = cache(self._numbered)

    def acl(
        self, subnet_id: str, network: Network, *, egress: bool, reply: bool
    ) -> CheckFindings:
        """Check the network ACL of a subnet that packets enter or leave.

        It is stateless, so it filters replies too (VPC User Guide, "Network ACL
        basics").
        """
        if results := denied(
            self._snapshot, "DescribeNetworkAcls", CheckKind.NETWORK_ACL
        ):
            return results
        acl = self._snapshot.acl_of(subnet_id)
        packets_of = self._traffic.reply if reply else self._traffic.forward
        packets = packets_of(network)
        first_denied = filter_by_acl(acl, packets, egress=egress) if acl else None
        if not acl or not first_denied:
            return []
        direction = "outbound" if egress else "inbound"
        if not first_denied.is_usual:
            problem = f"passes tcp, udp and icmp {direction}, not every protocol"
            return [(note(CheckKind.NETWORK_ACL, acl.id, problem), "")]
        rule = "*" if first_denied.rule >= LAST_RULE else str(first_denied.rule)
        fix = self._allow_before(acl, first_denied.rule, packets, egress=egress)
        finding = Finding(
            check=CheckKind.NETWORK_ACL,
            resource=acl.id,
            problem=f"denies {first_denied.packets.kind} {direction}, by rule {rule}",
            hint=fix.hint,
            command=fix.command,
        )
        return [(finding, _affected(first_denied, egress=egress))]

    def _allow_before(
        self, acl: NetworkAcl, rule: int, packets: HeaderSpace, *, egress: bool
    ) -> Fix:
        allowed = self._of_cluster(packets)
        number = self._free_numbers(acl, egress=egress).get((rule, allowed))
        if number is None:
            return Fix(
                "No rule number is free before it. The network ACL's owner has to"
                " renumber or delete that rule."
            )
        region = self._snapshot.region
        command = fixes.allow_in_acl(
            acl.id, number, allowed, egress=egress, region=region
        )
        return Fix(command=command)

    def _numbered(
        self, acl: NetworkAcl, *, egress: bool
    ) -> dict[tuple[int, HeaderSpace], int]:
        """Return a free number before a denying rule for each rule to be suggested.

        No two have the same number, so that all commands of one report work.
        """
        snapshot = self._snapshot
        networks = {
            network
            for end in (*snapshot.workers, *snapshot.sources)
            for network in end.pod_cidrs
        }
        suggested = dict.fromkeys(
            (first_denied.rule, self._of_cluster(packets))
            for packets_of in (self._traffic.forward, self._traffic.reply)
            for packets in map(packets_of, sorted(networks, key=in_address_order))
            if (first_denied := filter_by_acl(acl, packets, egress=egress))
            and first_denied.is_usual
        )
        taken = {each.number for each in acl.rules if each.egress == egress}
        numbers: dict[tuple[int, HeaderSpace], int] = {}
        for rule, packets in sorted(suggested, key=itemgetter(0)):
            free = next((n for n in range(rule - 1, 0, -1) if n not in taken), None)
            if free is not None:
                numbers[rule, packets] = free
                taken.add(free)
        return numbers

    def group(
        self,
        groups: tuple[str, ...],
        network: Network,
        far_groups: tuple[str, ...],
        *,
        egress: bool,
    ) -> CheckFindings:
        """Check the security groups of an interface; they are stateful.

        See VPC User Guide, "Security group rules" and "Security group referencing".
        """
        if results := denied(
            self._snapshot, "DescribeSecurityGroupRules", CheckKind.SECURITY_GROUP
        ):
            return results
        rules = [
            rule for group in groups for rule in self._rules.get((group, egress), [])
        ]
        packets = self._traffic.forward(network)
        named = {rule.peer for rule in rules if isinstance(rule.peer, str)}
        members = far_groups or {each for each in named if each.startswith("sg-")}
        lists = self._snapshot.prefix_lists
        first_denied, by_group = filter_by_groups(rules, packets, members, lists)
        if first_denied and first_denied.is_usual:
            unread = self._snapshot.unread_prefix_lists(named)
            at_best = {**lists, **dict.fromkeys(unread, (network,))}
            best, _ = filter_by_groups(rules, packets, members, at_best)
            if unread and not (best and best.is_usual):
                problem = "could not be read"
                return [
                    (unknown(CheckKind.SECURITY_GROUP, each, problem), "")
                    for each in unread
                ]
            return self._not_allowed(
                groups, packets, first_denied, rules, egress=egress
            )
        direction = "outbound" if egress else "inbound"
        finding = note(
            CheckKind.SECURITY_GROUP,
            ", ".join(groups),
            f"allows tcp, udp and icmp {direction}, not every protocol",
        )
        if by_group and not far_groups:
            problem = f"allows {direction} by naming a group whose members are unknown"
            finding = replace(
                finding, resource=by_group, problem=problem, severity=Severity.UNKNOWN
            )
        elif by_group and not enclosing(self._snapshot.vpc.cidrs, network):
            problem = (
                f"allows pods {direction} by naming a group only; EC2 documents that"
                " for private addresses, not for pods'"
            )
            finding = replace(finding, resource=by_group, problem=problem)
        elif not first_denied:
            return []
        return [(finding, "")]

    def _not_allowed(
        self,
        groups: tuple[str, ...],
        packets: HeaderSpace,
        first_denied: DeniedPackets,
        rules: list[SecurityGroupRule],
        *,
        egress: bool,
    ) -> CheckFindings:
        direction = "outbound" if egress else "inbound"
        problem = f"has no {direction} rule"
        if rules:
            problem = f"does not allow {first_denied.packets.kind} {direction}"
        finding = Finding(
            check=CheckKind.SECURITY_GROUP,
            resource=", ".join(groups),
            problem=problem,
            command=fixes.allow_in_group(
                groups[0],
                self._of_cluster(packets),
                egress=egress,
                region=self._snapshot.region,
            ),
        )
        return [(finding, _affected(first_denied, egress=egress))]

    def _of_cluster(self, packets: HeaderSpace) -> HeaderSpace:
        """Widen to the cluster's range, which a suggested rule allows."""
        network = enclosing(self._snapshot.cluster_cidrs, packets.network)
        return packets._replace(addresses=span(network)) if network else packets


def _affected(first_denied: DeniedPackets, *, egress: bool) -> str:
    return f"{'to' if egress else 'from'} {first_denied.packets.network}"
