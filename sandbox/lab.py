"""The lab: one VPC, one route table, N workers, no pod routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import RouteTypeDef, TagTypeDef

Routes: TypeAlias = "dict[str, RouteTypeDef]"

POD_RANGE: Final = "10.200.0.0/16"
_FIRST_ADDRESS: Final = IPv4Address("10.0.1.20")
_AT_ONCE: Final = 8
"""The number of workers that are started at the same time."""


@dataclass(frozen=True, kw_only=True)
class Lab:
    """The ids of the lab's resources; workers by name."""

    vpc_id: str
    subnet_id: str
    gateway_id: str
    security_group_id: str
    table_id: str
    workers: Mapping[str, str]


def pod_cidr(index: int) -> str:
    """Return the pod CIDR of worker number `index`: 10.200.0.0/24, 10.200.1.0/24 ..."""
    return f"{IPv4Address('10.200.0.0') + 256 * index}/24"


def user_data(index: int) -> str:
    """Return the user data of worker number `index`."""
    return f"name=worker-{index}|pod-cidr={pod_cidr(index)}"


def create_lab(
    ec2: EC2Client,
    workers: int = 3,
    user_data: Callable[[int], str] = user_data,
    tags: Mapping[str, str] | None = None,
) -> Lab:
    """Create the lab in an empty account, with up to 1,000 workers."""
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/18")["Subnet"]
    gateway_id = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    table_id = create_table(ec2, vpc_id, "kubernetes")
    ec2.create_route(
        RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id
    )
    ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet["SubnetId"])
    group_id = ec2.create_security_group(
        GroupName="kubernetes", Description="the lab's nodes", VpcId=vpc_id
    )["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group_id,
        IpPermissions=[
            {"IpProtocol": "-1", "IpRanges": [{"CidrIp": block}]}
            for block in ("10.0.0.0/16", POD_RANGE)
        ],
    )
    lab = Lab(
        vpc_id=vpc_id,
        subnet_id=subnet["SubnetId"],
        gateway_id=gateway_id,
        security_group_id=group_id,
        table_id=table_id,
        workers={},
    )
    names = [f"worker-{index}" for index in range(workers)]

    def start(index: int) -> str:
        return add_worker(
            ec2,
            lab,
            names[index],
            address=str(_FIRST_ADDRESS + index),
            user_data=user_data(index),
            tags=tags,
        )

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        started = dict(zip(names, pool.map(start, range(workers)), strict=True))
    return replace(lab, workers=started)


def create_spread_lab(ec2: EC2Client) -> Lab:
    """Create the lab with its last worker in another subnet, so that ACLs matter."""
    lab = create_lab(ec2, workers=2)
    answer = ec2.create_subnet(VpcId=lab.vpc_id, CidrBlock="10.0.64.0/18")
    subnet_id = answer["Subnet"]["SubnetId"]
    ec2.associate_route_table(RouteTableId=lab.table_id, SubnetId=subnet_id)
    last = add_worker(
        ec2,
        replace(lab, subnet_id=subnet_id),
        "worker-2",
        address="10.0.64.22",
        user_data=user_data(2),
    )
    return replace(lab, workers={**lab.workers, "worker-2": last})


def create_table(ec2: EC2Client, vpc_id: str, name: str) -> str:
    """Create a route table and return its id."""
    table_id = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.create_tags(Resources=[table_id], Tags=[{"Key": "Name", "Value": name}])
    return table_id


def add_worker(  # noqa: PLR0913 - what differs between workers
    ec2: EC2Client,
    lab: Lab,
    name: str,
    *,
    address: str,
    user_data: str = "",
    tags: Mapping[str, str] | None = None,
    source_dest_check: bool = False,
) -> str:
    """Start one more worker in the lab and return its instance id."""
    all_tags: list[TagTypeDef] = [{"Key": "Name", "Value": name}]
    all_tags += [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    instance_id = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=lab.subnet_id,
        PrivateIpAddress=address,
        SecurityGroupIds=[lab.security_group_id],
        UserData=user_data,
        TagSpecifications=[{"ResourceType": "instance", "Tags": all_tags}],
    )["Instances"][0]["InstanceId"]
    if not source_dest_check:
        ec2.modify_instance_attribute(
            InstanceId=instance_id, SourceDestCheck={"Value": False}
        )
    return instance_id


def interface_of(ec2: EC2Client, instance_id: str) -> str:
    """Return the id of an instance's primary network interface."""
    answer = ec2.describe_instances(InstanceIds=[instance_id])
    instance = answer["Reservations"][0]["Instances"][0]
    return instance["NetworkInterfaces"][0]["NetworkInterfaceId"]


def routes(ec2: EC2Client, table_id: str) -> Routes:
    """Return a table's entries by destination, sorted."""
    table = ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"][0]
    entries: dict[str, Any] = {}
    for route in table["Routes"]:
        destination = (
            route.get("DestinationCidrBlock")
            or route.get("DestinationIpv6CidrBlock")
            or route.get("DestinationPrefixListId")
        )
        entries[str(destination)] = route
    return dict(sorted(entries.items()))
