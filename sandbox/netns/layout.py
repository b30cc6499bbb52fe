"""Translate an account to routing tables and filters of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sandbox.netns import filters
from sandbox.netns.account import Account, Worker

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import RouteTypeDef

BLACKHOLE: Final = -1
LOCAL: Final = -2
"""Targets that aren't workers: none, and an address of the VPC."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Plain values, for JSON. Workers are referred to by their index.

    Attributes:
        tables: the routes of each table: destination, metric, and a worker, `BLACKHOLE`
            or `LOCAL`.
        table_of: the index of the table for each worker's packets.
        ruleset: the filters, for nft.
    """

    workers: Sequence[Worker]
    tables: Sequence[Sequence[tuple[str, int, int]]]
    table_of: Sequence[int]
    ruleset: str


def layout(account: Account) -> Layout:
    """Return the layout of an account.

    A worker's packets are routed by the table of its subnet: the one associated with
    it, or else the main one of the VPC (VPC User Guide, "Subnet route tables").
    """
    numbers = {
        association.get("SubnetId", table["VpcId"]): number
        for number, table in enumerate(account.tables)
        for association in table["Associations"]
        if association["Main"] or "SubnetId" in association
    }
    return Layout(
        workers=account.workers,
        tables=[_routes(account, table["Routes"]) for table in account.tables],
        table_of=[
            numbers.get(worker.subnet_id, numbers[worker.vpc_id])
            for worker in account.workers
        ],
        ruleset=filters.ruleset(account),
    )


def _routes(
    account: Account, routes: Sequence[RouteTypeDef]
) -> list[tuple[str, int, int]]:
    """Return destination, rank and target; the rank is the kernel's metric.

    VPC User Guide, "Route priority": longest prefix, static routes, prefix list routes,
    propagated routes; of two prefix lists with the same entry EC2 takes any. A target
    without pods, such as a gateway or another interface, is a blackhole.
    """
    workers = {w.interface_id: n for n, w in enumerate(account.workers) if w.is_running}
    targets: dict[tuple[str, int], int] = {}
    for route in routes:
        cidr = route.get("DestinationCidrBlock") or route.get(
            "DestinationIpv6CidrBlock"
        )
        listed = account.prefix_lists.get(route.get("DestinationPrefixListId", ""), ())
        rank = 1 if cidr else 2
        if route["Origin"] not in {"CreateRoute", "CreateRouteTable"}:
            rank = 3
        target = BLACKHOLE
        if route.get("GatewayId") == "local":
            target = LOCAL
        elif route["State"] == "active":
            target = workers.get(route.get("NetworkInterfaceId", ""), BLACKHOLE)
        targets |= {(each, rank): target for each in ([cidr] if cidr else listed)}
    return [(*key, target) for key, target in targets.items()]
