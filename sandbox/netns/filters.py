"""Source/destination checks, network ACLs and security groups as nftables rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from sandbox.netns.account import Account, Worker

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        IpPermissionOutputTypeDef,
        NetworkAclEntryTypeDef,
    )

Key = TypeVar("Key")
_DIRECTIONS: Final = ((True, "iifname", "oifname"), (False, "oifname", "iifname"))
"""Whether packets leave the worker, and so enter the router; nft's name for the port of
the worker, and for the port of the other end."""
_NAMES: Final = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}


def port(number: int) -> str:
    """Return the name of a worker's port at the router."""
    return f"w{number}"


def ruleset(account: Account) -> str:
    """Return the ruleset of the VPC's router, for all packets that it forwards.

    A chain returns the packets that it lets pass and drops the rest. A
    source/destination check means "that the instance must be the source or destination
    of any traffic it sends or receives" (VPC User Guide, "NAT instances").
    """
    chains: dict[str, list[str]] = {}
    forward = ["type filter hook forward priority filter"]

    def add(name: str, packets: str, rules: list[str]) -> None:
        chains[name] = [*rules, "drop"]
        forward.append(f"{packets} jump {name}")

    acls = {
        association["SubnetId"]: acl["Entries"]
        for acl in account.acls
        for association in acl["Associations"]
    }
    for egress, here, there in _DIRECTIONS:
        for number, worker in enumerate(account.workers):
            if worker.source_dest_check:
                own = [_match(each, egress=not egress) for each in worker.addresses]
                passing = [f"{match} return" for match in own]
                add(f"check-{number}-{here}", f"{here} {port(number)}", passing)
        for subnet_id, ports in _ports_by(account, lambda w: w.subnet_id).items():
            crossing = f"{here} {ports} {there} != {ports}"
            rules = _acl(acls[subnet_id], egress=egress)
            add(f"acl-{subnet_id}-{here}", crossing, rules)
    forward.append("ct state established,related accept")
    for egress, here, _ in _DIRECTIONS:
        sets = _ports_by(account, lambda worker: tuple(worker.group_ids))
        for number, (group_ids, ports) in enumerate(sets.items()):
            rules = _groups(account, group_ids, egress=egress)
            add(f"groups-{number}-{here}", f"{here} {ports}", rules)
    chains["forward"] = forward
    body = "".join(
        f"chain {name} {{\n{chr(10).join(rules)}\n}}\n"
        for name, rules in chains.items()
    )
    return f"table inet vpc {{\n{body}}}\n"


def _ports_by(account: Account, key: Callable[[Worker], Key]) -> dict[Key, str]:
    """Group the workers' ports, as sets of nft."""
    groups: dict[Key, list[str]] = {}
    for number, worker in enumerate(account.workers):
        groups.setdefault(key(worker), []).append(port(number))
    return {each: f"{{ {', '.join(ports)} }}" for each, ports in groups.items()}


def _acl(entries: Iterable[NetworkAclEntryTypeDef], *, egress: bool) -> list[str]:
    """Return the rules by number; a packet that none of them matches is denied.

    "AWS processes the entries in the network ACL according to the rule numbers, in
    ascending order", for what goes "in or out of a subnet" (NetworkAclEntry): none
    applies between two ports of one subnet.
    """
    rules = []
    for entry in sorted(entries, key=lambda entry: entry["RuleNumber"]):
        if entry["Egress"] != egress:
            continue
        numbers = -1, -1
        if "PortRange" in entry:
            numbers = entry["PortRange"]["From"], entry["PortRange"]["To"]
        elif "IcmpTypeCode" in entry:
            numbers = entry["IcmpTypeCode"]["Type"], entry["IcmpTypeCode"]["Code"]
        cidr = entry.get("CidrBlock") or entry["Ipv6CidrBlock"]
        verdict = "return" if entry["RuleAction"] == "allow" else "drop"
        match = _match(cidr, entry["Protocol"], numbers, egress=egress)
        rules.append(f"{match} {verdict}")
    return rules


def _groups(account: Account, group_ids: Iterable[str], *, egress: bool) -> list[str]:
    """Return the rules of all groups; replies have passed already.

    VPC User Guide, "Security group rules": "the rules from each security group are
    aggregated to form a single set of rules". A rule that names a group applies to the
    private IP addresses of that group's interfaces, and so not to pods ("Security group
    referencing").
    """
    return [
        f"{_match(cidr, rule['IpProtocol'], _numbers(rule), egress=egress)} return"
        for group in account.groups
        if group["GroupId"] in group_ids
        for rule in group["IpPermissionsEgress" if egress else "IpPermissions"]
        for cidr in _peers(account, rule)
    ]


def _numbers(rule: IpPermissionOutputTypeDef) -> tuple[int, int]:
    return rule.get("FromPort", -1), rule.get("ToPort", -1)


def _peers(account: Account, rule: IpPermissionOutputTypeDef) -> Iterator[str]:
    yield from (each["CidrIp"] for each in rule.get("IpRanges", []))
    yield from (each["CidrIpv6"] for each in rule.get("Ipv6Ranges", []))
    for prefix_list in rule.get("PrefixListIds", []):
        yield from account.prefix_lists[prefix_list["PrefixListId"]]
    for group in rule.get("UserIdGroupPairs", []):
        for worker in account.workers:
            if group["GroupId"] in worker.group_ids:
                yield from worker.addresses


def _match(
    cidr: str,
    protocol: str = "-1",
    numbers: tuple[int, int] = (-1, -1),
    *,
    egress: bool,
) -> str:
    """Return the match of a rule: the other end, the protocol, and ports or types.

    Ports count for TCP and UDP; ICMP's are type and code, -1 for any. Every other
    protocol, and -1 for all, is matched whole (EC2 API Reference, "IpPermission":
    "specifying -1 or a protocol number other than tcp, udp, icmp, or icmpv6 allows
    traffic on all ports, regardless of any port range you specify").
    """
    family, proto = ("ip6", "ipv6") if ":" in cidr else ("ip", "ipv4")
    words = [f"meta nfproto {proto} {family} {'daddr' if egress else 'saddr'} {cidr}"]
    name = _NAMES.get(protocol, protocol)
    if name != "-1":
        words.append(f"meta l4proto {name}")
    first, last = numbers
    if name in {"tcp", "udp"} and first >= 0:
        words.append(f"th dport {first}-{last}" if first < last else f"th dport {last}")
    if name in {"icmp", "icmpv6"} and first >= 0:
        words.append(f"{name} type {first}")
        if last >= 0:
            words.append(f"{name} code {last}")
    return " ".join(words)
