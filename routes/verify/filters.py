"""What network ACLs and security groups let through, over whole ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from routes.model import NetworkAcl, SecurityGroupRule, networks_of
from routes.networks import Network
from routes.verify.packets import Packets, first_common, matched, without

LAST_RULE: Final = 32767
"""The number of the rule `*`, which denies what no other rule matched.

Of IPv6 it is one more (terraform-provider-aws, resource `aws_default_network_acl`).
"""


class Gap(NamedTuple):
    """The first packets that a filter stops.

    Attributes:
        stops: False where only protocols other than TCP, UDP and ICMP are stopped.
        rule: the number of the ACL's rule that denies them.
    """

    packets: Packets
    stops: bool
    rule: int = LAST_RULE


class Passage(NamedTuple):
    """What the security groups of an interface make of some packets.

    Attributes:
        gap: None where everything passes.
        by_group: the first rule that names a group and without which there would be a
            gap, "" where there is none.
    """

    gap: Gap | None
    by_group: str = ""


def acl_gap(acl: NetworkAcl, packets: Packets, *, egress: bool) -> Gap | None:
    """Return what a network ACL stops in one direction; replies are asked for apart.

    The lowest number that matches decides, and `*` denies the rest (VPC User Guide,
    "Network ACL rules"). Of several rules that stop packets the first one is named: an
    allowing rule before it mends what all of them stop.
    """
    rest = [packets]
    denied: list[tuple[int, list[Packets]]] = []
    rules = [rule for rule in acl.rules if rule.egress == egress]
    for rule in sorted(rules, key=lambda rule: rule.number):
        box = matched(rule.protocol, rule.ports, rule.network)
        if not rule.allow:
            denied.append((rule.number, [p.shared(box) for p in rest if p.meets(box)]))
        rest = without(rest, box)
    denied.append((LAST_RULE, rest))
    for number, parts in denied:
        first = first_common(parts)
        if first:
            return Gap(first, stops=True, rule=number)
    return next(
        (Gap(parts[0], stops=False, rule=number) for number, parts in denied if parts),
        None,
    )


def passage(
    rules: Sequence[SecurityGroupRule],
    packets: Packets,
    far_groups: Iterable[str],
    prefix_lists: Mapping[str, tuple[Network, ...]],
) -> Passage:
    """Return what security groups let through, given their rules of one direction.

    All rules of all groups count together, and replies pass by themselves (VPC User
    Guide, "Security group rules"). A rule that names a group is documented to mean the
    private addresses of its interfaces; it counts here, and is told.
    """
    rest = [packets]
    for rule in rules:
        if not rest:
            return Passage(None)
        for network in networks_of(rule.peer, prefix_lists):
            rest = without(rest, matched(rule.protocol, rule.ports, network))
    first = first_common(rest)
    if not first:
        return Passage(Gap(rest[0], stops=False) if rest else None)
    by_group = ""
    members = set(far_groups)
    for rule in rules:
        if rule.peer in members:
            box = matched(rule.protocol, rule.ports, first.network)
            left = without(rest, box._replace(addresses=packets.addresses))
            by_group = by_group or (rule.id if left != rest else "")
            rest = left
    first = first_common(rest)
    return Passage(Gap(first, stops=True) if first else None, by_group)
