"""The lookup of route tables and workers: in bulk, concurrently, live ones only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING, Final

from routes import session, userdata
from routes.errors import UserDataError
from routes.model import (
    Discovery,
    Interface,
    Network,
    Route,
    RouteTable,
    Selector,
    Vpc,
    Worker,
)
from routes.session import POOL_SIZE, Access, Clients, explained
from routes.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        FilterTypeDef,
        InstanceNetworkInterfaceTypeDef,
        InstanceTypeDef,
        RouteTableTypeDef,
        RouteTypeDef,
        SubnetTypeDef,
        VpcTypeDef,
    )

LIVE: Final = ["pending", "running", "stopping", "stopped"]
"""The states of an instance that is not terminated, nor about to be."""
FILTER_VALUES: Final = 200
"""The most filter values in one call, of all filters together: beyond it EC2 answers
FilterLimitExceeded."""
_PAGE: Final = 1000
"""The most instances in one answer (EC2 API Reference, "DescribeInstances")."""
_TARGETS: Final = (
    "NetworkInterfaceId",
    "InstanceId",
    "GatewayId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
    "OdbNetworkArn",
    "IpAddress",
)
"""Where DescribeRouteTables names a route's target; an instance's has two of them."""


def look_up(access: Access, settings: Settings) -> Discovery:
    """Connect to the region that the provider uses, and discover.

    Raises:
        LookupFailedError: a call failed for good, or there is no region.
    """
    return discover(session.connect(access, session.region_of(access)), settings)


def discover(clients: Clients, settings: Settings) -> Discovery:
    """Return everything that the plan needs to know.

    The calls: GetCallerIdentity, DescribeRouteTables, DescribeVpcs, DescribeInstances,
    and one DescribeInstanceAttribute per worker whose user data is read. Ids and Name
    tags cannot be asked for in one request, so a mixture of them costs one call more.

    Raises:
        LookupFailedError: a call failed for good.
    """
    pool = ThreadPoolExecutor(POOL_SIZE)
    try:
        account = pool.submit(_account, clients)
        tables = _tables(clients, pool, settings.route_tables)
        found = [table for matches in tables.values() for table in matches]
        vpc_ids = sorted({table.vpc_id for table in found})
        vpcs = pool.submit(_vpcs, clients, vpc_ids)
        lists = _prefix_list_ids(found) if settings.route_quota else []
        sizes = pool.submit(_prefix_lists, clients, lists)
        workers: Mapping[Selector, tuple[Worker, ...]] = {}
        unreadable: Mapping[str, str] = {}
        if len(vpc_ids) == 1:
            workers, unreadable = _workers(clients, pool, settings, vpc_ids[0])
        return Discovery(
            account=account.result(),
            region=clients.region,
            tables=tables,
            vpcs=vpcs.result(),
            workers=workers,
            unreadable=unreadable,
            prefix_lists=sizes.result(),
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _account(clients: Clients) -> str:
    with explained("GetCallerIdentity", clients.region):
        return clients.sts.get_caller_identity()["Account"]


def _selections(
    selectors: Iterable[Selector], id_filter: str, common: Sequence[FilterTypeDef] = ()
) -> Iterator[list[FilterTypeDef]]:
    """Yield the filters of each request: one kind of entry, and as many as it takes."""
    room = FILTER_VALUES - sum(len(each.get("Values", [])) for each in common)
    ids = [selector.text for selector in selectors if selector.is_id]
    names = [selector.filter_value for selector in selectors if not selector.is_id]
    for name, values in ((id_filter, ids), ("tag:Name", names)):
        for start in range(0, len(values), room):
            yield [{"Name": name, "Values": values[start : start + room]}, *common]


def name(thing: InstanceTypeDef | RouteTableTypeDef | SubnetTypeDef) -> str:
    """Return the Name tag, "" where there is none."""
    return _tags(thing).get("Name", "")


def _tags(thing: InstanceTypeDef | RouteTableTypeDef | SubnetTypeDef) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}


def _tables(
    clients: Clients, pool: Executor, selectors: Sequence[Selector]
) -> dict[Selector, tuple[RouteTable, ...]]:
    def request(filters: list[FilterTypeDef]) -> list[RouteTable]:
        paginator = clients.ec2.get_paginator("describe_route_tables")
        with explained("DescribeRouteTables", clients.region):
            pages = [*paginator.paginate(Filters=filters)]
        return [route_table(table) for page in pages for table in page["RouteTables"]]

    selections = _selections(selectors, "route-table-id")
    found = {
        table.id: table for part in pool.map(request, selections) for table in part
    }
    return {
        selector: tuple(
            table
            for table in found.values()
            if selector.selects(id=table.id, name=table.name)
        )
        for selector in selectors
    }


def route_table(table: RouteTableTypeDef) -> RouteTable:
    """Return a table, its entries and associations as EC2 answers them."""
    associations = [
        association
        for association in table.get("Associations", [])
        if association.get("AssociationState", {}).get("State", "associated")
        in {"associating", "associated"}
    ]
    return RouteTable(
        id=table["RouteTableId"],
        name=name(table),
        vpc_id=table["VpcId"],
        routes=tuple(_route(route) for route in table.get("Routes", [])),
        main=any(association.get("Main", False) for association in associations),
        subnet_ids=tuple(
            association["SubnetId"]
            for association in associations
            if "SubnetId" in association
        ),
    )


def _route(route: RouteTypeDef) -> Route:
    destination: Network | str = route.get("DestinationPrefixListId", "")
    cidr = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
    if cidr:
        destination = ip_network(cidr)
    return Route(
        destination=destination,
        target=next((str(route[key]) for key in _TARGETS if route.get(key)), ""),
        instance_id=route.get("InstanceId"),
        state=route.get("State", "active"),
        origin=route.get("Origin", "CreateRoute"),
    )


def _vpcs(clients: Clients, vpc_ids: Sequence[str]) -> tuple[Vpc, ...]:
    if not vpc_ids:
        return ()
    with explained("DescribeVpcs", clients.region):
        answer = clients.ec2.describe_vpcs(
            Filters=[{"Name": "vpc-id", "Values": vpc_ids}]
        )
    return tuple(_vpc(vpc) for vpc in answer["Vpcs"])


def _vpc(vpc: VpcTypeDef) -> Vpc:
    blocks = {vpc["CidrBlock"]}
    for one in vpc.get("CidrBlockAssociationSet", []):
        if one["CidrBlockState"]["State"] in {"associated", "associating"}:
            blocks.add(one["CidrBlock"])
    for six in vpc.get("Ipv6CidrBlockAssociationSet", []):
        if six["Ipv6CidrBlockState"]["State"] in {"associated", "associating"}:
            blocks.add(six["Ipv6CidrBlock"])
    return Vpc(
        id=vpc["VpcId"], cidrs=tuple(ip_network(cidr) for cidr in sorted(blocks))
    )


def _prefix_list_ids(tables: Iterable[RouteTable]) -> list[str]:
    destinations = {route.destination for table in tables for route in table.routes}
    return sorted(d for d in destinations if isinstance(d, str) and d)


def _prefix_lists(clients: Clients, lists: Sequence[str]) -> dict[str, tuple[str, int]]:
    if not lists:
        return {}
    with explained("DescribeManagedPrefixLists", clients.region):
        answer = clients.ec2.describe_managed_prefix_lists(PrefixListIds=lists)
    return {
        found["PrefixListId"]: (found["AddressFamily"], found.get("MaxEntries", 1))
        for found in answer["PrefixLists"]
    }


def _workers(
    clients: Clients, pool: Executor, settings: Settings, vpc_id: str
) -> tuple[dict[Selector, tuple[Worker, ...]], dict[str, str]]:
    """Return what each entry of `workers` matches, and whose pod CIDRs are unreadable.

    The pod CIDRs of namesakes are not read: their entry is refused anyway.
    """
    instances = _instances(clients, pool, settings, vpc_id)
    matches = {
        selector: [
            instance
            for instance in instances
            if selector.selects(id=instance["InstanceId"], name=name(instance))
        ]
        for selector in settings.workers
    }
    chosen = {
        instance["InstanceId"]: instance
        for selector, found in matches.items()
        if selector.is_pattern or len(found) == 1
        for instance in found
    }
    readings = dict(
        zip(
            chosen,
            pool.map(lambda one: _pod_cidrs(clients, settings, one), chosen.values()),
            strict=True,
        )
    )
    unreadable = {
        instance_id: reading
        for instance_id, reading in readings.items()
        if isinstance(reading, str)
    }
    workers = {
        selector: tuple(
            _worker(instance, readings.get(instance["InstanceId"], ""))
            for instance in found
        )
        for selector, found in matches.items()
    }
    return workers, unreadable


def _instances(
    clients: Clients, pool: Executor, settings: Settings, vpc_id: str
) -> list[InstanceTypeDef]:
    common: list[FilterTypeDef] = [
        {"Name": "vpc-id", "Values": [vpc_id]},
        {"Name": "instance-state-name", "Values": LIVE},
    ]
    for key, value in settings.worker_tags.items():
        common.append({"Name": f"tag:{key}", "Values": [Selector(value).filter_value]})

    def request(filters: list[FilterTypeDef]) -> list[InstanceTypeDef]:
        paginator = clients.ec2.get_paginator("describe_instances")
        with explained("DescribeInstances", clients.region):
            pages = paginator.paginate(
                Filters=filters, PaginationConfig={"PageSize": _PAGE}
            )
            return [
                instance
                for page in pages
                for reservation in page["Reservations"]
                for instance in reservation["Instances"]
            ]

    selections = _selections(settings.workers, "instance-id", common)
    found = {
        instance["InstanceId"]: instance
        for part in pool.map(request, selections)
        for instance in part
        if settings.worker_tags.items() <= _tags(instance).items()
    }
    return sorted(found.values(), key=lambda instance: instance["InstanceId"])


def _pod_cidrs(
    clients: Clients, settings: Settings, instance: InstanceTypeDef
) -> tuple[Network, ...] | str:
    """Return a worker's pod CIDRs, or the reason why there are none."""
    key = settings.pod_cidr_key
    try:
        if settings.pod_cidr_from == "tag":
            return userdata.from_tag(_tags(instance).get(key), key)
        return userdata.from_user_data(_user_data(clients, instance), key)
    except UserDataError as error:
        return str(error)


def _user_data(clients: Clients, instance: InstanceTypeDef) -> str:
    with explained("DescribeInstanceAttribute", clients.region):
        answer = clients.ec2.describe_instance_attribute(
            InstanceId=instance["InstanceId"], Attribute="userData"
        )
    return answer.get("UserData", {}).get("Value", "")


def _worker(instance: InstanceTypeDef, reading: tuple[Network, ...] | str) -> Worker:
    address = instance.get("PrivateIpAddress")
    return Worker(
        name=name(instance) or instance["InstanceId"],
        instance_id=instance["InstanceId"],
        state=instance["State"]["Name"],
        availability_zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        launch_time=instance["LaunchTime"],
        private_ip=IPv4Address(address) if address else None,
        interface=_primary_interface(instance.get("NetworkInterfaces", [])),
        pod_cidrs=() if isinstance(reading, str) else reading,
    )


def _primary_interface(
    interfaces: Iterable[InstanceNetworkInterfaceTypeDef],
) -> Interface | None:
    for interface in interfaces:
        attachment = interface.get("Attachment", {})
        if (
            attachment.get("DeviceIndex") == 0
            and attachment.get("NetworkCardIndex", 0) == 0
            and attachment.get("Status") in {"attaching", "attached"}
        ):
            return Interface(
                id=interface["NetworkInterfaceId"],
                subnet_id=interface.get("SubnetId", ""),
                source_dest_check=interface.get("SourceDestCheck", True),
                security_group_ids=tuple(
                    group["GroupId"] for group in interface.get("Groups", [])
                ),
            )
    return None
