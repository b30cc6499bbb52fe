"""No live route is lost: not to a state of another form, nor to what EC2 answers."""

from __future__ import annotations

import json
from collections.abc import Callable

from routes.model import ROUTE_TYPE
from sandbox import lab as labs
from sandbox.ec2.answers import LOGIN_PAGE
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from tests.e2e.person import Person
from tests.e2e.test_adoption import by_hand, import_file
from tests.e2e.watching import WATCH, WATCHED, Poll, Watch, add, target, until

UP = "pulumi up --yes --skip-preview"
WRITES = {"CreateRoute", "ReplaceRoute", "DeleteRoute"}


def import_by_name(person: Person, protect: str) -> None:
    """Import each route as Pulumi's own documentation does, under any name."""
    by_hand(person, *person.lab.workers)
    for index, worker in enumerate(person.lab.workers):
        key = f"{person.lab.table_id}_{labs.pod_cidr(index)}"
        person.does(
            f"pulumi import {ROUTE_TYPE} {worker} {key} --yes --generate-code=false"
            f" --protect={protect}"
        )


def test_routes_that_were_imported_under_other_names_are_the_stacks_own(
    person: Person, box: Sandbox
) -> None:
    import_by_name(person, "true")
    person.configure(maxRemovals="0")
    box.clear_calls()

    document, said = import_file(person)
    verified = person.does("python -m routes verify --stack dev --planned -q")
    updated = person.does(UP)

    assert document["resources"] == []
    assert "0 to take over, 3 held already" in said
    assert "WELL" in verified.text
    assert updated.changes() == {"create": 1, "unchange": 4}
    assert not box.count().keys() & WRITES
    person.does("pulumi preview --expect-no-changes --refresh")
    assert person.pod_routes() == person.wanted()
    person.does("pulumi destroy --yes --skip-preview")
    assert person.pod_routes() == {}


def test_a_watcher_leaves_the_routes_of_an_earlier_program_in_place(
    person: Person, box: Sandbox
) -> None:
    import_by_name(person, "false")
    person.configure(**WATCHED)
    box.clear_calls()

    person.does(f"{WATCH} --once")

    assert not box.count().keys() & WRITES
    assert person.pod_routes() == person.wanted()


def test_a_route_that_the_state_has_twice_is_refused_with_the_command(
    settled: Person, box: Sandbox
) -> None:
    exported = json.loads(settled.does("pulumi stack export").text)
    resources = exported["deployment"]["resources"]
    first = next(one for one in resources if one["type"] == ROUTE_TYPE)
    outer = first | {"urn": f"urn:pulumi:dev::pod-routes::{ROUTE_TYPE}::own"}
    outer.pop("parent")
    resources.append(outer)
    (settled.workspace.path / "state.json").write_text(json.dumps(exported))
    settled.does("pulumi stack import --file state.json")
    box.clear_calls()

    refused = settled.types(UP)

    assert refused.code != 0
    (command,) = {
        line.strip() for line in refused.text.splitlines() if "state delete" in line
    }
    settled.pastes(f"{command} --yes")
    settled.does("pulumi preview --expect-no-changes")
    assert not box.count().keys() & WRITES


def test_the_outputs_are_what_a_targeted_update_applied(person: Person) -> None:
    """A later removal of what it left out is no route of somebody else."""
    person.configure(workers="worker-0")
    person.does(UP)
    person.configure()
    urns = [one["urn"] for one in person.state() if one["type"] == ROUTE_TYPE]
    urn = urns[0].replace("10.200.0.0", "10.200.1.0")

    person.does(f"{UP} --target {urn}")

    applied = {route["destinationCidr"] for route in person.outputs()["routes"]}
    assert applied == {"10.200.0.0/24", "10.200.1.0/24"} == person.pod_routes().keys()
    person.does(UP)
    person.ec2.terminate_instances(InstanceIds=[person.lab.workers["worker-2"]])
    person.configure(workers="worker-0,worker-1")
    assert person.does(UP).changes()["delete"] == 1


def test_a_list_that_lacks_a_live_worker_deletes_nothing(
    settled: Person, box: Sandbox
) -> None:
    """A second one has left for good: it may be lacking as well."""
    settled.configure(workers="worker-*")
    lacking = settled.lab.workers["worker-1"]
    short = Fault(action="DescribeInstances", unlisted=(lacking,), unless=lacking)
    box.control(Control(faults=(short,)))

    settled.does("pulumi preview --expect-no-changes")
    settled.ec2.terminate_instances(InstanceIds=[settled.lab.workers["worker-2"]])
    refused = settled.is_refused(UP)

    assert "lacked these, which are live when asked for by id" in refused
    assert lacking in refused
    box.control(Control())
    assert settled.does(UP).changes()["delete"] == 1


def test_an_instance_that_no_list_has_keeps_its_active_route(
    settled: Person, box: Sandbox
) -> None:
    settled.configure(workers="worker-*")
    lacking = settled.lab.workers["worker-1"]
    box.control(Control(faults=(Fault(action="*", unlisted=(lacking,)),)))

    assert "does not know that instance by its id" in settled.is_refused(UP)


def polled(box: Sandbox, action: str, times: int, watch: Watch) -> None:
    """Wait for so many more polls."""
    box.clear_calls()
    until(lambda: box.count()[action] > times, watch)


def test_served_workers_that_are_listed_badly_keep_their_routes(
    served: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    """And another worker that is replaced at that time gets its new target."""
    unlisted, bare, replaced = served.lab.workers.values()
    fault = Fault(action="DescribeInstances", unlisted=(unlisted,), bare=(bare,))
    before = served.pod_routes()
    with Poll(box, served.lab.table_id) as poll:
        watch = watching()
        watch.says("3 of 3 routes are in place.")
        box.control(Control(faults=(fault,)))
        polled(box, "DescribeInstances", 3, watch)
        assert served.pod_routes() == before
        served.ec2.terminate_instances(InstanceIds=[replaced])
        new = add(served, 2)
        until(
            lambda: (
                (labs.pod_cidr(2), target(served, new)) in served.pod_routes().items()
            ),
            watch,
        )
        box.control(Control())
        watch.says("3 of 3 routes are in place.", times=2)
    watch.ends()
    for index, worker in enumerate((unlisted, bare)):
        assert (labs.pod_cidr(index), target(served, worker)) not in poll.missed


def test_a_route_whose_answer_was_lost_is_imported_and_follows_its_worker(
    served: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    lost = Fault(action="CreateRoute", lost=True, times=1)
    box.control(Control(faults=(lost,)))
    fourth = add(served, 3)
    watch = watching()

    watch.says("1 to import")
    watch.says("4 of 4 routes are in place.")
    served.ec2.terminate_instances(InstanceIds=[fourth])
    new = add(served, 3)
    route = labs.pod_cidr(3), target(served, new)
    until(lambda: route in served.pod_routes().items(), watch)
    watch.ends()


def test_a_route_to_a_worker_that_is_gone_is_adopted_and_then_retargeted(
    person: Person, box: Sandbox
) -> None:
    person.configure(workers="worker-0,worker-2")
    person.does(UP)
    by_hand(person, "worker-1")
    person.ec2.terminate_instances(InstanceIds=[person.lab.workers["worker-1"]])
    new = add(person, 1)
    person.configure()
    assert "to one that is gone" in person.is_refused("pulumi preview")
    box.clear_calls()

    _, said = import_file(person)
    person.does(next(line for line in said.splitlines() if "pulumi import " in line))
    person.does(UP)

    assert person.pod_routes()[labs.pod_cidr(1)] == target(person, new)
    assert box.count().keys() & WRITES == {"ReplaceRoute"}


def test_tables_that_are_seconds_old_cost_no_route(
    served: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Neither in the table nor in the state."""
    watch = watching()
    watch.says("3 of 3 routes are in place.")
    stale = Fault(action="DescribeRouteTables", stale=8)
    box.control(Control(faults=(stale,)))
    fourth = add(served, 3)
    route = labs.pod_cidr(3), target(served, fourth)

    until(lambda: route in served.pod_routes().items(), watch)
    watch.says("4 of 4 routes are in place.")
    box.control(Control())
    box.clear_calls()
    polled(box, "DescribeInstances", 3, watch)
    watch.ends()

    assert not [said for said in watch.said if "drifted" in said]
    assert not box.count().keys() & WRITES
    served.does("pulumi preview --expect-no-changes --refresh")


def test_what_is_wrong_with_one_route_holds_back_no_other(watched: Person) -> None:
    """An entry without a worker, a table that was deleted, and a limit of deletions."""
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
    gone = [watched.lab.workers[name] for name in ("worker-1", "worker-2")]
    watched.ec2.terminate_instances(InstanceIds=gone)
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


def test_a_page_in_place_of_an_answer_changes_nothing(
    served: Person, box: Sandbox, watching: Callable[..., Watch]
) -> None:
    """Also one that an XML parser takes for an answer without content."""
    watch = watching()
    watch.says("3 of 3 routes are in place.")
    box.clear_calls()
    before = served.pod_routes()

    for page in (LOGIN_PAGE, "<html><body>Log in</body></html>"):
        for action in ("DescribeInstances", "DescribeRouteTables"):
            box.control(Control(faults=(Fault(action=action, html=page, times=4),)))
            assert served.types("pulumi preview").code != 0
    box.control(Control())

    assert served.pod_routes() == before
    assert not box.count().keys() & WRITES
    assert watch.process.poll() is None
