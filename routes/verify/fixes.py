"""The commands that a verification suggests."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from routes import commands
from routes.model import Route, RouteKey
from routes.verify.header_space import ICMP, PROTOCOLS, HeaderSpace
from routes.verify.snapshot import INTERFACE_DELETED, Snapshot


class Fix(NamedTuple):
    """A hint, and the command that follows it, each "" if there is none.

    No command deletes or retargets a route that isn't the stack's: one that is
    propagated, or static, in use and not in the state.
    """

    hint: str = ""
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
"""By origin (EC2 API Reference, "Route"). Disabling propagation would remove every
route of the gateway: "Disables a virtual private gateway (VGW) from propagating routes
to a specified route table of a VPC" (DisableVgwRoutePropagation)."""
OTHER_POD_CIDR: Final = "Otherwise the worker needs another pod CIDR."


def update(snapshot: Snapshot) -> str:
    """Return the command of an update, "" if that is refused or pending."""
    if snapshot.refusals or not snapshot.can_update:
        return ""
    return commands.update(snapshot.stack, is_first=snapshot.managed == {})


def update_drifted(snapshot: Snapshot) -> Fix:
    """Return the fix of drift; for a planned update, explain why it needs --refresh."""
    command = update(snapshot)
    hint = ""
    if snapshot.planned and command:
        hint = "An update without --refresh leaves this route drifted. Run:"
    return Fix(hint, command)


def is_managed(snapshot: Snapshot, table_id: str, route: Route) -> bool:
    """Return whether a route is in the state, or may be if that was not read."""
    key = RouteKey(table_id, route.destination)
    return route.is_static and (snapshot.managed is None or key in snapshot.managed)


def delete_unmanaged(snapshot: Snapshot, table_id: str, route: Route) -> Fix:
    """Explain who can delete a route that isn't managed.

    Only a static blackhole to a deleted interface belongs to nobody; other targets may
    come back. While an interface is attached, EC2 names its instance in the route.
    """
    if route.is_propagated:
        return Fix(_PROPAGATED[route.origin])
    if not route.is_static:
        return Fix("EC2 created it with the table; nobody can delete it.")
    is_blackhole = route.state == "blackhole" and not route.instance_id
    reason = snapshot.why_blackhole(route.target) if route.is_to_interface else ""
    if is_blackhole and reason == INTERFACE_DELETED:
        return Fix(
            "Its network interface is deleted, so nobody can use it. To delete it:",
            commands.delete_route(table_id, route.destination, snapshot.region),
        )
    return Fix(f"{_UNMANAGED} If nobody needs it, its owner has to delete it.")


def retarget(snapshot: Snapshot, table_id: str, route: Route) -> Fix:
    """Explain how a static route can be retargeted to its worker."""
    if not is_managed(snapshot, table_id, route):
        fix = delete_unmanaged(snapshot, table_id, route)
        if fix.command:
            return fix
        return Fix(
            f"{_UNMANAGED} If it is yours, delete it, or retarget it to the worker's"
            f" interface and adopt it with import-file. {OTHER_POD_CIDR}"
        )
    if not route.is_to_interface:  # the plan refuses to retarget it
        return Fix(
            "It is in this stack's state, but somebody retargeted it. If nobody needs"
            " it like that, delete it, then update.",
            update(snapshot),
        )
    if table_id not in snapshot.route_table_ids:
        return Fix(command=select_tables(snapshot, table_id))
    return update_drifted(snapshot)


def end_blackhole(snapshot: Snapshot, target: str) -> str:
    """Return the command for a blackhole that leads to the right interface."""
    instance = snapshot.instance_of(target)
    if instance and instance.state != "running":
        return commands.start(instance.id, instance.state, snapshot.region)
    return commands.describe(target, snapshot.region)


def select_tables(snapshot: Snapshot, *more: str) -> str:
    """Add tables to `routeTables`, and all others that workers' subnets use.

    One command names them all, so that no command reverts another.
    """
    entries = (*snapshot.route_table_entries, *_not_selected(snapshot), *more)
    return commands.set_entries(snapshot.stack, "routeTables", dict.fromkeys(entries))


def delete_obsolete(snapshot: Snapshot, table_id: str) -> str:
    """Delete a managed route that no worker needs, or select its table if one does."""
    if table_id in _not_selected(snapshot):
        return select_tables(snapshot)
    return update(snapshot)


def _not_selected(snapshot: Snapshot) -> list[str]:
    """Return the tables that workers' subnets use and `routeTables` doesn't select."""
    subnets = {w.interface.subnet_id for w in snapshot.workers if w.interface}
    used = {table.id for each in subnets if (table := snapshot.table_of(each))}
    return sorted(used - {*snapshot.route_table_ids})


def allow_in_acl(
    acl: str, number: int, packets: HeaderSpace, *, egress: bool, region: str
) -> str:
    """Add a network ACL rule that allows these packets."""
    protocol = _protocol(packets)
    ports: tuple[str, ...] = ()
    if protocol in map(str, ICMP.values()):
        ports = "--icmp-type-code", "Type=-1,Code=-1"
    elif protocol != "-1":
        first, last = packets.ports
        ports = "--port-range", f"From={first},To={last}"
    family = "ipv6-" if packets.version == 6 else ""  # noqa: PLR2004
    return commands.aws(
        region,
        "create-network-acl-entry",
        *("--network-acl-id", acl, "--egress" if egress else "--ingress"),
        *("--rule-number", str(number), "--protocol", protocol, *ports),
        *("--rule-action", "allow", f"--{family}cidr-block", str(packets.network)),
    )


def allow_in_group(
    group: str, packets: HeaderSpace, *, egress: bool, region: str
) -> str:
    """Add a security group rule that allows these packets."""
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
    return commands.aws(
        region,
        f"authorize-security-group-{'egress' if egress else 'ingress'}",
        *("--group-id", group, "--ip-permissions"),
        json.dumps([permission], separators=(",", ":")),
    )


def _protocol(packets: HeaderSpace) -> str:
    return "-1" if packets.protocols == PROTOCOLS else str(packets.protocols.first)
