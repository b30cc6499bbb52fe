"""What `pulumi preview` and `pulumi up` of the lab declare, export and refuse."""

from __future__ import annotations

import logging
import threading

import pulumi
import pytest

from routes.cache import PARSER
from routes.model import COMPONENT_TYPE, ROUTE_TYPE
from sandbox import lab as labs
from tests.builders import one_line
from tests.program.conftest import Program


def refusal(program: Program, **changes: str) -> str:
    """Return the program's error; nothing may be declared."""
    program.configure(**changes)
    with pytest.raises(pulumi.RunError) as caught:
        program.run()
    assert program.declared == []
    assert program.outputs == {}
    return str(caught.value)


@pytest.mark.parametrize("preview", [True, False])
def test_the_lab_gets_one_route_per_worker_below_its_table(
    program: Program, *, preview: bool
) -> None:
    program.run(preview=preview)

    table = program.lab.table_id
    assert [one.name for one in program.of(COMPONENT_TYPE)] == [table]
    assert [(one.name, one.parent, one.inputs) for one in program.of(ROUTE_TYPE)] == [
        (
            f"{table}_10.200.{number}.0/24",
            table,
            {
                "routeTableId": table,
                "destinationCidrBlock": f"10.200.{number}.0/24",
                "networkInterfaceId": program.interface(f"worker-{number}"),
            },
        )
        for number in range(3)
    ]
    assert len(program.declared) == 4


@pytest.mark.parametrize("preview", [True, False])
def test_the_outputs_list_every_route_and_its_location(
    program: Program, *, preview: bool
) -> None:
    program.run(preview=preview)

    assert program.outputs == {
        "routes": [
            {
                "routeTableId": program.lab.table_id,
                "destinationCidr": f"10.200.{number}.0/24",
                "worker": f"worker-{number}",
                "instanceId": program.lab.workers[f"worker-{number}"],
                "privateIp": f"10.0.1.{20 + number}",
                "networkInterfaceId": program.interface(f"worker-{number}"),
            }
            for number in range(3)
        ],
        "account": "123456789012",
        "region": "us-east-1",
        "vpcId": program.lab.vpc_id,
        "workers": {
            "source": "userData",
            "key": "pod-cidr",
            "parser": PARSER,
            "podCidrs": {
                f"{instance_id} {launched(program, instance_id)}": f"10.200.{n}.0/24"
                for n, instance_id in enumerate(program.lab.workers.values())
            },
        },
    }


def launched(program: Program, instance_id: str) -> str:
    (reservation,) = program.clients.ec2.describe_instances(InstanceIds=[instance_id])[
        "Reservations"
    ]
    return reservation["Instances"][0]["LaunchTime"].isoformat()


ROOT = "urn:pulumi:dev::pod-routes::pulumi:pulumi:Stack::pod-routes-dev"


def test_pod_cidrs_in_the_last_updates_outputs_are_not_read_again(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.run()
    before = program.outputs
    program.engine.state = {ROOT: {"type": "pulumi:pulumi:Stack", "outputs": before}}
    monkeypatch.setattr("routes.aws.discovery._user_data", None)

    program.run()

    assert program.outputs == before


def test_a_state_that_is_being_written_is_read_again(program: Program) -> None:
    program.engine.writing = 2
    program.run()
    assert len(program.of(ROUTE_TYPE)) == 3

    program.engine.writing = 9
    assert "failed to load checkpoint: EOF" in refusal(program)


@pytest.mark.parametrize("routes", [["a"], [{"worker": "worker-0"}], 7])
def test_outputs_of_another_program_are_ignored(
    program: Program, routes: object
) -> None:
    outputs = {"routes": routes, "workers": routes}
    program.engine.state = {ROOT: {"type": "pulumi:pulumi:Stack", "outputs": outputs}}

    program.run()

    assert len(program.of(ROUTE_TYPE)) == 3


def test_drift_is_a_warning_and_changes_no_declaration(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    program.run()
    declared = program.declared
    table = program.lab.table_id
    urn = (
        f"urn:pulumi:dev::pod-routes::{COMPONENT_TYPE}${ROUTE_TYPE}::"
        f"{table}_10.200.1.0/24"
    )
    outputs = {
        "routeTableId": table,
        "destinationCidrBlock": "10.200.1.0/24",
        "networkInterfaceId": program.interface("worker-1"),
    }
    program.engine.state = {
        ROOT: {"type": "pulumi:pulumi:Stack", "outputs": program.outputs},
        urn: {"type": ROUTE_TYPE, "outputs": outputs},
    }

    with caplog.at_level(logging.WARNING, "program"):
        program.run()

    (warning,) = [r.getMessage() for r in caplog.records if r.name == "program"]
    assert one_line(warning).startswith(
        f"{table} 10.200.1.0/24: the stack's route for worker-1 to"
        f" {outputs['networkInterfaceId']} has drifted: it was deleted."
    )
    assert max(map(len, warning.splitlines())) <= 80
    inputs = {one.name: one.inputs for one in program.declared}  # in any order
    assert inputs == {one.name: one.inputs for one in declared}


def test_the_outputs_are_sorted_by_table_and_destination(program: Program) -> None:
    other = labs.create_table(program.clients.ec2, program.lab.vpc_id, "other")

    program.configure(workers="worker-2,worker-0", routeTables=f"kubernetes,{other}")
    program.run()

    exported = [
        (route["routeTableId"], route["destinationCidr"])
        for route in program.outputs["routes"]
    ]
    assert exported == [
        (table, cidr)
        for table in sorted([program.lab.table_id, other])
        for cidr in ("10.200.0.0/24", "10.200.2.0/24")
    ]
    assert [one.name for one in program.of(COMPONENT_TYPE)] == sorted(
        [program.lab.table_id, other]
    )
    assert {one.parent for one in program.of(ROUTE_TYPE)} == {
        program.lab.table_id,
        other,
    }


def test_an_ipv6_network_is_declared_as_such(program: Program) -> None:
    labs.add_worker(
        program.clients.ec2,
        program.lab,
        "dual",
        address="10.0.1.40",
        user_data="pod-cidr=10.200.9.0/24,fd00:200::/64",
    )

    program.configure(workers="dual", clusterCidr="10.200.0.0/16,fd00:200::/48")
    program.run()

    four, six = program.of(ROUTE_TYPE)
    assert four.inputs["destinationCidrBlock"] == "10.200.9.0/24"
    assert six.inputs["destinationIpv6CidrBlock"] == "fd00:200::/64"
    assert "destinationCidrBlock" not in six.inputs
    assert six.name == f"{program.lab.table_id}_fd00:200::/64"


@pytest.mark.parametrize("protect", [True, False])
def test_protection_is_what_the_stack_configures(
    program: Program, *, protect: bool
) -> None:
    program.configure(protect=str(protect).lower())
    program.run()

    assert {one.protect for one in program.declared} == {protect}


def test_a_worker_that_is_not_running_is_a_warning_and_still_gets_a_route(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = program.lab.workers["worker-1"]
    program.clients.ec2.stop_instances(InstanceIds=[stopped])

    with caplog.at_level(logging.WARNING, "program"):
        program.run()

    (warning,) = [r.getMessage() for r in caplog.records if r.name == "program"]
    assert warning.startswith(f"worker-1 ({stopped}): the instance is stopped;")
    assert len(program.of(ROUTE_TYPE)) == 3


def test_a_healthy_lab_has_no_warning(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "program"):
        program.run()

    assert [r for r in caplog.records if r.name == "program"] == []


def test_each_worker_is_named_beside_its_route(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "program"):
        program.run()

    messages = [r.getMessage() for r in caplog.records if r.name == "program"]
    assert sorted(messages) == ["worker-0", "worker-1", "worker-2"]


def test_a_mistake_in_the_configuration_is_reported_before_a_call_to_aws(
    program: Program,
) -> None:
    program.engine.failure = "the provider was called"

    text = refusal(program, worker="worker-9")

    assert "pod-routes:worker: there is no such key" in one_line(text)


def test_a_mistake_in_the_aws_keys_is_reported_before_a_call_to_aws(
    program: Program,
) -> None:
    program.engine.failure = "the provider was called"
    program.config["aws:insecure"] = "true"

    assert "aws:insecure: the lookup of workers doesn't support" in refusal(program)


def test_a_missing_worker_is_an_error(program: Program) -> None:
    text = refusal(program, workers="worker-0,worker-9")

    assert text.startswith("The routes cannot be declared; nothing was changed.\n")
    assert "worker-9: expected a live instance" in text


def test_another_account_is_an_error(program: Program) -> None:
    program.engine.account = "999999999999"

    text = one_line(refusal(program))

    assert "999999999999" in text
    assert "123456789012" in text


def test_another_region_is_an_error(program: Program) -> None:
    program.engine.region = "eu-west-1"

    text = one_line(refusal(program))

    assert "eu-west-1" in text
    assert "us-east-1" in text


def test_the_providers_failure_is_reported_with_its_own_message(
    program: Program,
) -> None:
    program.engine.failure = "no valid credential sources found"

    text = refusal(program)

    assert text.startswith("the AWS provider: it failed:\n")
    assert "no valid credential sources found" in text
    assert text.endswith("\n  pulumi config --stack dev")


def test_if_provider_and_lookup_fail_the_error_with_a_fix_is_shown(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.engine.failure = "ExpiredToken"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    assert refusal(program).startswith("AWS credentials: none found")


def test_a_slow_lookup_does_not_delay_the_providers_error(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.engine.failure = "no valid credential sources found"
    ended = threading.Event()
    monkeypatch.setattr("routes.engine.identity._PATIENCE", 0.1)
    monkeypatch.setattr("routes.aws.discovery.look_up", lambda *_: ended.wait(60))

    text = refusal(program)

    ended.set()
    assert "no valid credential sources found" in text


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"workers": ""}, id="the configuration"),
        pytest.param({"workers": "worker-9"}, id="the plan"),
    ],
)
def test_an_operators_error_shows_no_traceback(
    program: Program, changes: dict[str, str]
) -> None:
    program.configure(**changes)
    with pytest.raises(pulumi.RunError) as caught:
        program.run()

    assert caught.value.__suppress_context__
    assert max(map(len, str(caught.value).splitlines())) <= 80


def test_a_bug_keeps_its_traceback(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("routes.planning.plan.validated", broken)

    with pytest.raises(KeyError, match="a bug"):
        program.run()


def create_route(program: Program, worker: str, target: str) -> None:
    """Create a route to a worker's pod CIDR."""
    cidr = labs.pod_cidr(int(worker.removeprefix("worker-")))
    program.clients.ec2.create_route(
        RouteTableId=program.lab.table_id,
        DestinationCidrBlock=cidr,
        NetworkInterfaceId=program.interface(target),
    )


def test_unmanaged_routes_are_all_refused_at_once(program: Program) -> None:
    create_route(program, "worker-0", "worker-0")
    create_route(program, "worker-1", "worker-0")

    text = one_line(refusal(program))

    assert "stack dev: these routes already exist" in text
    assert f"{program.lab.table_id} 10.200.0.0/24 of worker-0" in text
    assert f"{program.lab.table_id} 10.200.1.0/24: leads to" in text


@pytest.mark.parametrize("target", ["worker-1", "worker-0"])
@pytest.mark.parametrize(
    "parent",
    [
        pytest.param(f"{COMPONENT_TYPE}$", id="our component's"),
        pytest.param(f"a:b:C${COMPONENT_TYPE}$", id="in another component"),
        pytest.param("", id="a route of no component"),
        pytest.param("a:b:C$", id="of another component"),
    ],
)
@pytest.mark.parametrize("named", ["rtb-1_10.200.1.0/24", "worker-1"])
def test_a_managed_route_keeps_its_identity_whatever_its_urn(
    program: Program, target: str, parent: str, named: str
) -> None:
    create_route(program, "worker-1", target)
    urn = f"urn:pulumi:dev::pod-routes::{parent}{ROUTE_TYPE}::{named}"
    outputs = {
        "routeTableId": program.lab.table_id,
        "destinationCidrBlock": "10.200.1.0/24",
        "networkInterfaceId": program.interface(target),
    }
    program.engine.state = {urn: {"type": ROUTE_TYPE, "outputs": outputs}}

    program.run()

    assert [one.aliases for one in program.of(ROUTE_TYPE)] == [(), (urn,), ()]
