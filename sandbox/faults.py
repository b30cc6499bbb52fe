"""Common faults of a cluster's routes, to inject and repair."""

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
"""The affected worker."""
_PODS: Final = pod_cidr(1)
_TAG: Final = "injected:"
_ALREADY_REPAIRED: Final = {"RouteAlreadyExists", "InvalidPermission.Duplicate"}
"""EC2's errors if somebody repaired it in another way."""
_RULE: Final = 50
"""Before the network ACL's first rule, which allows everything."""
_FROM_PODS: Final[IpPermissionTypeDef] = {
    "IpProtocol": "-1",
    "IpRanges": [{"CidrIp": POD_RANGE}],
}


@dataclass(frozen=True)
class Fault:
    """A fault: its description, and the calls that inject and repair it."""

    description: str
    inject: Callable[[EC2Client, Lab], object]
    repair: Callable[[EC2Client, Lab], object]


def _set_check(*, on: bool) -> Callable[[EC2Client, Lab], object]:
    return lambda ec2, lab: ec2.modify_instance_attribute(
        InstanceId=lab.workers[WORKER], SourceDestCheck={"Value": on}
    )


def _acl_of(ec2: EC2Client, lab: Lab) -> NetworkAclTypeDef:
    answer = ec2.describe_network_acls(
        Filters=[{"Name": "association.subnet-id", "Values": [lab.subnet_id]}]
    )
    return answer["NetworkAcls"][0]


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


FAULTS: Final[Mapping[str, Fault]] = {
    "route": Fault(
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
    "check": Fault(
        f"The source/destination check of {WORKER} is on.",
        _set_check(on=True),
        _set_check(on=False),
    ),
    "group": Fault(
        f"The workers' security group allows no packets from {POD_RANGE}, the pods.",
        lambda ec2, lab: ec2.revoke_security_group_ingress(
            GroupId=lab.security_group_id, IpPermissions=[_FROM_PODS]
        ),
        lambda ec2, lab: ec2.authorize_security_group_ingress(
            GroupId=lab.security_group_id, IpPermissions=[_FROM_PODS]
        ),
    ),
    "acl": Fault(
        f"The subnet's network ACL denies packets from {_PODS}, {WORKER}'s pods.",
        _deny,
        _allow,
    ),
    "worker": Fault(
        f"{WORKER} is stopped.",
        lambda ec2, lab: ec2.stop_instances(InstanceIds=[lab.workers[WORKER]]),
        lambda ec2, lab: ec2.start_instances(InstanceIds=[lab.workers[WORKER]]),
    ),
}


def inject(ec2: EC2Client, lab: Lab, name: str) -> None:
    """Inject a fault, and record it in a tag of the VPC.

    Raises:
        ClientError: it can't be injected, such as `route` before an update.
    """
    FAULTS[name].inject(ec2, lab)
    ec2.create_tags(Resources=[lab.vpc_id], Tags=[{"Key": _TAG + name, "Value": ""}])


def repair(ec2: EC2Client, lab: Lab) -> list[str]:
    """Repair the recorded faults, and return their names."""
    vpc = ec2.describe_vpcs(VpcIds=[lab.vpc_id])["Vpcs"][0]
    tags = [tag["Key"] for tag in vpc.get("Tags", []) if tag["Key"].startswith(_TAG)]
    for tag in tags:
        try:
            FAULTS[tag.removeprefix(_TAG)].repair(ec2, lab)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ALREADY_REPAIRED:
                raise
        ec2.delete_tags(Resources=[lab.vpc_id], Tags=[{"Key": tag}])
    return [tag.removeprefix(_TAG) for tag in tags]
