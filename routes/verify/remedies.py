"""The commands that mend what a verification finds, beside those of the program."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from routes import remedies
from routes.model import Route, import_id
from routes.verify.packets import ICMP, PROTOCOLS, Packets
from routes.verify.snapshot import INTERFACE_GONE, Snapshot


class Advice(NamedTuple):
    """What to do: prose, and the command behind it, each "" where there is none.

    No command deletes or retargets an entry that isn't ours: one that is propagated, or
    that is static, in use and not in the stack's state.
    """

    remedy: str = ""
    command: str = ""


_UNMANAGED: Final = (
    "It was created by hand or by another program; it isn't in this stack's state."
)
_PROPAGATED: Final = {
    "EnableVgwRoutePropagation": "A virtual private gateway propagates it from a VPN or"
    " Direct Connect connection. Whoever runs that connection has to stop announcing"
    " it.",
    "Advertisement": "A VPC route server installed it. Whoever runs the route server's"
    " peer has to stop announcing it.",
}
"""By origin (EC2 API Reference, "Route"). To disable propagation would remove every
route of the gateway: "Disables a virtual private gateway (VGW) from propagating routes
to a specified route table of a VPC" (DisableVgwRoutePropagation)."""
OR_MOVE: Final = " Otherwise the worker needs another pod CIDR."


def update(snapshot: Snapshot) -> str:
    """Put the stack's routes in place, "" while that is refused, or under way."""
    if snapshot.refusals or not snapshot.is_settled:
        return ""
    return remedies.update(snapshot.stack, is_first=snapshot.held == {})


def refresh(snapshot: Snapshot) -> Advice:
    """Put the stack's routes in place; say why that takes a refresh."""
    command = update(snapshot)
    remedy = ""
    if snapshot.planned and command:
        remedy = "An update without --refresh leaves this route drifted. Run:"
    return Advice(remedy, command)


def is_managed(snapshot: Snapshot, table: str, route: Route) -> bool:
    """Return whether an entry of a table is in the stack's state, if that was read."""
    key = import_id(table, route.destination)
    return route.is_static and (snapshot.held is None or key in snapshot.held)


def remove(snapshot: Snapshot, table: str, route: Route) -> Advice:
    """Say how an entry that isn't managed can go, and who can delete it.

    Only a static blackhole whose interface was deleted is nobody's: another target may
    come back. While an interface is attached, EC2 names its instance in the route.
    """
    if route.is_propagated:
        return Advice(_PROPAGATED[route.origin])
    if not route.is_static:
        return Advice("EC2 created it with the table; nobody can delete it.")
    is_blackhole = route.state == "blackhole" and not route.instance_id
    why = snapshot.why_gone(route.target) if route.is_to_interface else ""
    if is_blackhole and why == INTERFACE_GONE:
        return Advice(
            "Its network interface is deleted, so nobody can use it. To delete it:",
            remedies.delete_route(table, route.destination, snapshot.region),
        )
    return Advice(f"{_UNMANAGED} If nobody needs it, its owner has to delete it.")


def retarget(snapshot: Snapshot, table: str, found: Route) -> Advice:
    """Say how a static route with a wrong target comes to lead to the worker."""
    if not is_managed(snapshot, table, found):
        advice = remove(snapshot, table, found)
        if advice.command:
            return advice
        return Advice(
            f"{_UNMANAGED} If it is yours, delete it, or retarget it to the worker's"
            f" interface and adopt it with import-file.{OR_MOVE}"
        )
    if not found.is_to_interface:  # the plan refuses to retarget it
        return Advice(
            "This stack's state has it, but somebody retargeted it. If nobody needs it"
            " like that, delete it, then update.",
            update(snapshot),
        )
    if table not in snapshot.route_table_ids:
        return Advice(command=serve(snapshot, table))
    return refresh(snapshot)


def revive(snapshot: Snapshot, target: str) -> str:
    """End the blackhole of a route that leads to the right interface."""
    instance = snapshot.instance_of(target)
    if instance and instance.state != "running":
        return remedies.start(instance.id, instance.state, snapshot.region)
    return remedies.describe(target, snapshot.region)


def serve(snapshot: Snapshot, *more: str) -> str:
    """Have the stack serve these tables as well, and all that workers' subnets use.

    One command names them all, so that another does not take back what this one sets.
    """
    entries = (*snapshot.route_table_entries, *_unserved(snapshot), *more)
    return remedies.set_entries(snapshot.stack, "routeTables", dict.fromkeys(entries))


def let_go(snapshot: Snapshot, table: str) -> str:
    """Give up what the stack no longer wants, unless workers need the table."""
    return serve(snapshot) if table in _unserved(snapshot) else update(snapshot)


def _unserved(snapshot: Snapshot) -> list[str]:
    """Return the tables that workers' subnets use and the stack does not name."""
    subnets = {w.interface.subnet_id for w in snapshot.workers if w.interface}
    used = {found.id for each in subnets if (found := snapshot.table_of(each))}
    return sorted(used - {*snapshot.route_table_ids})


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
