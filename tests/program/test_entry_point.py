"""What `pulumi preview` and `pulumi up` of the lab declare, export and refuse."""

from __future__ import annotations

import logging

import pulumi
import pytest

from routes.model import COMPONENT_TYPE, ROUTE_TYPE
from sandbox import lab as labs
from tests.builders import one_line
from tests.program.conftest import Program


def refusal(program: Program, **changes: str) -> str:
    """Return what a person reads when the program stops; nothing may be declared."""
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
def test_the_outputs_name_every_route_and_where_it_is(
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
    }


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
def test_protection_is_what_the_stack_says(program: Program, *, protect: bool) -> None:
    program.configure(protect=str(protect).lower())
    program.run()

    assert {one.protect for one in program.declared} == {protect}


def test_a_worker_in_trouble_is_warned_about_and_still_routed(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = program.lab.workers["worker-1"]
    program.clients.ec2.stop_instances(InstanceIds=[stopped])

    with caplog.at_level(logging.WARNING, "program"):
        program.run()

    (warning,) = [r.getMessage() for r in caplog.records if r.name == "program"]
    assert warning.startswith(f"worker-1 ({stopped}): the instance is stopped;")
    assert len(program.of(ROUTE_TYPE)) == 3


def test_a_healthy_lab_is_not_warned_about(
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

    told = [r.getMessage() for r in caplog.records if r.name == "program"]
    assert sorted(told) == ["worker-0", "worker-1", "worker-2"]


def test_a_mistake_in_the_configuration_stops_before_aws_is_asked(
    program: Program,
) -> None:
    program.engine.failure = "the provider was asked"

    text = refusal(program, worker="worker-9")

    assert "pod-routes:worker: there is no such key" in one_line(text)


def test_a_mistake_in_the_aws_keys_stops_before_aws_is_asked(program: Program) -> None:
    program.engine.failure = "the provider was asked"
    program.config["aws:insecure"] = "true"

    assert "aws:insecure: the lookup of workers does not honour" in refusal(program)


def test_a_missing_worker_stops_the_update(program: Program) -> None:
    text = refusal(program, workers="worker-0,worker-9")

    assert text.startswith("The routes cannot be declared; nothing was changed.\n")
    assert "worker-9: expected a live instance" in text


def test_another_account_stops_the_update(program: Program) -> None:
    program.engine.account = "999999999999"

    text = one_line(refusal(program))

    assert "999999999999" in text
    assert "123456789012" in text


def test_another_region_stops_the_update(program: Program) -> None:
    program.engine.region = "eu-west-1"

    text = one_line(refusal(program))

    assert "eu-west-1" in text
    assert "us-east-1" in text


def test_a_provider_that_fails_is_told_in_its_own_words(program: Program) -> None:
    program.engine.failure = "no valid credential sources found"

    text = refusal(program)

    assert text.startswith("The AWS provider is not usable.")
    assert "no valid credential sources found" in text


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"workers": ""}, id="the configuration"),
        pytest.param({"workers": "worker-9"}, id="the plan"),
    ],
)
def test_an_error_of_the_operator_shows_no_traceback(
    program: Program, changes: dict[str, str]
) -> None:
    program.configure(**changes)
    with pytest.raises(pulumi.RunError) as caught:
        program.run()

    assert caught.value.__suppress_context__
    assert max(map(len, str(caught.value).splitlines())) <= 80


def test_a_bug_of_ours_keeps_its_traceback(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("routes.plan.make", broken)

    with pytest.raises(KeyError, match="a bug"):
        program.run()
