"""Source/destination checks, network ACLs and security groups, in nftables' words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from sandbox.wires.account import Account, Worker

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        IpPermissionOutputTypeDef,
        NetworkAclEntryTypeDef,
    )

Key = TypeVar("Key")
_WAYS: Final = ((True, "iifname", "oifname"), (False, "oifname", "iifname"))
"""Out of a worker is into the router. The other name is that of the far end's port."""
_NAMES: Final = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}


def port(number: int) -> str:
    """Return the name of a worker's port at the router."""
    return f"w{number}"


def script(account: Account) -> str:
    """Return the ruleset of the VPC's router, one for all that is forwarded.

    A chain returns what it lets pass and drops the rest. A source/destination check
    means "that the instance must be the source or destination of any traffic it sends
    or receives" (VPC User Guide, "NAT instances").
    """
    chains: dict[str, list[str]] = {}
    forward = ["type filter hook forward priority filter"]

    def ask(name: str, where: str, rules: list[str]) -> None:
        chains[name] = [*rules, "drop"]
        forward.append(f"{where} jump {name}")

    acls = {
        association["SubnetId"]: acl
        for acl in account.acls
        for association in acl["Associations"]
    }
    for egress, here, there in _WAYS:
        for number, worker in enumerate(account.workers):
            if worker.check:
                own = [_match(one, egress=not egress) for one in worker.addresses]
                passing = [f"{match} return" for match in own]
                ask(f"check-{number}-{here}", f"{here} {port(number)}", passing)
        for subnet_id, ports in _ports_by(account, lambda one: one.subnet_id).items():
            acl = acls[subnet_id]["Entries"]
            crosses = f"{here} {ports} {there} != {ports}"
            ask(f"acl-{subnet_id}-{here}", crosses, _acl(acl, egress=egress))
    forward.append("ct state established,related accept")
    for egress, here, _ in _WAYS:
        sets = _ports_by(account, lambda one: tuple(one.group_ids))
        for number, (group_ids, ports) in enumerate(sets.items()):
            rules = _groups(account, group_ids, egress=egress)
            ask(f"groups-{number}-{here}", f"{here} {ports}", rules)
    chains["forward"] = forward
    body = "".join(
        f"chain {name} {{\n{chr(10).join(rules)}\n}}\n"
        for name, rules in chains.items()
    )
    return f"table inet vpc {{\n{body}}}\n"


def _ports_by(account: Account, key: Callable[[Worker], Key]) -> dict[Key, str]:
    """Group the workers' ports, as sets of nft."""
    found: dict[Key, list[str]] = {}
    for number, worker in enumerate(account.workers):
        found.setdefault(key(worker), []).append(port(number))
    return {each: f"{{ {', '.join(ports)} }}" for each, ports in found.items()}


def _acl(entries: Iterable[NetworkAclEntryTypeDef], *, egress: bool) -> list[str]:
    """Take the rules by number; what none of them matches is denied.

    "AWS processes the entries in the network ACL according to the rule numbers, in
    ascending order", for what goes "in or out of a subnet" (NetworkAclEntry): between
    two ports of one subnet none is asked.
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
    """Let pass what any rule of any of the groups allows; replies have passed already.

    VPC User Guide, "Security group rules": "the rules from each security group are
    aggregated to form a single set of rules". A rule that names a group stands for the
    private IP addresses of that group's interfaces, and so not for pods ("Security
    group referencing").
    """
    found = []
    for group in account.groups:
        if group["GroupId"] not in group_ids:
            continue
        for rule in group["IpPermissionsEgress"] if egress else group["IpPermissions"]:
            numbers = rule.get("FromPort", -1), rule.get("ToPort", -1)
            found += [
                f"{_match(cidr, rule['IpProtocol'], numbers, egress=egress)} return"
                for cidr in _peers(account, rule)
            ]
    return found


def _peers(account: Account, rule: IpPermissionOutputTypeDef) -> Iterator[str]:
    yield from (one["CidrIp"] for one in rule.get("IpRanges", []))
    yield from (one["CidrIpv6"] for one in rule.get("Ipv6Ranges", []))
    for listed in rule.get("PrefixListIds", []):
        yield from account.prefix_lists[listed["PrefixListId"]]
    for pair in rule.get("UserIdGroupPairs", []):
        for worker in account.workers:
            if pair["GroupId"] in worker.group_ids:
                yield from worker.addresses


def _match(
    cidr: str,
    protocol: str = "-1",
    numbers: tuple[int, int] = (-1, -1),
    *,
    egress: bool,
) -> str:
    """Return what a rule matches: the far end, the protocol, and what it is about.

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
