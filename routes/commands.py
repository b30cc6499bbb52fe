"""The commands that mend what is found wrong, ready to be pasted."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from routes.model import NAMESPACE, Destination, Network, Route, import_id
from routes.packets import ICMP, PROTOCOLS, Packets

if TYPE_CHECKING:
    from routes.snapshot import Snapshot


def update(stack: str) -> str:
    """Put the stack's routes in place."""
    return f"pulumi up --refresh --stack {stack}"


def take_over(stack: str) -> str:
    """Write the import file of routes that stand and are not the stack's."""
    return f"python -m routes import-file --stack {stack}"


def configure_tables(stack: str, tables: Iterable[str]) -> str:
    """Have the stack serve these route tables."""
    value = ",".join(sorted(tables))
    return f"pulumi config set {NAMESPACE}:routeTables {value} --stack {stack}"


def replace_route(table: str, destination: Network, target: str, region: str) -> str:
    """Point a route at another interface."""
    return (
        f"aws ec2 replace-route --route-table-id {table}"
        f" {_option(destination)} --network-interface-id {target}"
        f" --region {region}"
    )


def redirect(
    snapshot: Snapshot, table: str, found: Route, destination: Network, target: str
) -> str:
    """Lead a standing route to a worker: by an update, if the stack may hold it.

    The plan refuses to turn what leads to no interface, so that has to go first.
    """
    if not found.is_to_interface:
        return remove_route(table, found, snapshot.region)
    ours = snapshot.held is None or import_id(table, destination) in snapshot.held
    if ours and table in snapshot.route_table_ids:
        return update(snapshot.stack)
    return replace_route(table, destination, target, snapshot.region)


def remove_route(table: str, route: Route, region: str) -> str:
    """Remove a route in the way it came into the table, "" for a route server's."""
    if route.is_propagated and not route.target.startswith("vgw-"):
        return ""
    if route.is_propagated:
        return (
            f"aws ec2 disable-vgw-route-propagation --route-table-id {table}"
            f" --gateway-id {route.target} --region {region}"
        )
    return (
        f"aws ec2 delete-route --route-table-id {table} {_option(route.destination)}"
        f" --region {region}"
    )


def start(instance: str, state: str, region: str) -> str:
    """Bring an instance up, or wait for one that is on its way."""
    verb = {
        "pending": "wait instance-running",
        "stopping": "wait instance-stopped",
    }.get(state, "start-instances")
    return f"aws ec2 {verb} --instance-ids {instance} --region {region}"


def describe_interface(interface: str, region: str) -> str:
    """Show how an interface is attached."""
    return (
        "aws ec2 describe-network-interfaces"
        f" --network-interface-ids {interface} --region {region}"
    )


def check_off(interface: str, region: str) -> str:
    """Turn the source/destination check off."""
    return (
        "aws ec2 modify-network-interface-attribute"
        f" --network-interface-id {interface} --no-source-dest-check --region {region}"
    )


def allow_in_acl(
    acl: str, number: int, packets: Packets, *, egress: bool, region: str
) -> str:
    """Add a rule that allows these packets."""
    family = "ipv6-" if packets.version == 6 else ""  # noqa: PLR2004
    protocol = _protocol(packets)
    ports = ""
    if protocol in map(str, ICMP.values()):
        ports = " --icmp-type-code Type=-1,Code=-1"
    elif protocol != "-1":
        ports = f" --port-range From={packets.ports.first},To={packets.ports.last}"
    return (
        f"aws ec2 create-network-acl-entry --network-acl-id {acl}"
        f" --{'egress' if egress else 'ingress'} --rule-number {number}"
        f" --protocol {protocol}{ports} --rule-action allow"
        f" --{family}cidr-block {packets.network} --region {region}"
    )


def remove_from_acl(acl: str, number: int, *, egress: bool, region: str) -> str:
    """Remove a rule that nothing can be put in front of."""
    return (
        f"aws ec2 delete-network-acl-entry --network-acl-id {acl}"
        f" --{'egress' if egress else 'ingress'} --rule-number {number}"
        f" --region {region}"
    )


def allow_in_group(group: str, packets: Packets, *, egress: bool, region: str) -> str:
    """Add a rule that lets these packets out, or in."""
    protocol = _protocol(packets)
    permission: dict[str, object] = {"IpProtocol": protocol}
    if protocol in map(str, ICMP.values()):
        permission |= {"FromPort": -1, "ToPort": -1}
    elif protocol != "-1":
        permission |= {"FromPort": packets.ports.first, "ToPort": packets.ports.last}
    if packets.version == 6:  # noqa: PLR2004
        permission["Ipv6Ranges"] = [{"CidrIpv6": str(packets.network)}]
    else:
        permission["IpRanges"] = [{"CidrIp": str(packets.network)}]
    permissions = json.dumps([permission], separators=(",", ":"))
    return (
        f"aws ec2 authorize-security-group-{'egress' if egress else 'ingress'}"
        f" --group-id {group} --ip-permissions {shlex.quote(permissions)}"
        f" --region {region}"
    )


def _option(destination: Destination) -> str:
    if isinstance(destination, str):
        return f"--destination-prefix-list-id {destination}"
    family = "ipv6-" if isinstance(destination, IPv6Network) else ""
    return f"--destination-{family}cidr-block {destination}"


def _protocol(packets: Packets) -> str:
    return "-1" if packets.protocols == PROTOCOLS else str(packets.protocols.first)
