"""The life of a route: whatever happens to workers, tables and stacks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.cli_user import CliUser

UP = "pulumi up --yes --skip-preview"


@contextmanager
def never_without(user: CliUser, *destinations: str) -> Iterator[None]:
    """Read the table all the time; each destination must always have a route."""
    done = threading.Event()
    missing: list[str] = []
    polls = [0]

    def poll() -> None:
        while not done.is_set():
            polls[0] += 1
            missing.extend(set(destinations) - user.routes().keys())
            time.sleep(0.03)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert polls[0] > 10
    assert missing == []


def writes(local_aws: Sandbox) -> dict[str, int]:
    """Return the calls that change a route table."""
    return {name: n for name, n in local_aws.count().items() if name.endswith("Route")}


def replacement(user: CliUser, name: str, index: int) -> str:
    """Start a namesake of a worker, with the same pod CIDR."""
    return labs.add_worker(
        user.ec2,
        user.lab,
        name,
        address=f"10.0.1.{100 + index}",
        user_data=labs.user_data(index),
    )


def set_user_data(user: CliUser, worker: str, user_data: str) -> None:
    """Change a worker's user data, as EC2 allows while it is stopped."""
    instance_id = user.lab.workers[worker]
    user.ec2.stop_instances(InstanceIds=[instance_id])
    user.ec2.modify_instance_attribute(
        InstanceId=instance_id, UserData={"Value": user_data.encode()}
    )
    user.ec2.start_instances(InstanceIds=[instance_id])


def test_a_replaced_worker_is_one_in_place_update(
    settled: CliUser, local_aws: Sandbox
) -> None:
    settled.ec2.terminate_instances(InstanceIds=[settled.lab.workers["worker-1"]])
    new = replacement(settled, "worker-1", 1)

    with never_without(settled, "10.200.1.0/24"):
        up = settled.does(UP)

    assert up.changes() == {"update": 1, "unchange": 4}
    assert writes(local_aws) == {"ReplaceRoute": 1}
    assert settled.pod_routes()["10.200.1.0/24"] == labs.interface_of(settled.ec2, new)


def test_a_worker_whose_old_one_is_only_stopped_is_refused_until_it_is_pinned(
    settled: CliUser,
) -> None:
    old = settled.lab.workers["worker-1"]
    settled.ec2.stop_instances(InstanceIds=[old])
    new = replacement(settled, "worker-1", 1)

    text = settled.is_refused("pulumi up --yes")
    assert old in text
    assert new in text

    settled.configure(workers=["worker-0", new, "worker-2"])
    assert settled.does(UP).changes() == {"update": 1, "unchange": 4}


def test_three_workers_that_rotate_their_cidrs_are_in_place_updates(
    settled: CliUser, local_aws: Sandbox
) -> None:
    for index in range(3):
        moved = labs.user_data((index + 1) % 3)
        set_user_data(settled, f"worker-{index}", moved)
    local_aws.clear_calls()

    with never_without(settled, *settled.desired()):
        up = settled.does(UP)

    assert up.changes() == {"update": 3, "unchange": 2}
    assert writes(local_aws) == {"ReplaceRoute": 3}


def test_other_entries_for_the_same_workers_and_table_change_nothing(
    settled: CliUser,
) -> None:
    """In another order, with a wildcard that matches one of them again, and an id."""
    settled.configure(workers="worker-2,worker-?", routeTables=settled.lab.table_id)

    settled.does("pulumi preview --expect-no-changes")


def test_a_renamed_workers_route_is_untouched(
    settled: CliUser, local_aws: Sandbox
) -> None:
    settled.ec2.create_tags(
        Resources=[settled.lab.workers["worker-1"]],
        Tags=[{"Key": "Name", "Value": "node-b"}],
    )
    settled.configure(workers="worker-0,node-b,worker-2")

    settled.does(UP)

    assert writes(local_aws) == {}


def test_a_workers_new_cidr_is_a_create_and_a_delete(
    settled: CliUser, local_aws: Sandbox
) -> None:
    set_user_data(settled, "worker-1", labs.user_data(9))
    local_aws.clear_calls()

    settled.does(UP)

    assert writes(local_aws) == {"CreateRoute": 1, "DeleteRoute": 1}
    assert settled.pod_routes().keys() == {
        "10.200.0.0/24",
        "10.200.2.0/24",
        "10.200.9.0/24",
    }


def test_a_second_table_changes_nothing_in_the_first(settled: CliUser) -> None:
    second = labs.create_table(settled.ec2, settled.lab.vpc_id, "private-b")
    settled.configure(routeTables=["kubernetes", "private-b"])

    up = settled.does(UP)

    assert up.changes() == {"create": 4, "unchange": 5}
    assert settled.pod_routes(second) == settled.desired()


def test_a_table_swapped_for_another_moves_every_route(settled: CliUser) -> None:
    second = labs.create_table(settled.ec2, settled.lab.vpc_id, "private-b")
    settled.configure(routeTables="private-b")

    settled.does(UP)

    assert settled.pod_routes() == {}
    assert settled.pod_routes(second) == settled.desired()


def test_a_route_retargeted_by_hand_is_drift_and_repaired_by_one_replace(
    settled: CliUser, local_aws: Sandbox
) -> None:
    settled.ec2.replace_route(
        RouteTableId=settled.lab.table_id,
        DestinationCidrBlock="10.200.1.0/24",
        NetworkInterfaceId=settled.interface("worker-2"),
    )

    plain = " ".join(settled.does("pulumi preview").text.split())
    assert f"has drifted: it leads to {settled.interface('worker-2')} now." in plain
    assert settled.types("pulumi preview --refresh --expect-no-changes").code != 0
    local_aws.clear_calls()
    settled.does("pulumi up --refresh --yes --skip-preview")
    assert "has drifted" not in settled.does("pulumi preview").text

    assert writes(local_aws) == {"ReplaceRoute": 1}
    assert settled.pod_routes() == settled.desired()


def test_destroy_needs_no_worker(settled: CliUser) -> None:
    settled.ec2.terminate_instances(InstanceIds=list(settled.lab.workers.values()))

    settled.does("pulumi refresh --yes")
    settled.does("pulumi destroy --yes --skip-preview")

    assert settled.pod_routes() == {}


def test_destroy_with_a_route_already_deleted_by_hand(settled: CliUser) -> None:
    settled.ec2.delete_route(
        RouteTableId=settled.lab.table_id, DestinationCidrBlock="10.200.1.0/24"
    )

    settled.does("pulumi destroy --yes --skip-preview")

    assert settled.pod_routes() == {}


def test_a_stack_can_be_removed_and_created_again(settled: CliUser) -> None:
    settled.does("pulumi destroy --yes --skip-preview")
    settled.does("pulumi stack rm dev --yes --preserve-config")
    settled.does("pulumi stack init dev")

    settled.does(UP)

    assert settled.pod_routes() == settled.desired()


def test_two_stacks_share_a_table_but_no_destination(settled: CliUser) -> None:
    settled.configure(workers="worker-0,worker-1")
    settled.does(UP)
    settled.does("pulumi stack init other")
    config = {
        "aws:region": "us-east-1",
        "pod-routes:routeTables": "kubernetes",
        "pod-routes:clusterCidr": "10.200.0.0/16",
    }
    workspace = settled.workspace

    workspace.configure("other", config | {"pod-routes:workers": "worker-2"})
    settled.does("pulumi up --yes --skip-preview --stack other")
    assert settled.pod_routes() == settled.desired()
    settled.does("pulumi preview --expect-no-changes --stack dev")

    workspace.configure("other", config | {"pod-routes:workers": "worker-*"})
    text = settled.is_refused("pulumi preview --stack other")
    assert "these routes already exist" in text


def test_more_removals_than_allowed_are_refused_until_they_are_allowed_once(
    settled: CliUser,
) -> None:
    settled.configure(workers="worker-0", maxRemovals=1)

    refused = settled.types("pulumi up --yes")
    assert refused.code != 0
    assert len(settled.pod_routes()) == 3
    planned = "python -m routes verify --stack dev --planned --output json"
    result = json.loads(settled.types(planned).text)
    assert not result["planned"]
    resources = [finding["resource"] for finding in result["findings"]]
    assert resources == ["pod-routes:maxRemovals"]
    result = json.loads(settled.does(planned, POD_ROUTES_MAX_REMOVALS="2").text)
    assert (result["planned"], result["outcome"]) == (True, "PASS")
    lines = refused.text.splitlines()
    command = next(line for line in lines if "POD_ROUTES_MAX_REMOVALS" in line)
    settled.pastes(f"{command} --yes --skip-preview")
    assert settled.pod_routes().keys() == {"10.200.0.0/24"}

    settled.configure(workers="worker-1,worker-2", maxRemovals=0)
    assert "delete 1 of the 1 routes" in settled.is_refused("pulumi up --yes")


def test_a_renamed_or_replaced_worker_is_no_removal_and_a_moved_one_is(
    settled: CliUser,
) -> None:
    settled.ec2.terminate_instances(InstanceIds=[settled.lab.workers["worker-1"]])
    replacement(settled, "node-b", 1)
    settled.configure(workers="worker-0,node-b,worker-2", maxRemovals="0%")
    assert settled.does(UP).changes() == {"update": 1, "unchange": 4}

    labs.create_table(settled.ec2, settled.lab.vpc_id, "private-b")
    settled.configure(
        workers="worker-0,node-b,worker-2", maxRemovals="99%", routeTables="private-b"
    )
    text = settled.is_refused("pulumi up --yes")
    assert (
        "would delete 3 of the 3 routes of stack dev; maxRemovals allows 99%:" in text
    )


def test_a_newcomer_that_is_not_ready_is_deferred_under_a_wildcard(
    settled: CliUser,
) -> None:
    for name, address, data in (
        ("worker-7", "10.0.1.67", ""),
        ("worker-8", "10.0.1.68", labs.user_data(1)),
        ("worker-9", "10.0.1.69", labs.user_data(9)),
    ):
        labs.add_worker(settled.ec2, settled.lab, name, address=address, user_data=data)
    settled.configure(workers="worker-*", minWorkers=3)
    assert "it has no user data" in settled.is_refused(UP)

    settled.configure(workers="worker-*", minWorkers=3, unready="skip")
    up = settled.does(UP)

    assert up.changes() == {"create": 1, "unchange": 5}
    text = " ".join(up.text.split())
    assert "it gets no route yet: it has no user data." in text
    assert "it gets no route yet: its pod CIDR 10.200.1.0/24 overlaps" in text
    verified = settled.does("python -m routes verify --stack dev -q")
    assert "PASS: 12 of 12 pairs, 2 workers pending." in verified.text
    assert settled.pod_routes()["10.200.1.0/24"] == settled.interface("worker-1")


def test_protected_routes_are_not_destroyed_until_protect_is_off(
    settled: CliUser,
) -> None:
    settled.configure(protect="true")
    settled.does(UP)

    assert "protect" in settled.is_refused("pulumi destroy --yes")

    settled.configure(protect="false")
    settled.does(UP)
    settled.does("pulumi destroy --yes --skip-preview")
    assert settled.pod_routes() == {}


def test_a_backend_in_the_legacy_layout_without_projects_is_supported(
    user: CliUser, tmp_path: Path
) -> None:
    """pulumi#19566; such a backend knows the stack by its name alone."""
    old = {
        "PULUMI_BACKEND_URL": tmp_path.as_uri(),
        "PULUMI_DIY_BACKEND_LEGACY_LAYOUT": "true",
    }
    user.does("pulumi stack init dev", **old)

    user.does("pulumi up --yes --skip-preview", **old)

    assert (tmp_path / ".pulumi/stacks/dev.json").exists()
    assert user.pod_routes() == user.desired()
    user.does("pulumi preview --expect-no-changes", **old)
    user.does("python -m routes verify --stack dev", **old)
