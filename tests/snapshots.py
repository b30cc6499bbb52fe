"""Snapshots for tests: the lab's network in two subnets, and changes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any, TypeAlias

from routes.model import (
    AclRule,
    Destination,
    Instance,
    Interface,
    NetworkAcl,
    PodRoute,
    Route,
    RouteTable,
    SecurityGroupRule,
    Subnet,
    Vpc,
    Worker,
)
from routes.networks import Network
from routes.verify.header_space import Traffic
from routes.verify.snapshot import Snapshot
from tests import builders

Change: TypeAlias = Callable[[Snapshot], Snapshot]
ALL = Traffic()
WEB = Traffic("tcp", 8080)
UPDATE = "pulumi up --refresh --stack dev"


def pod_cidr(number: int) -> Network:
    return ip_network(f"10.{200 + number // 256}.{number % 256}.0/24")


def worker(number: int, *, subnets: int = 2) -> Worker:
    """Return a worker of `lab`: subnet-1, -2, -1 ..., a security group of its own."""
    return builders.worker(
        launch_time=builders.worker().launch_time,
        private_ip=None,
        name=f"worker-{number}",
        instance_id=f"i-{number}",
        interface=Interface(
            id=f"eni-{number}",
            subnet_id=f"subnet-{number % subnets + 1}",
            source_dest_check=False,
            security_group_ids=(f"sg-{number % 3}",),
        ),
        pod_cidrs=(pod_cidr(number),),
    )


def acl(number: int, *rules: AclRule) -> NetworkAcl:
    """Return a network ACL that allows everything after the given rules."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    return NetworkAcl(
        id=f"acl-{number}",
        subnet_ids=(f"subnet-{number}",),
        rules=(
            *rules,
            *(
                AclRule(number=100 + index, egress=egress, allow=True, network=network)
                for egress in (False, True)
                for index, network in enumerate(everything)
            ),
        ),
    )


def rule(number: int, *, egress: bool, allow: bool, **changes: Any) -> AclRule:  # noqa: ANN401
    values: dict[str, Any] = {"network": ip_network("10.200.0.0/16")}
    return AclRule(number=number, egress=egress, allow=allow, **(values | changes))


def group_rule(
    group: int,
    name: str,
    peer: str,
    *,
    egress: bool = False,
    **changes: Any,  # noqa: ANN401
) -> SecurityGroupRule:
    far: Destination = peer if peer.startswith(("pl-", "sg-")) else ip_network(peer)
    return SecurityGroupRule(
        id=f"sgr-{group}-{name}",
        group_id=f"sg-{group}",
        egress=egress,
        peer=far,
        **changes,
    )


def lab(count: int = 3, *, subnets: int = 2, **changes: Any) -> Snapshot:  # noqa: ANN401
    """Return a healthy stack: every route in place, every packet allowed."""
    workers = [worker(number, subnets=subnets) for number in range(count)]
    desired = [desired_route(one) for one in workers]
    existing = [
        Route(
            destination=route.destination,
            target=route.network_interface_id,
            instance_id=route.instance_id,
        )
        for route in desired
    ]
    names = [f"subnet-{number + 1}" for number in range(subnets)]
    values: dict[str, Any] = {
        "taken_at": datetime(2026, 11, 25, 9, 30, tzinfo=UTC),
        "stack": "dev",
        "account": "123456789012",
        "region": "us-east-1",
        "vpc": Vpc(id="vpc-1", cidrs=builders.networks("10.0.0.0/16")),
        "cluster_cidrs": builders.networks(
            "10.200.0.0/13" if count > 56 else "10.200.0.0/16"
        ),
        "route_table_ids": ("rtb-1",),
        "route_table_entries": ("kubernetes",),
        "desired": tuple(desired),
        "workers": tuple(workers),
        "faults": (),
        "unmatched": (),
        "pending_operations": (),
        "managed": {route.key: route.network_interface_id for route in desired},
        "tables": (
            builders.table(*existing, subnet_ids=tuple(names)),
            builders.table(id="rtb-main", name="", main=True),
        ),
        "subnets": tuple(
            Subnet(
                id=name,
                name="",
                availability_zone="us-east-1a",
                cidrs=builders.networks(f"10.0.{number}.0/24"),
            )
            for number, name in enumerate(names)
        ),
        "acls": tuple(acl(number + 1) for number in range(subnets)),
        "security_group_rules": tuple(
            each
            for group in range(3)
            for each in (
                group_rule(group, "out", "0.0.0.0/0", egress=True),
                group_rule(group, "out6", "::/0", egress=True),
                group_rule(group, "vpc", "10.0.0.0/16"),
                group_rule(
                    group, "pods", "10.200.0.0/13" if count > 56 else "10.200.0.0/16"
                ),
            )
        ),
        "prefix_lists": {},
        "attachments": {f"eni-{number}": f"i-{number}" for number in range(count)},
        "states": {},
        "denied": {},
        "instances": tuple(
            Instance(
                id=one.instance_id,
                name=one.name,
                state="running",
                subnet_id=f"subnet-{number % subnets + 1}",
            )
            for number, one in enumerate(workers)
        ),
    }
    return Snapshot(**(values | changes))


def desired_route(
    one: Worker, network: Network | None = None, table: str = "rtb-1"
) -> PodRoute:
    return PodRoute(
        route_table_id=table,
        destination=network or one.pod_cidrs[0],
        network_interface_id=one.interface.id if one.interface else "",
        worker=one.name,
        instance_id=one.instance_id,
    )


def with_routes(*routes: Route) -> Change:
    """Put routes into rtb-1, in place of those with the same destination."""

    def change(snapshot: Snapshot) -> Snapshot:
        replaced = {route.destination for route in routes}
        return _table(
            snapshot,
            lambda table: (
                *(r for r in table.routes if r.destination not in replaced),
                *routes,
            ),
        )

    return change


def without_routes(*destinations: str) -> Change:
    def change(snapshot: Snapshot) -> Snapshot:
        return _table(
            snapshot,
            lambda table: tuple(
                route
                for route in table.routes
                if str(route.destination) not in destinations
            ),
        )

    return change


def with_worker(number: int, **changes: Any) -> Change:  # noqa: ANN401
    def change(snapshot: Snapshot) -> Snapshot:
        return replace(
            snapshot,
            workers=tuple(
                replace(one, **changes) if one.name == f"worker-{number}" else one
                for one in snapshot.workers
            ),
            instances=tuple(
                replace(one, state=changes.get("state", one.state))
                if one.id == f"i-{number}"
                else one
                for one in snapshot.instances
            ),
        )

    return change


def with_interface(number: int, **changes: Any) -> Change:  # noqa: ANN401
    def change(snapshot: Snapshot) -> Snapshot:
        interface = snapshot.workers[number].interface
        assert interface
        return with_worker(number, interface=replace(interface, **changes))(snapshot)

    return change


def with_acl(number: int, *rules: AclRule, alone: bool = False) -> Change:
    """Put rules before those of an ACL, or in place of them."""

    def change(snapshot: Snapshot) -> Snapshot:
        changed = acl(number, *rules)
        if alone:
            changed = replace(changed, rules=rules)
        others = (one for one in snapshot.acls if one.id != changed.id)
        return replace(snapshot, acls=(*others, changed))

    return change


def with_group(
    group: int,
    *rules: SecurityGroupRule,
    egress: bool = False,
    **changes: Any,  # noqa: ANN401
) -> Change:
    """Replace a group's rules of one direction."""

    def change(snapshot: Snapshot) -> Snapshot:
        others = (
            one
            for one in snapshot.security_group_rules
            if (one.group_id, one.egress) != (f"sg-{group}", egress)
        )
        return replace(snapshot, security_group_rules=(*others, *rules), **changes)

    return change


def dual_stack(snapshot: Snapshot) -> Snapshot:
    """Give every worker an IPv6 pod CIDR too, with routes and rules."""
    workers = tuple(
        replace(
            one,
            pod_cidrs=(*one.pod_cidrs, ip_network(f"fd00:200:0:{number}::/64")),
        )
        for number, one in enumerate(snapshot.workers)
    )
    desired = tuple(
        desired_route(one, network) for one in workers for network in one.pod_cidrs
    )
    rules = tuple(
        group_rule(group, "pods6", "fd00:200::/48") for group in range(len(workers))
    )
    changed = replace(
        snapshot,
        cluster_cidrs=(*snapshot.cluster_cidrs, ip_network("fd00:200::/48")),
        workers=workers,
        desired=desired,
        managed={route.key: route.network_interface_id for route in desired},
        security_group_rules=(*snapshot.security_group_rules, *rules),
    )
    return with_routes(
        *(
            Route(destination=route.destination, target=route.network_interface_id)
            for route in desired
        )
    )(changed)


def in_main_table(subnet: str) -> Change:
    """Remove a subnet's association with rtb-1."""

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


def all_of(*changes: Change) -> Change:
    def change(snapshot: Snapshot) -> Snapshot:
        for each in changes:
            snapshot = each(snapshot)
        return snapshot

    return change


def _table(
    snapshot: Snapshot, routes: Callable[[RouteTable], Iterable[Route]]
) -> Snapshot:
    return replace(
        snapshot,
        tables=tuple(
            replace(table, routes=tuple(routes(table)))
            if table.id == "rtb-1"
            else table
            for table in snapshot.tables
        ),
    )
