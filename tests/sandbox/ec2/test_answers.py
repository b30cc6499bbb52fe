"""Incomplete, outdated and lost answers, as EC2 gives them at times."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError
from botocore.parsers import ResponseParserError

from sandbox import lab as labs
from sandbox.ec2.answers import LOGIN_PAGE
from sandbox.ec2.client import REGION, Sandbox
from sandbox.ec2.iam import ROOT_KEY
from sandbox.ec2.server import Control, Fault
from sandbox.lab import Lab, interface_of, pod_cidr, routes
from tests.sandbox.conftest import refused, route_all

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

POD_CIDRS = [pod_cidr(0), pod_cidr(1)]


def program(local_aws: Sandbox, attempts: int = 1, service: str = "ec2") -> Any:  # noqa: ANN401
    """Return a client to which faults apply, as to the program and the provider."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=local_aws.endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT_KEY,
        aws_secret_access_key="sandbox",
        config=Config(retries={"total_max_attempts": attempts}),
    )


def set_fault(local_aws: Sandbox, fault: Fault) -> None:
    local_aws.control(Control(faults=(fault,)))


def instances(client: EC2Client, **request: Any) -> dict[str, InstanceTypeDef]:  # noqa: ANN401
    answer = client.describe_instances(**request)
    rows = [row for each in answer["Reservations"] for row in each["Instances"]]
    return {row["InstanceId"]: row for row in rows}


def pod_routes(client: EC2Client, lab: Lab) -> dict[str, tuple[str | None, str]]:
    """Return the target and the state of each pod route."""
    return {
        destination: (route.get("NetworkInterfaceId"), route["State"])
        for destination, route in routes(client, lab.table_id).items()
        if destination in POD_CIDRS
    }


def test_an_instance_may_be_listed_without_its_interfaces(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    first, second = lab.workers.values()
    before = instances(ec2)
    set_fault(local_aws, Fault(action="DescribeInstances", bare=(first,)))

    for request in ({}, {"InstanceIds": [first, second]}):
        rows = instances(program(local_aws), **request)

        assert "NetworkInterfaces" not in rows[first]
        assert rows[first].items() <= before[first].items()
        assert rows[second] == before[second]


def test_the_interfaces_return_after_as_many_answers_as_the_fault_says(
    local_aws: Sandbox, lab: Lab
) -> None:
    first = lab.workers["worker-0"]
    set_fault(local_aws, Fault(action="DescribeInstances", bare=(first,), times=2))

    seen = [
        "NetworkInterfaces" in instances(program(local_aws))[first] for _ in range(3)
    ]

    assert seen == [False, False, True]


def test_an_instance_may_be_missing_from_every_answer(
    local_aws: Sandbox, lab: Lab
) -> None:
    first, second = lab.workers.values()
    set_fault(local_aws, Fault(action="DescribeInstances", unlisted=(first,)))
    by_id = {"Filters": [{"Name": "instance-id", "Values": [first, second]}]}

    for request in ({}, by_id, {"InstanceIds": [first, second]}):
        assert list(instances(program(local_aws), **request)) == [second]


def test_an_instance_that_a_list_lacks_may_be_found_by_its_id(
    local_aws: Sandbox, lab: Lab
) -> None:
    first, second = lab.workers.values()
    fault = Fault(action="DescribeInstances", unlisted=(first,), unless=first, times=2)
    set_fault(local_aws, fault)
    by_id = {"Filters": [{"Name": "instance-id", "Values": [first]}]}
    client = program(local_aws)

    assert list(instances(client)) == [second]
    assert list(instances(client, **by_id)) == [first]
    assert list(instances(client, InstanceIds=[first])) == [first]
    assert list(instances(client)) == [second]
    assert set(instances(client)) == {first, second}


def test_a_missing_instance_leaves_no_empty_reservation(
    local_aws: Sandbox, lab: Lab
) -> None:
    set_fault(
        local_aws,
        Fault(action="DescribeInstances", unlisted=tuple(lab.workers.values())),
    )

    assert program(local_aws).describe_instances()["Reservations"] == []


def test_a_page_may_lack_an_instance_and_the_next_pages_follow(
    local_aws: Sandbox, lab: Lab
) -> None:
    first, second = lab.workers.values()
    set_fault(local_aws, Fault(action="DescribeInstances", unlisted=(first,)))

    pages = program(local_aws).get_paginator("describe_instances")
    listed = list(pages.paginate(MaxResults=1).search("Reservations[].Instances[]"))

    assert [row["InstanceId"] for row in listed] == [second]


def test_a_call_may_be_carried_out_and_its_answer_lost(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    interface_id = interface_of(ec2, lab.workers["worker-0"])
    set_fault(local_aws, Fault(action="CreateRoute", lost=True, match=POD_CIDRS[0]))
    local_aws.clear_calls()

    with pytest.raises(ConnectionClosedError):
        program(local_aws).create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=POD_CIDRS[0],
            NetworkInterfaceId=interface_id,
        )

    assert [(call.action, call.status) for call in local_aws.calls()] == [
        ("CreateRoute", 0)
    ]
    assert pod_routes(ec2, lab) == {POD_CIDRS[0]: (interface_id, "active")}


def test_a_retry_after_a_lost_answer_fails_because_the_route_exists(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    interface_id = interface_of(ec2, lab.workers["worker-0"])
    set_fault(local_aws, Fault(action="CreateRoute", lost=True, times=1))

    with refused("RouteAlreadyExists"):
        program(local_aws, attempts=2).create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=POD_CIDRS[0],
            NetworkInterfaceId=interface_id,
        )


def test_route_tables_may_be_seconds_old(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    first, second = (interface_of(ec2, each) for each in lab.workers.values())
    target = {"RouteTableId": lab.table_id, "NetworkInterfaceId": first}
    client = program(local_aws)
    client.create_route(**target, DestinationCidrBlock=POD_CIDRS[0])
    set_fault(local_aws, Fault(action="DescribeRouteTables", stale=2))
    old = {POD_CIDRS[0]: (first, "active")}

    client.delete_route(RouteTableId=lab.table_id, DestinationCidrBlock=POD_CIDRS[0])
    client.create_route(**target, DestinationCidrBlock=POD_CIDRS[1])

    new = {POD_CIDRS[1]: (first, "active")}
    assert pod_routes(client, lab) == old
    assert pod_routes(ec2, lab) == new
    time.sleep(1)
    client.replace_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock=POD_CIDRS[1],
        NetworkInterfaceId=second,
    )
    assert pod_routes(client, lab) == old
    time.sleep(1.2)
    assert pod_routes(client, lab) == new
    time.sleep(1)
    assert pod_routes(client, lab) == {POD_CIDRS[1]: (second, "active")}


def test_the_state_of_a_stale_route_is_as_old_as_the_route(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    route_all(ec2, lab)
    set_fault(local_aws, Fault(action="DescribeRouteTables", stale=1))
    client = program(local_aws)
    before = routes(client, lab.table_id)

    ec2.terminate_instances(InstanceIds=list(lab.workers.values()))

    assert routes(client, lab.table_id) == before
    time.sleep(1.1)
    assert {state for _, state in pod_routes(client, lab).values()} == {"blackhole"}
    assert routes(client, lab.table_id) == routes(ec2, lab.table_id)


def test_only_as_many_answers_are_stale_as_the_fault_says(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    set_fault(local_aws, Fault(action="DescribeRouteTables", stale=60, times=1))
    client = program(local_aws)
    client.describe_vpcs()
    route_all(ec2, lab)

    assert [len(pod_routes(client, lab)) for _ in range(2)] == [0, 2]


def test_only_the_tables_that_match_are_stale(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    set_fault(
        local_aws, Fault(action="DescribeRouteTables", stale=60, match=lab.table_id)
    )
    other = labs.create_table(ec2, lab.vpc_id, "other")
    for table_id in (lab.table_id, other):
        ec2.create_route(
            RouteTableId=table_id,
            DestinationCidrBlock=POD_CIDRS[0],
            NetworkInterfaceId=interface_of(ec2, lab.workers["worker-0"]),
        )

    assert POD_CIDRS[0] not in routes(program(local_aws), lab.table_id)
    assert POD_CIDRS[0] in routes(program(local_aws), other)


def test_a_stale_answer_lacks_a_newer_table(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    set_fault(local_aws, Fault(action="DescribeRouteTables", stale=1))
    ec2.describe_vpcs()
    other = labs.create_table(ec2, lab.vpc_id, "other")

    def listed() -> set[str]:
        tables = program(local_aws).describe_route_tables()["RouteTables"]
        return {table["RouteTableId"] for table in tables}

    assert lab.table_id in listed()
    assert other not in listed()
    time.sleep(1.1)
    assert other in listed()


def test_the_history_ends_with_the_fault(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    stale = Fault(action="DescribeRouteTables", stale=60)
    set_fault(local_aws, stale)
    ec2.describe_vpcs()
    route_all(ec2, lab)
    local_aws.control(Control())
    set_fault(local_aws, stale)

    assert len(pod_routes(program(local_aws), lab)) == 2


@pytest.mark.parametrize(
    ("service", "call"), [("ec2", "describe_vpcs"), ("sts", "get_caller_identity")]
)
def test_a_proxys_page_may_replace_the_answer(
    local_aws: Sandbox, service: str, call: str
) -> None:
    set_fault(local_aws, Fault(action="*", html=LOGIN_PAGE))

    with pytest.raises(ResponseParserError):
        getattr(program(local_aws, service=service), call)()

    assert [call.status for call in local_aws.calls()] == [200]


def test_a_proxys_page_of_well_formed_xml_is_an_empty_answer(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    set_fault(local_aws, Fault(action="*", html="<html><body>Sign in</body></html>"))
    client = program(local_aws)

    assert not client.describe_route_tables().get("RouteTables")
    client.delete_route(RouteTableId=lab.table_id, DestinationCidrBlock="0.0.0.0/0")

    assert "0.0.0.0/0" in routes(ec2, lab.table_id)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(action="*", code="InternalError", status=500),
        Fault(action="*", reset=True),
        Fault(action="*", lost=True),
        Fault(action="*", html=LOGIN_PAGE),
    ],
    ids=["error", "reset", "lost", "html"],
)
def test_no_fault_applies_to_a_tests_own_client(
    local_aws: Sandbox, fault: Fault
) -> None:
    set_fault(local_aws, fault)

    assert local_aws.client("ec2").describe_vpcs()["Vpcs"]


def test_faults_of_answers_work_with_throttling_latency_and_rights(
    local_aws: Sandbox, ec2: EC2Client, lab: Lab
) -> None:
    first, second = lab.workers.values()
    interface_id = interface_of(ec2, first)
    faults = (
        Fault(action="DescribeInstances", unlisted=(first,), bare=(second,)),
        Fault(action="DescribeRouteTables", stale=60),
        Fault(action="CreateRoute", lost=True, delay=0.1),
        Fault(action="DescribeSubnets", html=LOGIN_PAGE),
    )
    control = Control(faults=faults, throttle=True, latency=0.05, iam=True)
    local_aws.control(control)
    client = program(local_aws)
    started = time.monotonic()

    with pytest.raises(ConnectionClosedError):
        client.create_route(
            RouteTableId=lab.table_id,
            DestinationCidrBlock=POD_CIDRS[0],
            NetworkInterfaceId=interface_id,
        )
    assert time.monotonic() - started >= 0.15
    assert pod_routes(client, lab) == {}
    assert pod_routes(ec2, lab) == {POD_CIDRS[0]: (interface_id, "active")}
    rows = instances(client)
    assert list(rows) == [second]
    assert "NetworkInterfaces" not in rows[second]
    with pytest.raises(ResponseParserError):
        client.describe_subnets()
    with refused("RequestLimitExceeded"):
        for _ in range(60):
            client.start_instances(InstanceIds=[])
