"""What goes wrong with a cluster's routes, done on purpose, and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from sandbox.lab import POD_RANGE, Lab, interface_of, pod_cidr

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef, NetworkAclTypeDef

WORKER: Final = "worker-1"
"""The one to whom it happens."""
_PODS: Final = pod_cidr(1)
_TAG: Final = "broken:"
_MENDED: Final = {"RouteAlreadyExists", "InvalidPermission.Duplicate"}
"""What EC2 answers where somebody mended it by another way."""
_RULE: Final = 50
"""Before the network ACL's first rule, which lets all in."""
_FROM_PODS: Final[IpPermissionTypeDef] = {
    "IpProtocol": "-1",
    "IpRanges": [{"CidrIp": POD_RANGE}],
}


@dataclass(frozen=True)
class Mishap:
    """One thing to break: what to say of it, how it is done, how undone."""

    says: str
    do: Callable[[EC2Client, Lab], object]
    undo: Callable[[EC2Client, Lab], object]


def _check(*, on: bool) -> Callable[[EC2Client, Lab], object]:
    return lambda ec2, lab: ec2.modify_instance_attribute(
        InstanceId=lab.workers[WORKER], SourceDestCheck={"Value": on}
    )


def _acl_of(ec2: EC2Client, lab: Lab) -> NetworkAclTypeDef:
    found = ec2.describe_network_acls(
        Filters=[{"Name": "association.subnet-id", "Values": [lab.subnet_id]}]
    )
    return found["NetworkAcls"][0]


def _deny(ec2: EC2Client, lab: Lab) -> None:
    ec2.create_network_acl_entry(
        NetworkAclId=_acl_of(ec2, lab)["NetworkAclId"],
        RuleNumber=_RULE,
        RuleAction="deny",
        Protocol="-1",
        CidrBlock=_PODS,
        Egress=False,
    )


def _allow(ec2: EC2Client, lab: Lab) -> None:
    acl = _acl_of(ec2, lab)
    if any(entry["RuleNumber"] == _RULE for entry in acl["Entries"]):
        ec2.delete_network_acl_entry(
            NetworkAclId=acl["NetworkAclId"], RuleNumber=_RULE, Egress=False
        )


MISHAPS: Final[Mapping[str, Mishap]] = {
    "route": Mishap(
        f"The route to {_PODS}, {WORKER}'s pods, is deleted.",
        lambda ec2, lab: ec2.delete_route(
            RouteTableId=lab.table_id, DestinationCidrBlock=_PODS
        ),
        lambda ec2, lab: ec2.create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=_PODS,
            NetworkInterfaceId=interface_of(ec2, lab.workers[WORKER]),
        ),
    ),
    "check": Mishap(
        f"The source/destination check of {WORKER} is on.",
        _check(on=True),
        _check(on=False),
    ),
    "group": Mishap(
        f"The workers' security group lets no packet in from {POD_RANGE}, the pods.",
        lambda ec2, lab: ec2.revoke_security_group_ingress(
            GroupId=lab.security_group_id, IpPermissions=[_FROM_PODS]
        ),
        lambda ec2, lab: ec2.authorize_security_group_ingress(
            GroupId=lab.security_group_id, IpPermissions=[_FROM_PODS]
        ),
    ),
    "acl": Mishap(
        f"The subnet's network ACL denies what comes from {_PODS}, {WORKER}'s pods.",
        _deny,
        _allow,
    ),
    "worker": Mishap(
        f"{WORKER} is stopped.",
        lambda ec2, lab: ec2.stop_instances(InstanceIds=[lab.workers[WORKER]]),
        lambda ec2, lab: ec2.start_instances(InstanceIds=[lab.workers[WORKER]]),
    ),
}


def break_(ec2: EC2Client, lab: Lab, what: str) -> None:
    """Do one mishap, and remember it in a tag of the VPC.

    Raises:
        ClientError: there is nothing to break, such as no route before an update.
    """
    MISHAPS[what].do(ec2, lab)
    ec2.create_tags(Resources=[lab.vpc_id], Tags=[{"Key": _TAG + what, "Value": ""}])


def mend(ec2: EC2Client, lab: Lab) -> list[str]:
    """Undo what was broken and is not mended yet, and return its names."""
    vpc = ec2.describe_vpcs(VpcIds=[lab.vpc_id])["Vpcs"][0]
    tags = [tag["Key"] for tag in vpc.get("Tags", []) if tag["Key"].startswith(_TAG)]
    for tag in tags:
        try:
            MISHAPS[tag.removeprefix(_TAG)].undo(ec2, lab)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _MENDED:
                raise
        ec2.delete_tags(Resources=[lab.vpc_id], Tags=[{"Key": tag}])
    return [tag.removeprefix(_TAG) for tag in tags]
