"""The commands that mend what a verification finds, beside those of the program."""

from __future__ import annotations

import json

from routes import remedies
from routes.model import Route, import_id
from routes.networks import Network
from routes.verify.packets import ICMP, PROTOCOLS, Packets
from routes.verify.snapshot import Snapshot


def update(snapshot: Snapshot) -> str:
    """Put the stack's routes in place, "" while that is refused, or under way."""
    if snapshot.refusals or not snapshot.is_settled:
        return ""
    return remedies.update(snapshot.stack, is_first=snapshot.held == {})


def redirect(
    snapshot: Snapshot, table: str, found: Route, destination: Network, target: str
) -> str:
    """Lead a standing route to a worker: by an update, if the stack may hold it.

    The plan refuses to turn what leads to no interface, so that has to go first.
    """
    if not found.is_to_interface:
        return remedies.remove_route(table, found, snapshot.region)
    ours = snapshot.held is None or import_id(table, destination) in snapshot.held
    if ours and table in snapshot.route_table_ids:
        return update(snapshot)
    return remedies.replace_route(table, destination, target, snapshot.region)


def revive(snapshot: Snapshot, table: str, destination: Network, target: str) -> str:
    """End the blackhole of a route that leads to the right interface."""
    instance = snapshot.instance_of(target)
    if instance and instance.state != "running":
        return remedies.start(instance.id, instance.state, snapshot.region)
    return remedies.replace_route(table, destination, target, snapshot.region)


def serve(snapshot: Snapshot, table: str) -> str:
    """Have the stack serve one more table."""
    entries = (*snapshot.route_table_entries, table)
    return remedies.set_entries(snapshot.stack, "routeTables", entries)


def let_go(snapshot: Snapshot, table: str) -> str:
    """Give up what the stack no longer wants, unless workers need the table."""
    subnets = {w.interface.subnet_id for w in snapshot.workers if w.interface}
    used = {found.id for each in subnets if (found := snapshot.table_of(each))}
    if table in used - {*snapshot.route_table_ids}:
        return serve(snapshot, table)
    return update(snapshot)


def allow_in_acl(
    acl: str, number: int, packets: Packets, *, egress: bool, region: str
) -> str:
    """Add a rule that allows these packets."""
    protocol = _protocol(packets)
    ports: tuple[str, ...] = ()
    if protocol in map(str, ICMP.values()):
        ports = "--icmp-type-code", "Type=-1,Code=-1"
    elif protocol != "-1":
        first, last = packets.ports
        ports = "--port-range", f"From={first},To={last}"
    family = "ipv6-" if packets.version == 6 else ""  # noqa: PLR2004
    return remedies.aws(
        region,
        "create-network-acl-entry",
        *("--network-acl-id", acl, _direction(egress=egress)),
        *("--rule-number", str(number), "--protocol", protocol, *ports),
        *("--rule-action", "allow", f"--{family}cidr-block", str(packets.network)),
    )


def remove_from_acl(acl: str, number: int, *, egress: bool, region: str) -> str:
    """Remove a rule that nothing can be put in front of."""
    return remedies.aws(
        region,
        "delete-network-acl-entry",
        *("--network-acl-id", acl, _direction(egress=egress)),
        *("--rule-number", str(number)),
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
    return remedies.aws(
        region,
        f"authorize-security-group-{'egress' if egress else 'ingress'}",
        *("--group-id", group, "--ip-permissions"),
        json.dumps([permission], separators=(",", ":")),
    )


def _direction(*, egress: bool) -> str:
    return "--egress" if egress else "--ingress"


def _protocol(packets: Packets) -> str:
    return "-1" if packets.protocols == PROTOCOLS else str(packets.protocols.first)
