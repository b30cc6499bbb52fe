"""No live route is lost, whatever the form of the state and whatever EC2 answers."""

from __future__ import annotations

import json
from collections.abc import Callable

from routes.model import ROUTE_TYPE
from sandbox import lab as labs
from sandbox.ec2.answers import LOGIN_PAGE
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.e2e.cli_user import CliUser
from tests.e2e.test_adoption import by_hand, import_command, import_file
from tests.e2e.watching import WATCH, WATCHED, Poll, Watch, add, target, until

UP = "pulumi up --yes --skip-preview"
WRITES = {"CreateRoute", "ReplaceRoute", "DeleteRoute"}


def import_by_name(user: CliUser, protect: str) -> None:
    """Import each route as Pulumi's documentation does, under a name of its own."""
    by_hand(user, *user.lab.workers)
    for index, worker in enumerate(user.lab.workers):
        key = f"{user.lab.table_id}_{labs.pod_cidr(index)}"
        user.does(
            f"pulumi import {ROUTE_TYPE} {worker} {key} --yes --generate-code=false"
            f" --protect={protect}"
        )


def test_routes_imported_under_other_names_are_managed_by_the_stack(
    user: CliUser, local_aws: Sandbox
) -> None:
    import_by_name(user, "true")
    user.configure(maxRemovals="0")
    local_aws.clear_calls()

    document, text = import_file(user)
    verified = user.does("python -m routes verify --stack dev --planned -q")
    updated = user.does(UP)

    assert document["resources"] == []
    assert "0 to adopt, 3 managed already" in text
    assert "PASS" in verified.text
    assert updated.changes() == {"create": 1, "unchange": 4}
    assert not local_aws.count().keys() & WRITES
    user.does("pulumi preview --expect-no-changes --refresh")
    assert user.pod_routes() == user.desired()
    user.does("pulumi destroy --yes --skip-preview")
    assert user.pod_routes() == {}


def test_a_watcher_leaves_the_routes_of_an_earlier_program_in_place(
    user: CliUser, local_aws: Sandbox
) -> None:
    import_by_name(user, "false")
    user.configure(**WATCHED)
    local_aws.clear_calls()

    user.does(f"{WATCH} --once")

    assert not local_aws.count().keys() & WRITES
    assert user.pod_routes() == user.desired()


def test_a_route_that_the_state_has_twice_is_refused_with_a_command(
    settled: CliUser, local_aws: Sandbox
) -> None:
    exported = json.loads(settled.does("pulumi stack export").text)
    resources = exported["deployment"]["resources"]
    first = next(one for one in resources if one["type"] == ROUTE_TYPE)
    outer = first | {"urn": f"urn:pulumi:dev::pod-routes::{ROUTE_TYPE}::own"}
    outer.pop("parent")
    resources.append(outer)
    (settled.workspace.path / "state.json").write_text(json.dumps(exported))
    settled.does("pulumi stack import --file state.json")
    local_aws.clear_calls()

    refused = settled.types(UP)

    assert refused.code != 0
    (command,) = {
        line.strip() for line in refused.text.splitlines() if "state delete" in line
    }
    settled.pastes(f"{command} --yes")
    settled.does("pulumi preview --expect-no-changes")
    assert not local_aws.count().keys() & WRITES


def test_the_outputs_have_the_routes_that_a_targeted_update_applied(
    user: CliUser,
) -> None:
    """A route that it left out doesn't count as somebody else's when it is removed."""
    user.configure(workers="worker-0")
    user.does(UP)
    user.configure()
    urns = [one["urn"] for one in user.state() if one["type"] == ROUTE_TYPE]
    urn = urns[0].replace("10.200.0.0", "10.200.1.0")

    user.does(f"{UP} --target {urn}")

    applied = {route["destinationCidr"] for route in user.outputs()["routes"]}
    assert applied == {"10.200.0.0/24", "10.200.1.0/24"} == user.pod_routes().keys()
    user.does(UP)
    user.ec2.terminate_instances(InstanceIds=[user.lab.workers["worker-2"]])
    user.configure(workers="worker-0,worker-1")
    assert user.does(UP).changes()["delete"] == 1


def test_after_a_failed_change_another_owners_route_is_still_kept(
    served: CliUser, local_aws: Sandbox
) -> None:
    """The outputs of an update say which routes the stack applied.

    With --continue-on-error the engine knows no outputs of a resource that failed.
    """
    applied = served.outputs()["routes"]
    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-1"]])
    add(served, 1)
    fault = Fault(action="ReplaceRoute", match="10.200.1.0", code="InternalFailure")
    local_aws.control(Control(faults=(fault,)))
    assert served.types(f"{WATCH} --once").code == 2
    local_aws.control(Control())
    assert served.outputs()["routes"] == applied
    theirs = target(served, add(served, 9, "router", user_data="none"))
    served.ec2.replace_route(
        RouteTableId=served.lab.table_id,
        DestinationCidrBlock=labs.pod_cidr(2),
        NetworkInterfaceId=theirs,
    )
    served.ec2.terminate_instances(InstanceIds=[served.lab.workers["worker-2"]])
    served.does("pulumi refresh --yes --skip-preview")

    once = served.types(f"{WATCH} --once")

    assert once.code == 1
    assert f"now leads to {theirs}" in once.text
    assert served.pod_routes()[labs.pod_cidr(2)] == theirs


def test_no_route_is_deleted_if_a_list_lacks_a_live_worker(
    settled: CliUser, local_aws: Sandbox
) -> None:
    """Not even that of a terminated worker, which the list may lack by mistake too."""
    settled.configure(workers="worker-*")
    lacking = settled.lab.workers["worker-1"]
    short = Fault(action="DescribeInstances", unlisted=(lacking,), unless=lacking)
    local_aws.control(Control(faults=(short,)))

    settled.does("pulumi preview --expect-no-changes")
    settled.ec2.terminate_instances(InstanceIds=[settled.lab.workers["worker-2"]])
    refused = settled.is_refused(UP)

    assert "It lacked these, which are live when looked up by id" in refused
    assert lacking in refused
    local_aws.control(Control())
    assert settled.does(UP).changes()["delete"] == 1


def test_an_instance_that_ec2_does_not_know_keeps_its_active_route(
    settled: CliUser, local_aws: Sandbox
) -> None:
    settled.configure(workers="worker-*")
    lacking = settled.lab.workers["worker-1"]
    local_aws.control(Control(faults=(Fault(action="*", unlisted=(lacking,)),)))

    assert "doesn't know that instance by its id" in settled.is_refused(UP)


def polled(local_aws: Sandbox, action: str, times: int, watch: Watch) -> None:
    """Wait for more than so many calls, one in each poll."""
    local_aws.clear_calls()
    until(lambda: local_aws.count()[action] > times, watch)


def test_workers_that_are_listed_incompletely_keep_their_routes(
    served: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    """The route of another worker, replaced at the same time, is retargeted."""
    unlisted, bare, replaced = served.lab.workers.values()
    fault = Fault(action="DescribeInstances", unlisted=(unlisted,), bare=(bare,))
    before = served.pod_routes()
    with Poll(local_aws, served.lab.table_id) as poll:
        watch = watching()
        watch.logs("3 of 3 routes are in place.")
        local_aws.control(Control(faults=(fault,)))
        polled(local_aws, "DescribeInstances", 3, watch)
        assert served.pod_routes() == before
        served.ec2.terminate_instances(InstanceIds=[replaced])
        new = add(served, 2)
        until(
            lambda: (
                (labs.pod_cidr(2), target(served, new)) in served.pod_routes().items()
            ),
            watch,
        )
        local_aws.control(Control())
        watch.logs("3 of 3 routes are in place.", times=2)
    watch.ends()
    for index, worker in enumerate((unlisted, bare)):
        assert (labs.pod_cidr(index), target(served, worker)) not in poll.unlisted


def test_a_route_whose_answer_was_lost_is_imported_and_follows_its_worker(
    served: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    lost = Fault(action="CreateRoute", lost=True, times=1)
    local_aws.control(Control(faults=(lost,)))
    fourth = add(served, 3)
    watch = watching()

    watch.logs("1 to import")
    watch.logs("4 of 4 routes are in place.")
    served.ec2.terminate_instances(InstanceIds=[fourth])
    new = add(served, 3)
    route = labs.pod_cidr(3), target(served, new)
    until(lambda: route in served.pod_routes().items(), watch)
    watch.ends()


def test_a_route_to_a_deleted_interface_is_adopted_and_then_retargeted(
    user: CliUser, local_aws: Sandbox
) -> None:
    user.configure(workers="worker-0,worker-2")
    user.does(UP)
    by_hand(user, "worker-1")
    user.ec2.terminate_instances(InstanceIds=[user.lab.workers["worker-1"]])
    new = add(user, 1)
    user.configure()
    assert "or a deleted one" in user.is_refused("pulumi preview")
    local_aws.clear_calls()

    _, text = import_file(user)
    user.does(import_command(text))
    user.does(UP)

    assert user.pod_routes()[labs.pod_cidr(1)] == target(user, new)
    assert local_aws.count().keys() & WRITES == {"ReplaceRoute"}


def test_outdated_answers_about_tables_cost_no_route(
    served: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Neither in the table nor in the state."""
    watch = watching()
    watch.logs("3 of 3 routes are in place.")
    stale = Fault(action="DescribeRouteTables", stale=8)
    local_aws.control(Control(faults=(stale,)))
    fourth = add(served, 3)
    route = labs.pod_cidr(3), target(served, fourth)

    until(lambda: route in served.pod_routes().items(), watch)
    watch.logs("4 of 4 routes are in place.")
    local_aws.control(Control())
    local_aws.clear_calls()
    polled(local_aws, "DescribeInstances", 3, watch)
    watch.ends()

    assert not watch.count("drifted")
    assert not local_aws.count().keys() & WRITES
    served.does("pulumi preview --expect-no-changes --refresh")


def test_a_fault_of_one_route_blocks_no_other(watched: CliUser) -> None:
    """An entry without a worker, a deleted table, and a limit of deletions."""
    other = labs.create_table(watched.ec2, watched.lab.vpc_id, "other")
    watched.configure(
        **WATCHED | {"routeTables": "kubernetes,other", "maxRemovals": "0"}
    )
    watched.does(f"{WATCH} --once")
    watched.configure(
        **WATCHED
        | {
            "routeTables": "kubernetes,other",
            "maxRemovals": "0",
            "workers": "worker-*,spare-*",
        }
    )
    for destination in watched.pod_routes(other):
        watched.ec2.delete_route(RouteTableId=other, DestinationCidrBlock=destination)
    watched.ec2.delete_route_table(RouteTableId=other)
    old = [watched.lab.workers[name] for name in ("worker-1", "worker-2")]
    watched.ec2.terminate_instances(InstanceIds=old)
    new = add(watched, 1)

    once = watched.types(f"{WATCH} --once --log-format text")

    text = " ".join(once.text.split())
    assert once.code == 1
    assert watched.pod_routes()[labs.pod_cidr(1)] == target(watched, new)
    assert labs.pod_cidr(2) in watched.pod_routes()
    assert "spare-*: expected a live instance" in text
    assert "Name=other in us-east-1, found none" in text
    before = len(watched.state())
    assert watched.types(f"{WATCH} --once").code == 1
    assert len(watched.state()) == before


def test_a_web_page_instead_of_an_answer_changes_nothing(
    served: CliUser, local_aws: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Not even a page that an XML parser reads as an answer without content."""
    watch = watching()
    watch.logs("3 of 3 routes are in place.")
    local_aws.clear_calls()
    before = served.pod_routes()

    for page in (LOGIN_PAGE, "<html><body>Log in</body></html>"):
        for action in ("DescribeInstances", "DescribeRouteTables"):
            local_aws.control(
                Control(faults=(Fault(action=action, html=page, times=4),))
            )
            assert served.types("pulumi preview").code != 0
    local_aws.control(Control())

    assert served.pod_routes() == before
    assert not local_aws.count().keys() & WRITES
    assert watch.process.poll() is None
