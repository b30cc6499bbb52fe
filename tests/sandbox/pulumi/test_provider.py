"""The stand-in for the AWS provider behaves as the Terraform AWS provider does.

Ids, calls and errors are those of `aws_route` in terraform-provider-aws 5.100, recorded
against this sandbox.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2, status_pb2
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from routes.aws.clients import Clients
from sandbox import TOP
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from sandbox.pulumi.provider import (
    InitFailedError,
    ProviderError,
    RouteProvider,
    Servicer,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CIDR = "10.200.0.0/24"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class RefusedError(Exception):
    """The error of an operation, as the engine would show it."""


class Context:
    """The servicer's side of a gRPC call."""

    def __init__(self) -> None:
        self.trailers: tuple[tuple[str, bytes], ...] = ()

    def set_trailing_metadata(self, trailers: tuple[tuple[str, bytes], ...]) -> None:
        self.trailers = trailers

    def abort(self, code: grpc.StatusCode, text: str) -> None:
        assert code is grpc.StatusCode.UNKNOWN
        raise RefusedError(text)


@dataclass
class Engine:
    """The engine's side of one provider, in this process."""

    provider: Servicer
    local_aws: Sandbox
    table: str
    interfaces: tuple[str, ...]

    def inputs(self, **changes: object) -> dict[str, Any]:
        inputs = {
            "routeTableId": self.table,
            "destinationCidrBlock": CIDR,
            "networkInterfaceId": self.interfaces[0],
        }
        return {key: v for key, v in (inputs | changes).items() if v is not None}

    def create(
        self, *, preview: bool = False, **changes: object
    ) -> provider_pb2.CreateResponse:
        request = provider_pb2.CreateRequest(
            properties=struct(self.inputs(**changes)), preview=preview
        )
        answer: provider_pb2.CreateResponse = self.provider.Create(request, Context())
        return answer

    def update(
        self, context: Context | None = None, **changes: object
    ) -> provider_pb2.UpdateResponse:
        request = provider_pb2.UpdateRequest(
            olds=struct(self.inputs()), news=struct(self.inputs(**changes))
        )
        answer: provider_pb2.UpdateResponse = self.provider.Update(
            request, context or Context()
        )
        return answer

    def delete(self, **changes: object) -> None:
        properties = struct(self.inputs(**changes))
        request = provider_pb2.DeleteRequest(properties=properties)
        self.provider.Delete(request, Context())

    def read(
        self, route_id: str, state: Mapping[str, Any] | None = None
    ) -> provider_pb2.ReadResponse:
        request = provider_pb2.ReadRequest(id=route_id, properties=struct(state or {}))
        answer: provider_pb2.ReadResponse = self.provider.Read(request, Context())
        return answer

    def diff(
        self, olds: Mapping[str, Any], news: Mapping[str, Any]
    ) -> provider_pb2.DiffResponse:
        request = provider_pb2.DiffRequest(olds=struct(olds), news=struct(news))
        answer: provider_pb2.DiffResponse = self.provider.Diff(request, Context())
        return answer

    def check(self, **changes: object) -> list[str]:
        request = provider_pb2.CheckRequest(
            urn="urn:pulumi:dev::p::aws:ec2/route:Route::r",
            news=struct(self.inputs(**changes)),
        )
        answer = self.provider.Check(request, Context())
        return [failure.reason for failure in answer.failures]

    def calls(self) -> list[str]:
        """Return the actions called since the last call of this method."""
        actions = [call.action for call in self.local_aws.calls()]
        self.local_aws.clear_calls()
        return actions

    def inject(self, fault: Fault) -> None:
        self.local_aws.control(Control(faults=(fault,)))


def struct(values: Mapping[str, Any]) -> Struct:
    message = Struct()
    message.update(dict(values))
    return message


def values(message: Struct) -> dict[str, Any]:
    properties: dict[str, Any] = MessageToDict(message)
    return properties


def configure(**variables: str) -> Servicer:
    """Return a provider with the `aws:` keys of a stack."""
    provider = Servicer()
    named = {f"aws:config:{key}": value for key, value in variables.items()}
    request = provider_pb2.ConfigureRequest(variables=named)
    provider.Configure(request, Context())
    return provider


def invoke(provider: Servicer, token: str) -> dict[str, Any]:
    request = provider_pb2.InvokeRequest(tok=token)
    return values(getattr(provider.Invoke(request, Context()), "return"))


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def lab(running: Sandbox) -> labs.Lab:
    return labs.create_lab(running.client("ec2"))


@pytest.fixture(scope="module")
def ec2(running: Sandbox) -> EC2Client:
    return running.client("ec2")


@pytest.fixture
def local_aws(
    running: Sandbox,
    ec2: EC2Client,
    lab: labs.Lab,
    aws_environment: pytest.MonkeyPatch,
) -> Sandbox:
    """Return the sandbox with the lab, without pod routes, faults and calls."""
    running.control(Control())
    for destination in labs.routes(ec2, lab.table_id):
        if destination.startswith("10.200."):
            ec2.delete_route(
                RouteTableId=lab.table_id, DestinationCidrBlock=destination
            )
    for name, value in running.environment.items():
        aws_environment.setenv(name, value)
    running.clear_calls()
    return running


@pytest.fixture(scope="module")
def configured(running: Sandbox) -> Servicer:
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("AWS_"):
                patch.delenv(name)
        for name, value in running.environment.items():
            patch.setenv(name, value)
        return configure()


@pytest.fixture
def engine(
    configured: Servicer, local_aws: Sandbox, ec2: EC2Client, lab: labs.Lab
) -> Engine:
    interfaces = tuple(labs.interface_of(ec2, i) for i in lab.workers.values())
    local_aws.clear_calls()
    return Engine(configured, local_aws, lab.table_id, interfaces)


def test_a_route_is_created_with_the_real_providers_calls_and_id(
    engine: Engine, lab: labs.Lab
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
        "networkInterfaceId": engine.interfaces[0],
        "origin": "CreateRoute",
        "region": "us-east-1",
        "state": "active",
        "vpcPeeringConnectionId": "",
    }


def test_a_target_is_updated_with_the_real_providers_calls(engine: Engine) -> None:
    engine.create()
    engine.calls()

    updated = engine.update(networkInterfaceId=engine.interfaces[1])

    assert engine.calls() == ["ReplaceRoute", *["DescribeRouteTables"] * 3]
    assert values(updated.properties)["networkInterfaceId"] == engine.interfaces[1]


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


def test_a_missing_route_reads_as_nothing(engine: Engine, ec2: EC2Client) -> None:
    created = engine.create()
    ec2.delete_route(RouteTableId=engine.table, DestinationCidrBlock=CIDR)

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
    engine: Engine, ec2: EC2Client, lab: labs.Lab
) -> None:
    ec2.create_route(
        RouteTableId=lab.table_id,
        DestinationCidrBlock=CIDR,
        NetworkInterfaceId=engine.interfaces[0],
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
    engine: Engine,
) -> None:
    engine.create()
    engine.calls()

    with pytest.raises(RefusedError) as error:
        engine.create()

    assert engine.calls() == ["DescribeRouteTables"]
    assert str(error.value) == (
        f"api error RouteAlreadyExists: Route in Route Table ({engine.table}) with"
        f" destination ({CIDR}) already exists"
    )


def test_a_local_route_is_left_for_ec2_to_refuse(engine: Engine) -> None:
    with pytest.raises(
        RefusedError, match="api error RouteAlreadyExists: The route ident"
    ):
        engine.create(destinationCidrBlock="10.0.0.0/16")

    assert engine.calls() == ["DescribeRouteTables", "CreateRoute"]


def test_an_ec2_error_has_the_real_providers_message(engine: Engine) -> None:
    with pytest.raises(RefusedError) as error:
        engine.create(networkInterfaceId="eni-0bad")

    assert str(error.value).startswith(
        f"creating Route in Route Table ({engine.table}) with destination ({CIDR}):"
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


def test_a_route_is_kept_in_the_state_if_a_later_step_fails(engine: Engine) -> None:
    created = engine.create()
    engine.inject(Fault(action="DescribeRouteTables", code="UnauthorizedOperation"))
    context = Context()

    with pytest.raises(RefusedError, match="to become available: operation error EC2"):
        engine.update(context, networkInterfaceId=engine.interfaces[1])

    [(header, content)] = context.trailers
    status = status_pb2.Status.FromString(content)
    kept = provider_pb2.ErrorResourceInitFailed()
    assert header == "grpc-status-details-bin"
    assert status.details[0].Unpack(kept)
    assert kept.id == created.id
    assert values(kept.inputs) == engine.inputs(networkInterfaceId=engine.interfaces[1])


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


def test_configure_calls_get_caller_identity_once(local_aws: Sandbox) -> None:
    configure()

    assert local_aws.count() == {"GetCallerIdentity": 1}


def test_the_caller_and_the_region_are_returned(local_aws: Sandbox) -> None:
    provider = configure(region="eu-west-1")
    local_aws.clear_calls()

    caller = invoke(provider, "aws:index/getCallerIdentity:getCallerIdentity")
    assert caller["accountId"] == "123456789012"
    assert local_aws.count() == {"GetCallerIdentity": 1}
    region = invoke(provider, "aws:index/getRegion:getRegion")
    assert region["region"] == "eu-west-1"


def test_an_unsupported_function_is_refused(engine: Engine) -> None:
    token = "aws:ec2/getInstance:getInstance"

    with pytest.raises(RefusedError, match=f"the stand-in does not serve {token}"):
        invoke(engine.provider, token)


@pytest.mark.usefixtures("local_aws")
def test_the_region_comes_from_the_stack_then_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def region(**config: str) -> object:
        return invoke(configure(**config), "aws:index/getRegion:getRegion")["region"]

    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert region(region="eu-west-3") == "eu-west-3"
    assert region() == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    assert region() == "eu-west-2"


@pytest.mark.parametrize(
    ("key", "accounts"),
    [
        ("allowedAccountIds", '["210987654321"]'),
        ("forbiddenAccountIds", '["123456789012"]'),
    ],
)
@pytest.mark.usefixtures("local_aws")
def test_an_account_that_is_not_allowed_is_refused(key: str, accounts: str) -> None:
    with pytest.raises(RefusedError) as error:
        configure(**{key: accounts})

    assert str(error.value) == "AWS account ID not allowed: 123456789012"


@pytest.mark.parametrize(
    ("variable", "endpoint"),
    [
        pytest.param("AWS_ENDPOINT_URL_EC2", None, id="AWS itself"),
        pytest.param("AWS_ENDPOINT_URL_EC2", "http://10.0.0.1:80", id="elsewhere"),
        pytest.param("AWS_ENDPOINT_URL_STS", "http://10.0.0.1:80", id="STS elsewhere"),
        pytest.param(
            "AWS_ENDPOINT_URL_EC2", "http://127.0.0.1.example.com", id="a lookalike"
        ),
    ],
)
@pytest.mark.parametrize("roles", ["", '[{"roleArn": "arn:aws:iam::1:role/r"}]'])
def test_an_endpoint_outside_this_machine_is_refused_before_any_call(
    local_aws: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    endpoint: str | None,
    roles: str,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", local_aws.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", local_aws.endpoint)
    if endpoint:
        monkeypatch.setenv(variable, endpoint)
    else:
        monkeypatch.delenv(variable)

    with pytest.raises(RefusedError, match="it serves only endpoints on this machine"):
        configure(assumeRoles=roles)

    assert local_aws.calls() == []


@pytest.fixture
def process(local_aws: Sandbox) -> Iterator[subprocess.Popen[str]]:
    """Start a provider as the engine does, under a process that tests can kill."""
    command = f"{sys.executable} -m sandbox.pulumi.provider & echo $!; wait"
    started = subprocess.Popen(
        ["sh", "-c", command],
        cwd=TOP,
        env=os.environ | local_aws.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield started
    try:
        os.killpg(started.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        started.communicate()


def first_lines(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Return the provider's process id and port."""
    assert process.stdout
    return int(process.stdout.readline()), int(process.stdout.readline())


def test_it_exits_when_the_engine_is_killed(
    process: subprocess.Popen[str],
) -> None:
    process_id, _ = first_lines(process)

    process.kill()
    process.wait()

    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the provider outlived the engine")


def test_concurrent_operations_do_not_wait_for_each_other(
    process: subprocess.Popen[str], local_aws: Sandbox, ec2: EC2Client, lab: labs.Lab
) -> None:
    interface = labs.interface_of(ec2, lab.workers["worker-0"])
    _, port = first_lines(process)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = ResourceProviderStub(channel)
        stub.Configure(provider_pb2.ConfigureRequest())
        local_aws.control(Control(latency=0.3))
        local_aws.clear_calls()

        def create(number: int) -> str:
            properties = struct(
                ROUTE
                | {
                    "routeTableId": lab.table_id,
                    "networkInterfaceId": interface,
                    "destinationCidrBlock": f"10.200.{number}.0/24",
                }
            )
            request = provider_pb2.CreateRequest(properties=properties)
            created: str = stub.Create(request).id
            return created

        start = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            ids = set(pool.map(create, range(8)))
        took = time.monotonic() - start
        stub.Cancel(Empty())

    assert len(ids) == 8
    assert local_aws.count() == {"DescribeRouteTables": 32, "CreateRoute": 8}
    assert took < 2 * 5 * 0.3 + 1  # one after the other would be 12 s
