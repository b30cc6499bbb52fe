"""Read the workers, and everything that decides about their pods' packets."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        InstanceTypeDef,
        NetworkAclTypeDef,
        RouteTableTypeDef,
        SecurityGroupTypeDef,
    )


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A live instance with pod CIDRs in its user data, and its primary interface."""

    id: str
    name: str
    is_running: bool
    vpc_id: str
    interface_id: str
    subnet_id: str
    addresses: Sequence[str]
    group_ids: Sequence[str]
    source_dest_check: bool
    pod_cidrs: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Account:
    """The workers, and EC2's answers about the rest.

    Attributes:
        prefix_lists: the CIDRs of each list that a route or a group's rule names.
    """

    workers: Sequence[Worker]
    tables: Sequence[RouteTableTypeDef]
    acls: Sequence[NetworkAclTypeDef]
    groups: Sequence[SecurityGroupTypeDef]
    prefix_lists: Mapping[str, Sequence[str]]


def read(ec2: EC2Client) -> Account:
    """Read the account, with one call more for each instance and prefix list."""
    tables = ec2.describe_route_tables()["RouteTables"]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    rules = [
        rule
        for group in groups
        for rule in (*group["IpPermissions"], *group["IpPermissionsEgress"])
    ]
    list_ids = {row["PrefixListId"] for rule in rules for row in rule["PrefixListIds"]}
    list_ids |= {
        route["DestinationPrefixListId"]
        for table in tables
        for route in table["Routes"]
        if "DestinationPrefixListId" in route
    }
    return Account(
        workers=sorted(_workers(ec2), key=_in_address_order),
        tables=tables,
        acls=ec2.describe_network_acls()["NetworkAcls"],
        groups=groups,
        prefix_lists={list_id: _entries(ec2, list_id) for list_id in list_ids},
    )


def _entries(ec2: EC2Client, list_id: str) -> list[str]:
    answer = ec2.get_managed_prefix_list_entries(PrefixListId=list_id)
    return [entry["Cidr"] for entry in answer["Entries"]]


def _workers(ec2: EC2Client) -> Iterator[Worker]:
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] == "terminated":
                continue
            answer = ec2.describe_instance_attribute(
                InstanceId=instance["InstanceId"], Attribute="userData"
            )
            data = base64.b64decode(answer["UserData"].get("Value", ""))
            if match := re.search(rb"(?:^|[|\n])pod-cidr=([^=|\s]+)", data):
                yield _worker(instance, match[1].decode().split(","))


def _worker(instance: InstanceTypeDef, pod_cidrs: Sequence[str]) -> Worker:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    (primary,) = (
        interface
        for interface in instance["NetworkInterfaces"]
        if interface["Attachment"]["DeviceIndex"] == 0
    )
    four = (address["PrivateIpAddress"] for address in primary["PrivateIpAddresses"])
    six = (address["Ipv6Address"] for address in primary["Ipv6Addresses"])
    return Worker(
        id=instance["InstanceId"],
        name=tags.get("Name", instance["InstanceId"]),
        is_running=instance["State"]["Name"] == "running",
        vpc_id=primary["VpcId"],
        interface_id=primary["NetworkInterfaceId"],
        subnet_id=primary["SubnetId"],
        addresses=[*four, *six],
        group_ids=sorted(group["GroupId"] for group in primary["Groups"]),
        source_dest_check=primary["SourceDestCheck"],
        pod_cidrs=pod_cidrs,
    )


def _in_address_order(worker: Worker) -> tuple[int, int, str]:
    first = ip_network(worker.pod_cidrs[0])
    return first.version, int(first.network_address), worker.id
