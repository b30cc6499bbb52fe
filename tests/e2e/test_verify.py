"""`python -m routes verify` against the lab: each break is found, named and mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.commands import call
from tests.e2e.moments import BEGINNING, Moments, with_routes
from tests.e2e.person import Person

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

VERIFY = "python -m routes verify --stack dev"


def a_fourth_worker_in_a_second_subnet(person: Person) -> None:
    lab = person.lab
    subnet = person.ec2.create_subnet(VpcId=lab.vpc_id, CidrBlock="10.0.64.0/24")
    there = replace(lab, subnet_id=str(subnet["Subnet"]["SubnetId"]))
    person.ec2.associate_route_table(
        RouteTableId=lab.table_id, SubnetId=there.subnet_id
    )
    instance_id = labs.add_worker(
        person.ec2,
        there,
        "worker-3",
        address="10.0.64.20",
        user_data=labs.user_data(3),
    )
    workers = {**lab.workers, "worker-3": instance_id}
    person.lab = replace(lab, workers=workers)
    person.configure(workers=list(workers))


@pytest.fixture
def verified(person: Person, moments: Moments) -> Person:
    """A person with a fourth worker in a second subnet, and every route in place."""
    del person  # it compares the unmanaged routes at the end
    return moments.after(
        *BEGINNING,
        a_fourth_worker_in_a_second_subnet,
        with_routes,
    )


def verify(person: Person, *options: str) -> dict[str, Any]:
    """Return what the command says to machines; its exit code agrees with it."""
    outcome = person.types(" ".join([VERIFY, "--output json", *options]))
    found: dict[str, Any] = json.loads(outcome.text)
    assert (outcome.code == 0) == found["well"]
    return found


def remedies(found: Iterable[Mapping[str, Any]]) -> dict[str, None]:
    """Return each command that is printed with these, once, in order."""
    return dict.fromkeys(remedy for each in found for remedy in each["remedies"])


def obey(person: Person, command: str) -> None:
    """Do what was printed: `pulumi` for real, `aws ec2` as its option names say."""
    if command.startswith("pulumi "):
        update = command.split()[1] in {"up", "refresh"}
        person.does(command + " --yes" * update)
    else:
        call(person.ec2, command)


def delete_route(person: Person) -> None:
    person.ec2.delete_route(
        RouteTableId=person.lab.table_id, DestinationCidrBlock="10.200.1.0/24"
    )


def stop_instance(person: Person) -> None:
    person.ec2.stop_instances(InstanceIds=[person.lab.workers["worker-1"]])


def turn_check_on(person: Person) -> None:
    person.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=person.interface("worker-1"), SourceDestCheck={"Value": True}
    )


def remove_pod_rule(person: Person) -> None:
    person.ec2.revoke_security_group_ingress(
        GroupId=person.lab.security_group_id,
        IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.200.0.0/16"}]}],
    )


def deny_in_acl(person: Person) -> None:
    acl = acl_of(person.ec2, person.lab.vpc_id)
    person.ec2.create_network_acl_entry(
        NetworkAclId=acl,
        RuleNumber=50,
        Protocol="-1",
        RuleAction="deny",
        Egress=False,
        CidrBlock="10.200.3.0/24",
    )


def acl_of(ec2: EC2Client, vpc_id: str) -> str:
    found = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
    return str(found["NetworkAcls"][0]["NetworkAclId"])


def use_another_table(person: Person) -> None:
    table_id = labs.create_table(person.ec2, person.lab.vpc_id, "private")
    tables = person.ec2.describe_route_tables(RouteTableIds=[person.lab.table_id])
    association = next(
        one["RouteTableAssociationId"]
        for one in tables["RouteTables"][0]["Associations"]
        if one.get("SubnetId") != person.lab.subnet_id
    )
    person.ec2.replace_route_table_association(
        AssociationId=association, RouteTableId=table_id
    )


@pytest.mark.parametrize(
    ("break_it", "step", "pairs", "first_word"),
    [
        pytest.param(delete_route, "route", 6, "pulumi", id="a route is deleted"),
        pytest.param(stop_instance, "instance", 6, "aws", id="an instance is stopped"),
        pytest.param(
            turn_check_on, "source/destination check", 6, "aws", id="a check is on"
        ),
        pytest.param(
            remove_pod_rule, "security group", 12, "aws", id="no rule lets pods in"
        ),
        pytest.param(deny_in_acl, "network ACL", 6, "aws", id="an ACL denies"),
        pytest.param(use_another_table, "route", 6, "pulumi", id="a table is missing"),
    ],
)
def test_a_break_is_found_named_and_mended_by_the_command_that_is_printed(
    verified: Person,
    break_it: Callable[[Person], None],
    step: str,
    pairs: int,
    first_word: str,
) -> None:
    break_it(verified)

    found = verify(verified)
    assert {cause["step"] for cause in found["causes"]} == {step}
    assert sum(cause["pairs"] for cause in found["causes"]) == pairs
    assert found["reachability"]["reachable"] == 12 - pairs
    assert found["causes"][0]["remedies"][0].startswith(first_word)
    for _ in range(2):  # a table that is added still has to be filled
        for command in remedies(found["causes"]):
            obey(verified, command)
        found = verify(verified)
        if found["well"]:
            return
    raise AssertionError(json.dumps(found, indent=2))


def test_the_same_deny_inside_one_subnet_changes_no_verdict(settled: Person) -> None:
    settled.ec2.create_network_acl_entry(
        NetworkAclId=acl_of(settled.ec2, settled.lab.vpc_id),
        RuleNumber=50,
        Protocol="-1",
        RuleAction="deny",
        Egress=False,
        CidrBlock="10.200.0.0/16",
    )

    assert verify(settled)["well"]


def test_verification_costs_four_calls_more_and_one_for_each_prefix_list(
    verified: Person, box: Sandbox
) -> None:
    """The workers' user data was read by the update, and is not read again."""
    box.clear_calls()
    verify(verified)
    counted = box.count()

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


def test_a_saved_snapshot_gives_the_same_verdict_without_aws(verified: Person) -> None:
    delete_route(verified)
    there = verify(verified, "--save-snapshot moment.json")
    again = "python -m routes verify --snapshot moment.json --output"
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}

    outcome = verified.types(f"{again} json", **nowhere)

    assert outcome.code == 1
    assert json.loads(outcome.text) == there
    page = verified.types(f"{again} html", **nowhere)
    assert page.code == 1
    assert page.text.startswith("<!DOCTYPE html>\n")
    assert page.text.endswith("</html>\n")
    text = (verified.workspace.path / "moment.json").read_text()
    assert labs.user_data(0) not in text


def test_the_terminal_shows_tables_and_says_how_it_went(verified: Person) -> None:
    well = verified.does(VERIFY)
    assert "12 of 12 pairs" in well.text
    assert well.text.endswith("WELL: 12 of 12 pairs.\n")

    delete_route(verified)
    broken = verified.types(VERIFY)
    assert broken.code == 1
    assert "missing" in broken.text
    assert "\x1b[" not in broken.text

    quiet = verified.types("python -m routes verify -q")
    assert (quiet.code, quiet.text) == (1, broken.text.splitlines(keepends=True)[-1])

    way = verified.types("python -m routes verify --from worker-0 --to worker-1")
    assert way.code == 1
    assert "NOT WELL: worker-0 does not reach worker-1, 1 cause. Next: " in way.text
    verified.does("python -m routes verify --from worker-0 --to worker-3")


def test_a_missing_worker_is_a_finding_and_the_rest_is_verified(
    verified: Person,
) -> None:
    verified.ec2.terminate_instances(InstanceIds=[verified.lab.workers["worker-1"]])

    found = verify(verified)

    assert "worker-1" in {finding["where"] for finding in found["findings"]}
    assert (found["reachability"]["reachable"], found["reachability"]["pairs"]) == (
        6,
        12,
    )
    assert found["reachability"]["undecided"] == ["worker-1"]
    assert not found["well"]


def test_a_doubled_worker_s_route_is_the_stack_s_and_not_to_be_deleted(
    verified: Person,
) -> None:
    """What a reader meets who replaces a worker: its old instance is only stopped."""
    stop_instance(verified)
    labs.add_worker(
        verified.ec2,
        verified.lab,
        "worker-1",
        address="10.0.1.41",
        user_data=labs.user_data(1),
    )

    found = verify(verified)

    (route,) = (one for one in found["routes"] if one["standing"] == "undecided")
    assert route["destination"] == labs.pod_cidr(1)
    assert route["why"] == "its worker could not be judged"
    assert route["remedies"] == []
    assert "pulumi up" not in json.dumps(found)  # the plan has a fault: it is refused
    assert "delete-route" not in json.dumps(found)

    verified.ec2.terminate_instances(InstanceIds=[verified.lab.workers["worker-1"]])
    for command in remedies(verify(verified)["routes"]):
        obey(verified, command)
    assert verify(verified)["well"]


def test_before_the_first_update_a_plain_one_is_proposed(person: Person) -> None:
    found = verify(person)

    assert [*remedies(found["routes"])] == ["pulumi up --stack dev"]
    obey(person, "pulumi up --stack dev")
    assert verify(person)["well"]


def test_while_an_update_is_pending_nobody_can_tell(verified: Person) -> None:
    """As an engine that was killed leaves it, in the state's file."""
    file = verified.workspace.path / "state/.pulumi/stacks/pod-routes/dev.json"
    state = json.loads(file.read_text())
    latest = state["checkpoint"]["latest"]
    (route, *_) = (r for r in latest["resources"] if r["type"] == "aws:ec2/route:Route")
    latest["pending_operations"] = [{"resource": route, "type": "creating"}]
    file.write_text(json.dumps(state))

    outcome = verified.types(f"{VERIFY} --output json")

    assert outcome.code == 2
    found = json.loads(outcome.text)
    (finding,) = found["findings"]
    assert finding["rows"] == [f"creating {route['urn'].rpartition('::')[2]}"]
    obey(verified, finding["remedies"][0])
    assert verify(verified)["well"]


def test_what_an_update_would_leave_is_judged_before_it(person: Person) -> None:
    assert not verify(person)["well"]
    assert verify(person, "--planned")["well"]

    turn_check_on(person)

    (cause,) = verify(person, "--planned")["causes"]
    assert cause["step"] == "source/destination check"
    assert person.pod_routes() == {}


def test_a_plain_update_leaves_a_deleted_route_drifted_and_planned_names_it(
    verified: Person,
) -> None:
    delete_route(verified)

    found = verify(verified, "--planned")

    assert found["planned"]
    (cause,) = found["causes"]
    assert cause["subjects"] == ["10.200.1.0/24 of worker-1"]
    assert "without --refresh leaves this route drifted" in cause["advice"]
    verified.does("pulumi up --yes --skip-preview")
    assert "10.200.1.0/24" not in verified.pod_routes()
    for command in remedies(found["causes"]):
        obey(verified, command)
    assert verify(verified)["well"]


def test_another_s_route_for_a_part_of_a_pod_cidr_is_explained_and_never_deleted(
    verified: Person,
) -> None:
    verified.ec2.create_route(
        RouteTableId=verified.lab.table_id,
        DestinationCidrBlock="10.200.1.128/25",
        NetworkInterfaceId=verified.interface("worker-2"),
    )

    found = verify(verified)

    (cause,) = found["causes"]
    assert "it isn't in this stack's state" in cause["advice"]
    assert cause["remedies"] == []
    assert "Next:" not in verified.types(VERIFY).text


def test_a_subnet_that_reaches_no_pod_is_named_and_mended(verified: Person) -> None:
    """The API server's, say: webhooks and `kubectl logs` need it."""
    subnet = verified.ec2.create_subnet(
        VpcId=verified.lab.vpc_id, CidrBlock="10.0.80.0/24"
    )["Subnet"]["SubnetId"]
    source = f"--from {subnet}"
    assert verify(verified)["well"]

    found = verify(verified, source)

    assert [(one["id"], one["reachable"]) for one in found["sources"]] == [(subnet, 0)]
    (cause,) = found["causes"]
    for command in (*cause["remedies"], "pulumi up --stack dev"):
        obey(verified, command)
    worker = verified.lab.workers["worker-0"]
    assert verify(verified, source, "--from", worker)["well"]
    one = verified.types(f"{VERIFY} --from {worker} --to worker-0")
    assert one.code == 2
    assert "are both worker-0" in one.text


def test_a_source_that_is_not_in_the_vpc_ends_with_two(verified: Person) -> None:
    outcome = verified.types(f"{VERIFY} --from i-0123456789abcdef0")

    assert outcome.code == 2
    assert "i-0123456789abcdef0" in outcome.text


def test_a_route_retargeted_to_a_gateway_is_explained_and_restored_once_it_is_deleted(
    verified: Person,
) -> None:
    verified.ec2.replace_route(
        RouteTableId=verified.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        GatewayId=verified.lab.gateway_id,
    )
    verified.does("pulumi refresh --yes --skip-preview")
    assert "that is no worker's" in verified.is_refused("pulumi up --yes --refresh")

    found = verify(verified)
    (cause,) = found["causes"]
    assert "If nobody needs it like that, delete it" in cause["advice"]
    assert not [one for one in remedies(found["routes"]) if one.startswith("aws")]
    delete_route(verified)
    for command in remedies(verify(verified)["routes"]):
        obey(verified, command)

    assert verify(verified)["well"]


def test_a_file_that_cannot_be_written_ends_with_two(verified: Person) -> None:
    outcome = verified.types(f"{VERIFY} --save-snapshot /nowhere/file")

    assert outcome.code == 2
    assert "/nowhere/file cannot be written: No such file" in outcome.text


def test_a_terminal_that_lacks_a_character_gets_the_rest(verified: Person) -> None:
    verified.does(VERIFY, PYTHONIOENCODING="ascii")


def test_a_call_that_failed_ends_with_two(verified: Person) -> None:
    verified.does("pulumi config set aws:maxRetries 2")
    outcome = verified.types(VERIFY, AWS_ENDPOINT_URL_EC2="http://127.0.0.1:1")

    assert outcome.code == 2
    assert "Traceback" not in outcome.text
