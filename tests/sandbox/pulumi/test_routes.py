"""Routes of the stand-in behave as the Terraform AWS provider's do.

Ids, calls and errors are those of `aws_route` in terraform-provider-aws 5.100, recorded
against this sandbox.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.runtime.proto import provider_pb2, status_pb2

from routes.aws.clients import Clients
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Fault
from sandbox.pulumi.provider import Servicer
from sandbox.pulumi.resource import InitFailedError, ProviderError
from sandbox.pulumi.routes import RouteProvider
from tests.sandbox.pulumi.conftest import UNKNOWN, Context, Engine, RefusedError, values

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CIDR = "10.200.0.0/24"
TYPE = "aws:ec2/route:Route"


@pytest.fixture
def interfaces(ec2: EC2Client, lab: labs.Lab) -> tuple[str, ...]:
    return tuple(labs.interface_of(ec2, i) for i in lab.workers.values())


@pytest.fixture
def engine(
    configured: Servicer,
    local_aws: Sandbox,
    lab: labs.Lab,
    interfaces: tuple[str, ...],
) -> Engine:
    local_aws.clear_calls()
    defaults = {
        "routeTableId": lab.table_id,
        "destinationCidrBlock": CIDR,
        "networkInterfaceId": interfaces[0],
    }
    return Engine(
        provider=configured, local_aws=local_aws, type=TYPE, defaults=defaults
    )


def test_a_route_is_created_with_the_real_providers_calls_and_id(
    engine: Engine, lab: labs.Lab, interfaces: tuple[str, ...]
) -> None:
    created = engine.create()

    assert engine.calls() == [
        "DescribeRouteTables",
        "CreateRoute",
        "DescribeRouteTables",
        "DescribeRouteTables",
        "DescribeRouteTables",
    ]
    assert created.id == f"r-{lab.table_id}945138918"
    assert values(created.properties) == {
        "routeTableId": lab.table_id,
        "destinationCidrBlock": CIDR,
        "destinationIpv6CidrBlock": "",
        "gatewayId": "",
        "instanceId": lab.workers["worker-0"],
        "instanceOwnerId": "123456789012",
        "natGatewayId": "",
        "networkInterfaceId": interfaces[0],
        "origin": "CreateRoute",
        "region": "us-east-1",
        "state": "active",
        "vpcPeeringConnectionId": "",
    }


def test_a_target_is_updated_with_the_real_providers_calls(
    engine: Engine, interfaces: tuple[str, ...]
) -> None:
    engine.create()
    engine.calls()

    updated = engine.update(networkInterfaceId=interfaces[1])

    assert engine.calls() == ["ReplaceRoute", *["DescribeRouteTables"] * 3]
    assert values(updated.properties)["networkInterfaceId"] == interfaces[1]


def test_a_route_is_deleted_with_the_real_providers_calls(engine: Engine) -> None:
    engine.create()
    engine.calls()

    engine.delete()

    assert engine.calls() == ["DeleteRoute", *["DescribeRouteTables"] * 2]


def test_a_refresh_is_one_call(engine: Engine) -> None:
    created = engine.create()
    engine.calls()

    route = engine.read(created.id, values(created.properties))

    assert engine.calls() == ["DescribeRouteTables"]
    assert route.id == created.id
    assert route.properties == created.properties


def test_a_missing_route_is_deleted_in_one_call(engine: Engine) -> None:
    engine.delete()

    assert engine.calls() == ["DeleteRoute"]


def test_a_missing_route_reads_as_nothing(
    engine: Engine, ec2: EC2Client, lab: labs.Lab
) -> None:
    created = engine.create()
    ec2.delete_route(RouteTableId=lab.table_id, DestinationCidrBlock=CIDR)

    assert engine.read(created.id, values(created.properties)).id == ""


def test_a_route_of_a_missing_table_reads_as_nothing(engine: Engine) -> None:
    assert engine.read("r-1", engine.inputs(routeTableId="rtb-0bad")).id == ""


def test_delete_fails_if_the_table_is_missing(engine: Engine) -> None:
    with pytest.raises(RefusedError) as error:
        engine.delete(routeTableId="rtb-0bad")

    assert str(error.value).startswith(
        f"deleting Route in Route Table (rtb-0bad) with destination ({CIDR}):"
        " operation error EC2: DeleteRoute, https response error StatusCode: 400,"
    )
    assert str(error.value).endswith(
        "api error InvalidRouteTableID.NotFound: The routeTable ID 'rtb-0bad' does not"
        " exist"
    )


def test_an_import_id_is_the_table_and_the_destination(
    engine: Engine, ec2: EC2Client, lab: labs.Lab, interfaces: tuple[str, ...]
) -> None:
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock=CIDR,
        NetworkInterfaceId=interfaces[0],
    )
    engine.calls()

    route = engine.read(f"{lab.table_id}_{CIDR}")

    assert engine.calls() == ["DescribeRouteTables"]
    assert route.id == f"r-{lab.table_id}945138918"
    assert values(route.inputs) == engine.inputs()


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("r-rtb-0a945138918", id="the resource id"),
        pytest.param(f"_{CIDR}", id="no table"),
        pytest.param("rtb-0a_", id="no destination"),
        pytest.param(f"rtb-0a_{CIDR}_x", id="three parts"),
    ],
)
def test_an_import_id_of_another_form_is_refused(engine: Engine, bad: str) -> None:
    with pytest.raises(RefusedError) as error:
        engine.read(bad)

    assert str(error.value) == (
        f'unexpected format of ID ("{bad}"), expected ROUTETABLEID_DESTINATION'
    )
    assert engine.calls() == []


def test_an_import_of_nothing_finds_nothing(engine: Engine, lab: labs.Lab) -> None:
    assert engine.read(f"{lab.table_id}_10.200.9.0/24").id == ""


def test_an_existing_destination_is_refused_before_create(
    engine: Engine, lab: labs.Lab
) -> None:
    engine.create()
    engine.calls()

    with pytest.raises(RefusedError) as error:
        engine.create()

    assert engine.calls() == ["DescribeRouteTables"]
    assert str(error.value) == (
        f"api error RouteAlreadyExists: Route in Route Table ({lab.table_id}) with"
        f" destination ({CIDR}) already exists"
    )


def test_a_local_route_is_left_for_ec2_to_refuse(engine: Engine) -> None:
    with pytest.raises(
        RefusedError, match="api error RouteAlreadyExists: The route ident"
    ):
        engine.create(destinationCidrBlock="10.0.0.0/16")

    assert engine.calls() == ["DescribeRouteTables", "CreateRoute"]


def test_an_ec2_error_has_the_real_providers_message(
    engine: Engine, lab: labs.Lab
) -> None:
    with pytest.raises(RefusedError) as error:
        engine.create(networkInterfaceId="eni-0bad")

    assert str(error.value).startswith(
        f"creating Route in Route Table ({lab.table_id}) with destination ({CIDR}):"
        " operation error EC2: CreateRoute, https response error StatusCode: 400,"
        " RequestID: "
    )
    assert str(error.value).endswith(
        ", api error InvalidNetworkInterfaceID.NotFound: The networkInterface ID"
        " 'eni-0bad' does not exist"
    )


def test_throttled_calls_are_retried(engine: Engine) -> None:
    engine.inject(Fault(action="CreateRoute", code="RequestLimitExceeded", times=2))

    engine.create()

    assert engine.calls().count("CreateRoute") == 3


def test_a_route_is_kept_in_the_state_if_a_later_step_fails(
    engine: Engine, interfaces: tuple[str, ...]
) -> None:
    created = engine.create()
    engine.inject(Fault(action="DescribeRouteTables", code="UnauthorizedOperation"))
    context = Context()

    with pytest.raises(RefusedError, match="to become available: operation error EC2"):
        engine.update(context, networkInterfaceId=interfaces[1])

    [(header, content)] = context.trailers
    status = status_pb2.Status.FromString(content)
    kept = provider_pb2.ErrorResourceInitFailed()
    assert header == "grpc-status-details-bin"
    assert status.details[0].Unpack(kept)
    assert kept.id == created.id
    assert values(kept.inputs) == engine.inputs(networkInterfaceId=interfaces[1])


class NeverVisible:
    """An EC2 that creates a route and never lists it."""

    class meta:  # noqa: N801 - boto3's name
        endpoint_url = "http://127.0.0.1"

    def describe_route_tables(self, **_: object) -> dict[str, Any]:
        return {"RouteTables": [{"Routes": []}]}

    def create_route(self, **_: object) -> None:
        """Succeed."""


def never_visible(cancelled: threading.Event) -> RouteProvider:
    ec2: Any = NeverVisible()
    return RouteProvider(
        Clients(stack="dev", region="us-east-1", ec2=ec2, sts=ec2), cancelled
    )


ROUTE = {
    "routeTableId": "rtb-1",
    "destinationCidrBlock": CIDR,
    "networkInterfaceId": "eni-1",
}


def test_waiting_for_a_route_ends_at_the_timeout() -> None:
    provider = never_visible(threading.Event())
    start = time.monotonic()

    with pytest.raises(InitFailedError, match="timeout while waiting, after 1 s"):
        provider.create(ROUTE, timeout=1)

    assert time.monotonic() - start < 1.5


def test_a_cancelled_update_stops_waiting() -> None:
    cancelled = threading.Event()
    provider = never_visible(cancelled)
    threading.Timer(0.1, cancelled.set).start()

    with pytest.raises(ProviderError, match="context canceled"):
        provider.create(ROUTE, timeout=60)


@pytest.mark.parametrize("key", ["routeTableId", "destinationCidrBlock"])
def test_another_table_or_destination_replaces_the_route(
    engine: Engine, key: str
) -> None:
    answer = engine.diff(engine.inputs(), engine.inputs(**{key: "10.200.7.0/24"}))

    assert list(answer.replaces) == [key]
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME


@pytest.mark.parametrize("target", ["eni-2", UNKNOWN])
def test_another_target_is_an_update_in_place(engine: Engine, target: str) -> None:
    answer = engine.diff(engine.inputs(), engine.inputs(networkInterfaceId=target))

    assert list(answer.diffs) == ["networkInterfaceId"]
    assert list(answer.replaces) == []


def test_outputs_are_no_difference(engine: Engine) -> None:
    created = engine.create()

    answer = engine.diff(values(created.properties), engine.inputs())

    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_another_spelling_of_an_ipv6_network_is_no_difference(
    engine: Engine,
) -> None:
    def v6(destination: str) -> dict[str, Any]:
        return engine.inputs(
            destinationCidrBlock=None, destinationIpv6CidrBlock=destination
        )

    answer = engine.diff(v6("fd00:200::/64"), v6("fd00:0200:0:0::/64"))

    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        pytest.param(
            {"destinationCidrBlock": "10.200.0.5/24"},
            '"10.200.0.5/24" is not a valid IPv4 CIDR block;'
            ' did you mean "10.200.0.0/24"?'
            ". Examine values at 'r.destinationCidrBlock'.",
            id="host bits",
        ),
        pytest.param(
            {"destinationCidrBlock": "nope"},
            '"nope" is not a valid CIDR block: invalid CIDR address: nope'
            ". Examine values at 'r.destinationCidrBlock'.",
            id="no network",
        ),
        pytest.param(
            {"destinationCidrBlock": "fd00::/64"},
            '"fd00::/64" is not a valid IPv4 CIDR block'
            ". Examine values at 'r.destinationCidrBlock'.",
            id="the other family",
        ),
        pytest.param(
            {"natGatewayId": "nat-1"},
            "the sandbox's stand-in for the AWS provider does not serve 'natGatewayId'"
            ". Examine values at 'r.natGatewayId'.",
            id="not served",
        ),
    ],
)
def test_invalid_inputs_are_refused_in_a_preview(
    engine: Engine, inputs: dict[str, str], reason: str
) -> None:
    assert engine.check(**inputs) == [reason]


@pytest.mark.parametrize("inputs", [{}, {"destinationCidrBlock": UNKNOWN}])
def test_valid_inputs_pass(engine: Engine, inputs: dict[str, str]) -> None:
    assert engine.check(**inputs) == []


def test_a_preview_makes_no_calls_and_has_unknown_outputs(engine: Engine) -> None:
    created = engine.create(preview=True, networkInterfaceId=UNKNOWN)

    assert engine.calls() == []
    assert created.id == ""
    assert values(created.properties)["state"] == UNKNOWN
    assert values(created.properties)["networkInterfaceId"] == UNKNOWN
