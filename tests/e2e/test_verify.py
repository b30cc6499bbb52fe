"""`python -m routes verify` in the lab: each injected fault is reported and fixed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.commands import call
from tests.e2e.cli_user import CliUser
from tests.e2e.moments import BEGINNING, Moments, with_routes

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

VERIFY = "python -m routes verify --stack dev"


def a_fourth_worker_in_a_second_subnet(user: CliUser) -> None:
    lab = user.lab
    subnet = user.ec2.create_subnet(VpcId=lab.vpc_id, CidrBlock="10.0.64.0/24")
    there = replace(lab, subnet_id=str(subnet["Subnet"]["SubnetId"]))
    user.ec2.associate_route_table(RouteTableId=lab.table_id, SubnetId=there.subnet_id)
    instance_id = labs.add_worker(
        user.ec2,
        there,
        "worker-3",
        address="10.0.64.20",
        user_data=labs.user_data(3),
    )
    workers = {**lab.workers, "worker-3": instance_id}
    user.lab = replace(lab, workers=workers)
    user.configure(workers=list(workers))


@pytest.fixture
def verified(user: CliUser, moments: Moments) -> CliUser:
    """A user with a fourth worker in a second subnet, and every route in place."""
    del user  # it compares the unmanaged routes at the end
    return moments.after(
        *BEGINNING,
        a_fourth_worker_in_a_second_subnet,
        with_routes,
    )


def verify(user: CliUser, *options: str) -> dict[str, Any]:
    """Return the command's JSON, with which its exit code agrees."""
    outcome = user.types(" ".join([VERIFY, "--output json", *options]))
    result: dict[str, Any] = json.loads(outcome.text)
    assert outcome.code == ["PASS", "FAIL", "UNKNOWN"].index(result["outcome"])
    return result


def causes(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the findings that keep pairs from being reachable."""
    findings: list[dict[str, Any]] = result["findings"]
    return [f for f in findings if f["ref"] and f["severity"] in {"error", "unknown"}]


def commands(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the commands of routes or findings, each once, in order."""
    return [*dict.fromkeys(each["command"] for each in entries if each["command"])]


def follow(user: CliUser, command: str) -> None:
    """Run a suggested command: `pulumi` as it is, `aws ec2` as a call of boto3."""
    if command.startswith("pulumi "):
        update = command.split()[1] in {"up", "refresh"}
        user.does(command + " --yes" * update)
    else:
        call(user.ec2, command)


def delete_route(user: CliUser) -> None:
    user.ec2.delete_route(
        RouteTableId=user.lab.table_id, DestinationCidrBlock="10.200.1.0/24"
    )


def stop_instance(user: CliUser) -> None:
    user.ec2.stop_instances(InstanceIds=[user.lab.workers["worker-1"]])


def enable_check(user: CliUser) -> None:
    user.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=user.interface("worker-1"), SourceDestCheck={"Value": True}
    )


def remove_pod_rule(user: CliUser) -> None:
    user.ec2.revoke_security_group_ingress(
        GroupId=user.lab.security_group_id,
        IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.200.0.0/16"}]}],
    )


def deny_in_acl(user: CliUser) -> None:
    acl = acl_of(user.ec2, user.lab.vpc_id)
    user.ec2.create_network_acl_entry(
        NetworkAclId=acl,
        RuleNumber=50,
        Protocol="-1",
        RuleAction="deny",
        Egress=False,
        CidrBlock="10.200.3.0/24",
    )


def acl_of(ec2: EC2Client, vpc_id: str) -> str:
    acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
    return str(acls["NetworkAcls"][0]["NetworkAclId"])


def use_another_table(user: CliUser) -> None:
    table_id = labs.create_table(user.ec2, user.lab.vpc_id, "private")
    tables = user.ec2.describe_route_tables(RouteTableIds=[user.lab.table_id])
    association = next(
        one["RouteTableAssociationId"]
        for one in tables["RouteTables"][0]["Associations"]
        if one.get("SubnetId") != user.lab.subnet_id
    )
    user.ec2.replace_route_table_association(
        AssociationId=association, RouteTableId=table_id
    )


@pytest.mark.parametrize(
    ("inject", "check", "pairs", "first_word"),
    [
        pytest.param(delete_route, "route", 6, "pulumi", id="a route is deleted"),
        pytest.param(stop_instance, "instance", 6, "aws", id="an instance is stopped"),
        pytest.param(
            enable_check, "source/destination check", 6, "aws", id="a check is on"
        ),
        pytest.param(
            remove_pod_rule, "security group", 12, "aws", id="no rule lets pods in"
        ),
        pytest.param(deny_in_acl, "network ACL", 6, "aws", id="an ACL denies"),
        pytest.param(use_another_table, "route", 6, "pulumi", id="a table is missing"),
    ],
)
def test_a_fault_is_reported_and_fixed_by_the_suggested_command(
    verified: CliUser,
    inject: Callable[[CliUser], None],
    check: str,
    pairs: int,
    first_word: str,
) -> None:
    inject(verified)

    result = verify(verified)
    assert {cause["check"] for cause in causes(result)} == {check}
    assert sum(cause["pairs"] for cause in causes(result)) == pairs
    assert result["reachability"]["reachable"] == 12 - pairs
    assert causes(result)[0]["command"].startswith(first_word)
    for _ in range(2):  # a table that is selected still has to be filled
        for command in commands(causes(result)):
            follow(verified, command)
        result = verify(verified)
        if result["outcome"] == "PASS":
            return
    raise AssertionError(json.dumps(result, indent=2))


def test_the_same_deny_inside_one_subnet_changes_no_result(settled: CliUser) -> None:
    settled.ec2.create_network_acl_entry(
        NetworkAclId=acl_of(settled.ec2, settled.lab.vpc_id),
        RuleNumber=50,
        Protocol="-1",
        RuleAction="deny",
        Egress=False,
        CidrBlock="10.200.0.0/16",
    )

    assert verify(settled)["outcome"] == "PASS"


def test_verification_takes_four_calls_more_and_one_for_each_prefix_list(
    verified: CliUser, local_aws: Sandbox
) -> None:
    """The workers' user data was read by the update, and is not read again."""
    local_aws.clear_calls()
    verify(verified)
    counted = local_aws.count()

    assert counted == {
        "GetCallerIdentity": 1,
        "DescribeVpcs": 1,
        "DescribeInstances": 1,
        "DescribeRouteTables": 1,
        "DescribeSubnets": 1,
        "DescribeNetworkAcls": 1,
        "DescribeSecurityGroupRules": 1,
        "DescribeNetworkInterfaces": 1,
        "GetManagedPrefixListEntries": 1,
    }


def test_a_saved_snapshot_gives_the_same_result_without_aws(verified: CliUser) -> None:
    delete_route(verified)
    result = verify(verified, "--save-snapshot snapshot.json")
    again = "python -m routes verify --snapshot snapshot.json --output"
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}

    outcome = verified.types(f"{again} json", **nowhere)

    assert outcome.code == 1
    assert json.loads(outcome.text) == result
    page = verified.types(f"{again} html", **nowhere)
    assert page.code == 1
    assert page.text.startswith("<!DOCTYPE html>\n")
    assert page.text.endswith("</html>\n")
    text = (verified.workspace.path / "snapshot.json").read_text()
    assert labs.user_data(0) not in text


def test_the_terminal_shows_tables_and_ends_with_the_outcome(verified: CliUser) -> None:
    passed = verified.does(VERIFY)
    assert "12 of 12 pairs" in passed.text
    assert passed.text.endswith("PASS: 12 of 12 pairs.\n")

    delete_route(verified)
    failed = verified.types(VERIFY)
    assert failed.code == 1
    assert "missing" in failed.text
    assert "\x1b[" not in failed.text

    quiet = verified.types("python -m routes verify -q")
    assert (quiet.code, quiet.text) == (1, failed.text.splitlines(keepends=True)[-1])

    trace = verified.types("python -m routes verify --from worker-0 --to worker-1")
    assert trace.code == 1
    assert "FAIL: worker-0 does not reach worker-1, 1 cause. Next: " in trace.text
    verified.does("python -m routes verify --from worker-0 --to worker-3")


def test_a_missing_worker_is_a_finding_and_the_rest_is_verified(
    verified: CliUser,
) -> None:
    verified.ec2.terminate_instances(InstanceIds=[verified.lab.workers["worker-1"]])

    result = verify(verified)

    assert "worker-1" in {finding["resource"] for finding in result["findings"]}
    reachability = result["reachability"]
    assert (reachability["reachable"], reachability["pairs"]) == (6, 12)
    assert reachability["unevaluated"] == ["worker-1"]
    assert result["outcome"] == "FAIL"


def test_the_route_of_a_worker_with_a_namesake_is_unknown_and_not_to_be_deleted(
    verified: CliUser,
) -> None:
    """This is how a replaced worker looks: its old instance is only stopped."""
    stop_instance(verified)
    labs.add_worker(
        verified.ec2,
        verified.lab,
        "worker-1",
        address="10.0.1.41",
        user_data=labs.user_data(1),
    )

    result = verify(verified)

    (route,) = (each for each in result["routes"] if each["status"] == "unknown")
    assert route["destination"] == labs.pod_cidr(1)
    assert route["reason"] == "the plan has faults"
    assert route["command"] == ""
    assert "pulumi up" not in json.dumps(result)  # the plan has a fault: it is refused
    assert "delete-route" not in json.dumps(result)

    verified.ec2.terminate_instances(InstanceIds=[verified.lab.workers["worker-1"]])
    for command in commands(verify(verified)["routes"]):
        follow(verified, command)
    assert verify(verified)["outcome"] == "PASS"


def test_before_the_first_update_one_without_refresh_is_suggested(
    user: CliUser,
) -> None:
    result = verify(user)

    assert commands(result["routes"]) == ["pulumi up --stack dev"]
    follow(user, "pulumi up --stack dev")
    assert verify(user)["outcome"] == "PASS"


def test_while_an_update_is_pending_the_outcome_is_unknown(verified: CliUser) -> None:
    """The state's file is as a killed engine leaves it."""
    file = verified.workspace.path / "state/.pulumi/stacks/pod-routes/dev.json"
    state = json.loads(file.read_text())
    latest = state["checkpoint"]["latest"]
    (route, *_) = (r for r in latest["resources"] if r["type"] == "aws:ec2/route:Route")
    latest["pending_operations"] = [{"resource": route, "type": "creating"}]
    file.write_text(json.dumps(state))

    outcome = verified.types(f"{VERIFY} --output json")

    assert outcome.code == 2
    result = json.loads(outcome.text)
    assert result["outcome"] == "UNKNOWN"
    (finding,) = result["findings"]
    assert finding["details"] == [f"creating {route['urn'].rpartition('::')[2]}"]
    follow(verified, finding["command"])
    assert verify(verified)["outcome"] == "PASS"


def test_routes_can_be_verified_as_an_update_would_leave_them(user: CliUser) -> None:
    assert verify(user)["outcome"] == "FAIL"
    assert verify(user, "--planned")["outcome"] == "PASS"

    enable_check(user)

    (cause,) = causes(verify(user, "--planned"))
    assert cause["check"] == "source/destination check"
    assert user.pod_routes() == {}


def test_a_plain_update_leaves_a_deleted_route_drifted_and_planned_names_it(
    verified: CliUser,
) -> None:
    delete_route(verified)

    result = verify(verified, "--planned")

    assert result["planned"]
    (cause,) = causes(result)
    assert cause["details"] == ["10.200.1.0/24 of worker-1"]
    assert "without --refresh leaves this route drifted" in cause["hint"]
    verified.does("pulumi up --yes --skip-preview")
    assert "10.200.1.0/24" not in verified.pod_routes()
    for command in commands(causes(result)):
        follow(verified, command)
    assert verify(verified)["outcome"] == "PASS"


def test_an_unmanaged_route_for_a_part_of_a_pod_cidr_is_explained_and_never_deleted(
    verified: CliUser,
) -> None:
    verified.ec2.create_route(
        RouteTableId=verified.lab.table_id,
        DestinationCidrBlock="10.200.1.128/25",
        NetworkInterfaceId=verified.interface("worker-2"),
    )

    result = verify(verified)

    (cause,) = causes(result)
    assert "it isn't in this stack's state" in cause["hint"]
    assert cause["command"] == ""
    assert "Next:" not in verified.types(VERIFY).text


def test_a_subnet_that_reaches_no_pod_is_reported_and_fixed(verified: CliUser) -> None:
    """It may be the API server's, whose webhooks need pods."""
    subnet = verified.ec2.create_subnet(
        VpcId=verified.lab.vpc_id, CidrBlock="10.0.80.0/24"
    )["Subnet"]["SubnetId"]
    source = f"--from {subnet}"
    assert verify(verified)["outcome"] == "PASS"

    result = verify(verified, source)

    reachable = [(each["id"], each["reachable"]) for each in result["sources"]]
    assert reachable == [(subnet, 0)]
    (cause,) = causes(result)
    for command in (cause["command"], "pulumi up --stack dev"):
        follow(verified, command)
    worker = verified.lab.workers["worker-0"]
    assert verify(verified, source, "--from", worker)["outcome"] == "PASS"
    same = verified.types(f"{VERIFY} --from {worker} --to worker-0")
    assert same.code == 2
    assert "are both worker-0" in same.text


def test_a_source_outside_the_vpc_exits_with_2(verified: CliUser) -> None:
    outcome = verified.types(f"{VERIFY} --from i-0123456789abcdef0")

    assert outcome.code == 2
    assert "i-0123456789abcdef0" in outcome.text


def test_a_route_retargeted_to_a_gateway_is_explained_and_restored_once_it_is_deleted(
    verified: CliUser,
) -> None:
    verified.ec2.replace_route(
        RouteTableId=verified.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        GatewayId=verified.lab.gateway_id,
    )
    verified.does("pulumi refresh --yes --skip-preview")
    refused = verified.is_refused("pulumi up --yes --refresh")
    assert "10.200.1.0/24 is already routed in rtb-" in refused
    assert "which isn't a worker" in refused

    result = verify(verified)
    (cause,) = causes(result)
    assert "If nobody needs it like that, delete it" in cause["hint"]
    assert not [c for c in commands(result["routes"]) if c.startswith("aws")]
    delete_route(verified)
    for command in commands(verify(verified)["routes"]):
        follow(verified, command)

    assert verify(verified)["outcome"] == "PASS"


def test_a_file_that_cannot_be_written_exits_with_2(verified: CliUser) -> None:
    outcome = verified.types(f"{VERIFY} --save-snapshot /nowhere/file")

    assert outcome.code == 2
    assert "/nowhere/file cannot be written: No such file" in outcome.text


def test_a_terminal_that_lacks_a_character_shows_all_others(verified: CliUser) -> None:
    verified.does(VERIFY, PYTHONIOENCODING="ascii")


def test_a_failed_call_exits_with_2(verified: CliUser) -> None:
    verified.does("pulumi config set aws:maxRetries 2")
    outcome = verified.types(VERIFY, AWS_ENDPOINT_URL_EC2="http://127.0.0.1:1")

    assert outcome.code == 2
    assert "Traceback" not in outcome.text
