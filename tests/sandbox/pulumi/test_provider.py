"""The stand-in for the AWS provider speaks the engine's protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from sandbox import TOP
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control
from sandbox.pulumi.provider import Servicer
from tests.sandbox.pulumi.conftest import (
    Context,
    Engine,
    RefusedError,
    configure,
    struct,
    values,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def invoke(provider: Servicer, token: str) -> dict[str, Any]:
    request = provider_pb2.InvokeRequest(tok=token)
    return values(getattr(provider.Invoke(request, Context()), "return"))


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


def test_an_unsupported_function_is_refused(configured: Servicer) -> None:
    token = "aws:ec2/getInstance:getInstance"

    with pytest.raises(RefusedError, match=f"the stand-in does not serve {token}"):
        invoke(configured, token)


def test_an_unsupported_resource_is_refused_in_a_preview(
    configured: Servicer, local_aws: Sandbox
) -> None:
    engine = Engine(
        provider=configured, local_aws=local_aws, type="aws:ec2/vpc:Vpc", defaults={}
    )

    with pytest.raises(RefusedError, match="the stand-in does not serve aws:ec2/vpc"):
        engine.check(cidrBlock="10.0.0.0/16")


def test_the_schema_lists_what_is_served(configured: Servicer) -> None:
    answer = configured.GetSchema(provider_pb2.GetSchemaRequest(), Context())

    schema = json.loads(answer.schema)
    assert set(schema["resources"]) == {
        "aws:ec2/instance:Instance",
        "aws:ec2/route:Route",
    }
    instance = schema["resources"]["aws:ec2/instance:Instance"]
    assert instance["inputProperties"]["sourceDestCheck"] == {"type": "boolean"}
    assert "privateIp" not in instance["inputProperties"]
    assert instance["properties"]["privateIp"] == {"type": "string"}
    for function in schema["functions"]:
        returned = schema["functions"][function]["outputs"]["properties"]
        assert set(invoke(configured, function)) == set(returned)


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
            inputs = {
                "routeTableId": lab.table_id,
                "networkInterfaceId": interface,
                "destinationCidrBlock": f"10.200.{number}.0/24",
            }
            request = provider_pb2.CreateRequest(
                type="aws:ec2/route:Route", properties=struct(inputs)
            )
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
