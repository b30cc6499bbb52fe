"""Find the packets that network ACLs and security groups deny."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from routes.model import NetworkAcl, SecurityGroupRule, networks_of
from routes.networks import Network
from routes.verify.header_space import HeaderSpace, first_usual, matching, subtract

LAST_RULE: Final = 32767
"""The number of the rule `*`, which denies what no other rule matched.

For IPv6 it is one more (terraform-provider-aws, resource `aws_default_network_acl`).
"""


class DeniedPackets(NamedTuple):
    """The first packets that a filter denies.

    Attributes:
        is_usual: whether TCP, UDP or ICMP is among them.
        rule: the number of the network ACL's rule that denies them.
    """

    packets: HeaderSpace
    is_usual: bool
    rule: int = LAST_RULE


class FilterResult(NamedTuple):
    """The result of an interface's security groups for some packets.

    Attributes:
        denied: None if all packets pass.
        by_group: the first rule that names a group and without which packets would be
            denied, "" if there is none.
    """

    denied: DeniedPackets | None
    by_group: str = ""


def filter_by_acl(
    acl: NetworkAcl, packets: HeaderSpace, *, egress: bool
) -> DeniedPackets | None:
    """Return the packets that a network ACL denies in one direction.

    The matching rule with the lowest number decides, and `*` denies the rest (VPC User
    Guide, "Network ACL rules"). Of several denying rules, the first one is reported: an
    allowing rule before it fixes them all.
    """
    rest = [packets]
    denied: list[tuple[int, list[HeaderSpace]]] = []
    rules = [rule for rule in acl.rules if rule.egress == egress]
    for rule in sorted(rules, key=lambda rule: rule.number):
        match = matching(rule.protocol, rule.ports, rule.network)
        if not rule.allow:
            parts = [p.intersection(match) for p in rest if p.intersects(match)]
            denied.append((rule.number, parts))
        rest = subtract(rest, match)
    denied.append((LAST_RULE, rest))
    for number, parts in denied:
        if first := first_usual(parts):
            return DeniedPackets(first, is_usual=True, rule=number)
    return next(
        (
            DeniedPackets(parts[0], is_usual=False, rule=number)
            for number, parts in denied
            if parts
        ),
        None,
    )


def filter_by_groups(
    rules: Sequence[SecurityGroupRule],
    packets: HeaderSpace,
    remote_groups: Iterable[str],
    prefix_lists: Mapping[str, tuple[Network, ...]],
) -> FilterResult:
    """Return the packets that security groups deny by their rules of one direction.

    The rules of all groups count together, and replies pass (VPC User Guide, "Security
    group rules"). A rule that names a group is documented to apply to the private
    addresses of its interfaces; here it counts for pods too, and is reported.
    """
    rest = [packets]
    for rule in rules:
        if not rest:
            return FilterResult(None)
        for network in networks_of(rule.peer, prefix_lists):
            rest = subtract(rest, matching(rule.protocol, rule.ports, network))
    first = first_usual(rest)
    if not first:
        denied = DeniedPackets(rest[0], is_usual=False) if rest else None
        return FilterResult(denied)
    by_group = ""
    members = set(remote_groups)
    for rule in rules:
        if rule.peer in members:
            match = matching(rule.protocol, rule.ports, first.network)
            left = subtract(rest, match._replace(addresses=packets.addresses))
            by_group = by_group or (rule.id if left != rest else "")
            rest = left
    first = first_usual(rest)
    denied = DeniedPackets(first, is_usual=True) if first else None
    return FilterResult(denied, by_group)
