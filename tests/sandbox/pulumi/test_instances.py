"""Instances of the stand-in behave as the Terraform AWS provider's do.

Calls, states and errors are read from `aws_instance` in terraform-provider-aws,
internal/service/ec2/ec2_instance.go.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.runtime.proto import provider_pb2, status_pb2

from routes.aws.clients import Clients
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Fault
from sandbox.pulumi.instances import InstanceProvider
from sandbox.pulumi.provider import Servicer
from sandbox.pulumi.resource import InitFailedError, ProviderError
from tests.sandbox.pulumi.conftest import UNKNOWN, Context, Engine, RefusedError, values

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

TYPE = "aws:ec2/instance:Instance"
USER_DATA = "name=worker-9|pod-cidr=10.200.9.0/24"
READ = ["DescribeInstances", "DescribeInstanceAttribute"]


@pytest.fixture
def engine(
    configured: Servicer, local_aws: Sandbox, ec2: EC2Client, lab: labs.Lab
) -> Iterator[Engine]:
    defaults = {
        "ami": "ami-12c6146b",
        "instanceType": "t3.medium",
        "subnetId": lab.subnet_id,
        "vpcSecurityGroupIds": [lab.security_group_id],
        "sourceDestCheck": False,
        "userData": USER_DATA,
        "tags": {"Name": "worker-9"},
    }
    yield Engine(provider=configured, local_aws=local_aws, type=TYPE, defaults=defaults)
    answer = ec2.describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
    )
    started = [each["Instances"][0]["InstanceId"] for each in answer["Reservations"]]
    for instance_id in set(started) - set(lab.workers.values()):
        ec2.terminate_instances(InstanceIds=[instance_id])


@pytest.fixture
def other_group(ec2: EC2Client, lab: labs.Lab) -> Iterator[str]:
    group_id = ec2.create_security_group(
        GroupName="other", Description="another one", VpcId=lab.vpc_id
    )["GroupId"]
    yield group_id
    ec2.delete_security_group(GroupId=group_id)


def described(ec2: EC2Client, instance_id: str) -> InstanceTypeDef:
    answer = ec2.describe_instances(InstanceIds=[instance_id])
    return answer["Reservations"][0]["Instances"][0]


def test_an_instance_is_started_with_the_real_providers_calls(
    engine: Engine, ec2: EC2Client, lab: labs.Lab
) -> None:
    engine.calls()

    created = engine.create()

    calls = ["RunInstances", "DescribeInstances", "ModifyInstanceAttribute", *READ]
    assert engine.calls() == calls
    instance = described(ec2, created.id)
    assert values(created.properties) == {
        "ami": "ami-12c6146b",
        "arn": f"arn:aws:ec2:us-east-1:123456789012:instance/{created.id}",
        "availabilityZone": instance["Placement"]["AvailabilityZone"],
        "instanceState": "running",
        "instanceType": "t3.medium",
        "primaryNetworkInterfaceId": labs.interface_of(ec2, created.id),
        "privateIp": instance["PrivateIpAddress"],
        "region": "us-east-1",
        "sourceDestCheck": False,
        "subnetId": lab.subnet_id,
        "tags": {"Name": "worker-9"},
        "userData": USER_DATA,
        "vpcSecurityGroupIds": [lab.security_group_id],
    }


@pytest.mark.parametrize("given", [None, True])
def test_a_source_dest_check_that_stays_is_not_modified(
    engine: Engine, given: object
) -> None:
    engine.calls()

    created = engine.create(sourceDestCheck=given)

    assert engine.calls() == ["RunInstances", "DescribeInstances", *READ]
    assert values(created.properties)["sourceDestCheck"] is True


def test_a_preview_makes_no_calls_and_has_unknown_outputs(engine: Engine) -> None:
    engine.calls()

    created = engine.create(preview=True)

    assert engine.calls() == []
    assert created.id == ""
    assert values(created.properties) == engine.inputs() | {
        "arn": UNKNOWN,
        "availabilityZone": UNKNOWN,
        "instanceState": UNKNOWN,
        "primaryNetworkInterfaceId": UNKNOWN,
        "privateIp": UNKNOWN,
    }


@pytest.mark.parametrize("key", ["keyName", "privateIp", "userDataReplaceOnChange"])
def test_another_input_is_refused_in_a_preview(engine: Engine, key: str) -> None:
    [reason] = engine.check(**{key: "x"})

    assert reason == (
        f"the sandbox's stand-in for the AWS provider does not serve {key!r}"
        f". Examine values at 'r.{key}'."
    )


def test_the_served_inputs_pass(engine: Engine) -> None:
    assert engine.check() == []
    assert engine.check(subnetId=UNKNOWN, vpcSecurityGroupIds=UNKNOWN) == []


def test_an_ec2_error_has_the_real_providers_message(engine: Engine) -> None:
    with pytest.raises(RefusedError) as error:
        engine.create(subnetId="subnet-0bad")

    assert str(error.value).startswith(
        "creating EC2 Instance: operation error EC2: RunInstances, https response error"
    )
    assert "api error InvalidSubnetID.NotFound" in str(error.value)


def test_an_instance_is_kept_in_the_state_if_a_later_step_fails(
    engine: Engine, ec2: EC2Client
) -> None:
    engine.inject(Fault(action="ModifyInstanceAttribute", code="UnauthorizedOperation"))
    context = Context()

    with pytest.raises(RefusedError, match="SourceDestCheck attribute: operation err"):
        engine.create(context)

    [(_, content)] = context.trailers
    kept = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(content).details[0].Unpack(kept)
    assert described(ec2, kept.id)["State"]["Name"] == "running"
    assert values(kept.inputs) == engine.inputs()


@pytest.mark.parametrize(
    ("key", "value", "replaces"),
    [
        pytest.param("ami", "ami-2", True, id="image"),
        pytest.param("subnetId", UNKNOWN, True, id="subnet"),
        pytest.param("instanceType", "t3.large", False, id="type"),
        pytest.param("userData", "name=x", False, id="user data"),
        pytest.param("sourceDestCheck", None, False, id="default check"),
        pytest.param("tags", None, False, id="no tags"),
        pytest.param("vpcSecurityGroupIds", ["sg-2"], False, id="groups"),
    ],
)
def test_only_another_image_or_subnet_replaces_the_instance(
    engine: Engine, key: str, value: object, *, replaces: bool
) -> None:
    answer = engine.diff(engine.inputs(), engine.inputs(**{key: value}))

    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.diffs) == [key]
    assert list(answer.replaces) == ([key] if replaces else [])


@pytest.mark.parametrize(
    ("olds", "news"),
    [
        pytest.param({}, {"subnetId": None}, id="subnet that EC2 has chosen"),
        pytest.param({}, {"vpcSecurityGroupIds": None}, id="groups that it has chosen"),
        pytest.param({}, {"userData": None}, id="user data left out"),
        pytest.param({"sourceDestCheck": True}, {"sourceDestCheck": None}, id="check"),
        pytest.param({"tags": {}}, {"tags": None}, id="no tags"),
        pytest.param(
            {"vpcSecurityGroupIds": ["sg-1", "sg-2"]},
            {"vpcSecurityGroupIds": ["sg-2", "sg-1"]},
            id="order of groups",
        ),
    ],
)
def test_what_comes_to_the_same_is_no_difference(
    engine: Engine, olds: dict[str, object], news: dict[str, object]
) -> None:
    answer = engine.diff(engine.inputs(**olds), engine.inputs(**news))

    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_outputs_are_no_difference(engine: Engine) -> None:
    created = engine.create()

    answer = engine.diff(values(created.properties), engine.inputs())

    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_tags_are_updated_in_place(engine: Engine, ec2: EC2Client) -> None:
    created = engine.create()
    engine.calls()

    updated = engine.update(resource_id=created.id, tags={"role": "worker"})

    assert engine.calls() == ["DeleteTags", "CreateTags", *READ]
    assert described(ec2, created.id)["Tags"] == [{"Key": "role", "Value": "worker"}]
    assert values(updated.properties)["tags"] == {"role": "worker"}


def test_a_tag_that_stays_is_not_written(engine: Engine) -> None:
    both = {"Name": "worker-9", "role": "worker"}
    engine.defaults = {**engine.defaults, "tags": both}
    created = engine.create()
    engine.calls()

    engine.update(resource_id=created.id, tags={"Name": "worker-9"})

    assert engine.calls() == ["DeleteTags", *READ]


def test_the_source_dest_check_is_updated_in_place(
    engine: Engine, ec2: EC2Client
) -> None:
    created = engine.create()
    engine.calls()

    updated = engine.update(resource_id=created.id, sourceDestCheck=None)

    assert engine.calls() == ["ModifyInstanceAttribute", *READ]
    assert described(ec2, created.id)["SourceDestCheck"] is True
    assert values(updated.properties)["sourceDestCheck"] is True


def test_security_groups_are_updated_in_place(
    engine: Engine, ec2: EC2Client, other_group: str
) -> None:
    created = engine.create()
    engine.calls()

    updated = engine.update(resource_id=created.id, vpcSecurityGroupIds=[other_group])

    assert engine.calls() == [
        "DescribeInstances",
        "ModifyNetworkInterfaceAttribute",
        *READ,
    ]
    groups = described(ec2, created.id)["SecurityGroups"]
    assert [group["GroupId"] for group in groups] == [other_group]
    assert values(updated.properties)["vpcSecurityGroupIds"] == [other_group]
    engine.delete(created.id)


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("key", ["instanceType", "userData"])
def test_an_update_that_would_stop_the_instance_is_refused(
    engine: Engine, key: str, *, preview: bool
) -> None:
    created = engine.create()
    change: dict[str, Any] = {key: "other"}
    engine.calls()

    with pytest.raises(RefusedError) as error:
        engine.update(resource_id=created.id, preview=preview, **change)

    assert str(error.value) == (
        f"the stand-in does not serve an update of {key!r}, for which the real"
        " provider stops the instance"
    )
    assert engine.calls() == []


def test_an_update_is_previewed_without_calls(engine: Engine) -> None:
    engine.calls()

    updated = engine.update(resource_id="i-1", preview=True, tags={"role": "worker"})

    assert engine.calls() == []
    assert values(updated.properties)["tags"] == {"role": "worker"}


def test_an_instance_is_terminated(engine: Engine, ec2: EC2Client) -> None:
    created = engine.create()
    engine.calls()

    engine.delete(created.id)

    assert engine.calls() == ["TerminateInstances", "DescribeInstances"]
    assert described(ec2, created.id)["State"]["Name"] == "terminated"


def test_a_terminated_instance_reads_as_nothing(engine: Engine) -> None:
    created = engine.create()
    engine.delete(created.id)

    assert engine.read(created.id, values(created.properties)).id == ""


def test_an_unknown_instance_is_deleted_and_reads_as_nothing(engine: Engine) -> None:
    engine.calls()

    engine.delete("i-0bad")

    assert engine.calls() == ["TerminateInstances"]
    assert engine.read("i-0bad", engine.inputs()).id == ""


def test_a_refresh_reads_what_somebody_has_changed(
    engine: Engine, ec2: EC2Client
) -> None:
    created = engine.create()
    ec2.modify_instance_attribute(
        InstanceId=created.id, SourceDestCheck={"Value": True}
    )

    instance = engine.read(created.id, values(created.properties))

    assert instance.id == created.id
    assert values(instance.properties)["sourceDestCheck"] is True


def test_an_import_has_the_served_inputs(engine: Engine) -> None:
    created = engine.create()

    assert values(engine.read(created.id).inputs) == engine.inputs()


class Launching:
    """An EC2 that launches an instance, and lists it in one state after the other."""

    class meta:  # noqa: N801 - boto3's name
        partition = "aws"

    def __init__(self, *states: str) -> None:
        self._states = list(states)

    def run_instances(self, **_: object) -> dict[str, Any]:
        return {"Instances": [{"InstanceId": "i-1"}]}

    def terminate_instances(self, **_: object) -> None:
        """Succeed."""

    def describe_instances(self, **_: object) -> dict[str, Any]:
        state = self._states.pop(0) if self._states[1:] else self._states[0]
        if not state:
            return {"Reservations": []}
        instance = {
            "ImageId": "ami-1",
            "InstanceType": "t3.medium",
            "Placement": {"AvailabilityZone": "us-east-1a"},
            "SecurityGroups": [],
            "State": {"Name": state},
        }
        return {"Reservations": [{"OwnerId": "1", "Instances": [instance]}]}

    def describe_instance_attribute(self, **_: object) -> dict[str, Any]:
        return {"UserData": {}}


def launching(
    *states: str, cancelled: threading.Event | None = None
) -> InstanceProvider:
    ec2: Any = Launching(*states)
    clients = Clients(stack="dev", region="us-east-1", ec2=ec2, sts=ec2)
    return InstanceProvider(clients, cancelled or threading.Event())


def test_an_instance_is_created_when_it_runs() -> None:
    provider = launching("", "pending", "running")

    instance_id, properties = provider.create({"ami": "ami-1"}, timeout=60)

    assert instance_id == "i-1"
    assert properties["instanceState"] == "running"
    assert properties["userData"] == ""


def test_a_launch_that_ends_in_another_state_fails_at_once() -> None:
    provider = launching("pending", "terminated")

    with pytest.raises(InitFailedError) as error:
        provider.create({"ami": "ami-1"}, timeout=60)

    assert str(error.value) == (
        "waiting for EC2 Instance (i-1) create: unexpected state 'terminated', wanted"
        " target 'running'"
    )


def test_waiting_for_a_launch_ends_at_the_timeout() -> None:
    with pytest.raises(
        InitFailedError, match=r"create: timeout while waiting, after 1"
    ):
        launching("pending").create({"ami": "ami-1"}, timeout=1)


@pytest.mark.parametrize("states", [("terminated",), ("shutting-down", "")])
def test_an_instance_is_deleted_when_it_is_terminated(states: tuple[str, ...]) -> None:
    launching(*states).delete("i-1", {}, timeout=60)


def test_waiting_for_a_termination_ends_at_the_timeout() -> None:
    with pytest.raises(ProviderError, match=r"\(i-1\) delete: timeout while waiting"):
        launching("shutting-down").delete("i-1", {}, timeout=1)


def test_a_cancelled_update_stops_waiting() -> None:
    cancelled = threading.Event()
    threading.Timer(0.1, cancelled.set).start()

    with pytest.raises(InitFailedError, match="context canceled"):
        launching("pending", cancelled=cancelled).create({"ami": "ami-1"}, timeout=60)
