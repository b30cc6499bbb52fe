"""An account -> what the kernel is told: ports, routing tables, filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sandbox.wires import filters
from sandbox.wires.account import Account, Worker

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import RouteTypeDef

BLACKHOLE: Final = -1
LOCAL: Final = -2
"""Where a route leads, if not to a worker: nowhere, or to an address of the VPC."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Plain values, for JSON. A worker's port at the VPC's router has its index.

    Attributes:
        homes: the index of the routing table that each worker's packets are routed by.
        tables: the routes of each: destination, metric, and a port, `BLACKHOLE` or
            `LOCAL`.
        script: the filters, in nft's words.
    """

    workers: Sequence[Worker]
    homes: Sequence[int]
    tables: Sequence[Sequence[tuple[str, int, int]]]
    script: str


def layout(account: Account) -> Layout:
    """Follow the account.

    A worker's packets are routed by the table of its subnet: the one associated with
    it, or else the main one of the VPC (VPC User Guide, "Subnet route tables").
    """
    homes = {
        association.get("SubnetId", table["VpcId"]): number
        for number, table in enumerate(account.tables)
        for association in table["Associations"]
        if association["Main"] or "SubnetId" in association
    }
    return Layout(
        workers=account.workers,
        homes=[homes.get(one.subnet_id, homes[one.vpc_id]) for one in account.workers],
        tables=[
            [
                (*key, target)
                for key, target in _routes(account, table["Routes"]).items()
            ]
            for table in account.tables
        ],
        script=filters.script(account),
    )


def _routes(
    account: Account, routes: Sequence[RouteTypeDef]
) -> dict[tuple[str, int], int]:
    """Return destination and rank to target; the rank is the kernel's metric.

    VPC User Guide, "Route priority": longest prefix, static routes, prefix list routes,
    propagated routes; of two prefix lists with the same entry EC2 takes any. Where no
    pod is, out of the VPC or at an interface that is not laid, is a blackhole.
    """
    ports = {one.interface_id: n for n, one in enumerate(account.workers) if one.runs}
    found = {}
    for route in routes:
        own = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
        listed = account.prefix_lists.get(route.get("DestinationPrefixListId", ""), ())
        rank = 1 if own else 2
        if route["Origin"] not in {"CreateRoute", "CreateRouteTable"}:
            rank = 3
        target = BLACKHOLE
        if route.get("GatewayId") == "local":
            target = LOCAL
        elif route["State"] == "active":
            target = ports.get(route.get("NetworkInterfaceId", ""), BLACKHOLE)
        found.update({(each, rank): target for each in ([own] if own else listed)})
    return found
