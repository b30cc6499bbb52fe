"""The resource aws:ec2/instance:Instance, with the inputs of a cluster's worker.

Calls, states and errors are those of aws_instance (terraform-provider-aws,
internal/service/ec2/ec2_instance.go), without the calls for other properties.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from sandbox.pulumi.resource import (
    STRING,
    InitFailedError,
    Properties,
    ProviderError,
    ResourceProvider,
    Timeouts,
    code,
    failing,
)

_LAUNCH: Final = {
    "ami": "ImageId",
    "instanceType": "InstanceType",
    "subnetId": "SubnetId",
    "userData": "UserData",
    "vpcSecurityGroupIds": "SecurityGroupIds",
}
"""The parameters of RunInstances. If one is absent, what EC2 has chosen stays."""


class InstanceProvider(ResourceProvider):
    """EC2 instances.

    "`user_data` no longer applies hashing and is now stored in clear text"
    (terraform-provider-aws, "Version 6 Upgrade Guide").
    """

    inputs = dict.fromkeys(_LAUNCH, STRING) | {
        "sourceDestCheck": {"type": "boolean"},
        "tags": {"type": "object", "additionalProperties": STRING},
        "vpcSecurityGroupIds": {"type": "array", "items": STRING},
    }
    outputs = (
        "arn",
        "availabilityZone",
        "instanceState",
        "primaryNetworkInterfaceId",
        "privateIp",
    )
    replacing = ("ami", "subnetId")
    stopping = ("instanceType", "userData")
    timeouts = Timeouts(create=600, update=600, delete=1200)

    def changed(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[str]:
        """Return the inputs in which the new ones differ from the state."""
        kept = {key: olds.get(key) for key in _LAUNCH if not news.get(key)}
        return super().changed(olds, {**news, **kept})

    def create(self, inputs: Properties, timeout: float) -> tuple[str, Properties]:
        """Start an instance and wait until it runs."""
        given = {name: inputs.get(key) for key, name in _LAUNCH.items()}
        request = {name: value for name, value in given.items() if value}
        if tags := inputs.get("tags"):
            specification = {"ResourceType": "instance", "Tags": _listed(tags)}
            request["TagSpecifications"] = [specification]
        with failing("creating EC2 Instance"):
            answer = self._ec2.run_instances(MinCount=1, MaxCount=1, **request)
        resource_id = answer["Instances"][0]["InstanceId"]
        try:
            with failing(f"waiting for EC2 Instance ({resource_id}) create"):
                self._wait(lambda: self._is_running(resource_id), timeout)
            if inputs.get("sourceDestCheck") is False:
                self._set_source_dest_check(resource_id, value=False)
            return resource_id, self._properties(resource_id)
        except ProviderError as error:
            raise InitFailedError(str(error), resource_id, inputs) from None

    def update(
        self, resource_id: str, olds: Properties, news: Properties, _timeout: float
    ) -> Properties:
        """Update the tags, the source/destination check and the security groups."""
        changed = self.changed(olds, news)
        if "tags" in changed:
            self._set_tags(resource_id, olds.get("tags") or {}, news.get("tags") or {})
        if "sourceDestCheck" in changed:
            value = news.get("sourceDestCheck") is not False
            self._set_source_dest_check(resource_id, value=value)
        if "vpcSecurityGroupIds" in changed:
            self._set_groups(resource_id, news["vpcSecurityGroupIds"])
        return self._properties(resource_id)

    def read(self, resource_id: str, _: Properties) -> tuple[str, Properties] | None:
        """Return an instance's id and properties, None if it's terminated."""
        with failing(f"reading EC2 Instance ({resource_id})"):
            instance = self._find(resource_id)
            if not instance or instance["State"]["Name"] == "terminated":
                return None
            answer = self._ec2.describe_instance_attribute(
                InstanceId=resource_id, Attribute="userData"
            )
        user_data = b64decode(answer["UserData"].get("Value", ""))
        partition = self._ec2.meta.partition
        owner = f"{partition}:ec2:{self._region}:{instance['OwnerId']}"
        return resource_id, {
            "ami": instance["ImageId"],
            "arn": f"arn:{owner}:instance/{resource_id}",
            "availabilityZone": instance["Placement"]["AvailabilityZone"],
            "instanceState": instance["State"]["Name"],
            "instanceType": instance["InstanceType"],
            "primaryNetworkInterfaceId": _primary(instance),
            "privateIp": instance.get("PrivateIpAddress", ""),
            "region": self._region,
            "sourceDestCheck": instance.get("SourceDestCheck", True),
            "subnetId": instance.get("SubnetId", ""),
            "tags": {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())},
            "userData": user_data.decode(errors="replace"),
            "vpcSecurityGroupIds": [
                group["GroupId"] for group in instance["SecurityGroups"]
            ],
        }

    def delete(self, resource_id: str, _: Properties, timeout: float) -> None:
        """Terminate an instance, if it still exists."""
        with failing(f"terminating EC2 Instance ({resource_id})"):
            try:
                self._ec2.terminate_instances(InstanceIds=[resource_id])
            except ClientError as error:
                if code(error) == "InvalidInstanceID.NotFound":
                    return
                raise
        with failing(f"waiting for EC2 Instance ({resource_id}) delete"):
            ends = {"", "terminated"}
            self._wait(lambda: self._state(resource_id) in ends, timeout)

    def _properties(self, resource_id: str) -> Properties:
        if found := self.read(resource_id, {}):
            return found[1]
        raise ProviderError(
            f"reading EC2 Instance ({resource_id}): couldn't find resource"
        )

    def _find(self, resource_id: str) -> dict[str, Any] | None:
        try:
            answer = self._ec2.describe_instances(InstanceIds=[resource_id])
        except ClientError as error:
            if code(error) == "InvalidInstanceID.NotFound":
                return None
            raise
        for reservation in answer["Reservations"]:
            for instance in reservation["Instances"]:
                return {**instance, "OwnerId": reservation["OwnerId"]}
        return None

    def _state(self, resource_id: str) -> str:
        """Return the instance's state, "" if EC2 doesn't list it."""
        instance = self._find(resource_id)
        return str(instance["State"]["Name"]) if instance else ""

    def _is_running(self, resource_id: str) -> bool:
        state = self._state(resource_id)
        if state not in {"", "pending", "running"}:
            raise ProviderError(
                f"waiting for EC2 Instance ({resource_id}) create: unexpected state"
                f" '{state}', wanted target 'running'"
            )
        return state == "running"

    def _set_source_dest_check(self, resource_id: str, *, value: bool) -> None:
        with failing(
            f"modifying EC2 Instance ({resource_id}) SourceDestCheck attribute"
        ):
            self._ec2.modify_instance_attribute(
                InstanceId=resource_id, SourceDestCheck={"Value": value}
            )

    def _set_groups(self, resource_id: str, groups: list[str]) -> None:
        with failing(f"reading EC2 Instance ({resource_id})"):
            interface = _primary(self._find(resource_id) or {})
        action = f"updating EC2 Instance ({resource_id})"
        with failing(f"{action}: modifying network interface"):
            self._ec2.modify_network_interface_attribute(
                NetworkInterfaceId=interface, Groups=groups
            )

    def _set_tags(
        self, resource_id: str, olds: Mapping[str, str], news: Mapping[str, str]
    ) -> None:
        """Delete tags, then create others (internal/service/ec2/tags_gen.go)."""
        removed = {key: value for key, value in olds.items() if key not in news}
        updated = {key: value for key, value in news.items() if olds.get(key) != value}
        with failing(
            f"updating tags for EC2 (Elastic Compute Cloud) Instance ({resource_id})"
        ):
            if removed:
                self._ec2.delete_tags(Resources=[resource_id], Tags=_listed(removed))
            if updated:
                self._ec2.create_tags(Resources=[resource_id], Tags=_listed(updated))

    def _comparable(self, properties: Mapping[str, Any], key: str) -> object:
        """Return a value in which absent and default, and sets in any order, agree."""
        value = properties.get(key)
        match key:
            case "sourceDestCheck":
                return value is None or value
            case "vpcSecurityGroupIds":
                return set(value or ())
            case _:
                return value or None


def _primary(instance: Mapping[str, Any]) -> str:
    """Return the id of the primary interface, "" if EC2 lists none."""
    ids = {
        each["Attachment"]["DeviceIndex"]: str(each["NetworkInterfaceId"])
        for each in instance.get("NetworkInterfaces", ())
    }
    return ids.get(0, "")


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
