"""What is planned, and each reason why a plan is refused."""

from __future__ import annotations

from typing import Any

import pytest

from routes.errors import PlanError
from routes.model import Discovery, Route, Selector, Vpc
from routes.planning import plan
from routes.settings import Settings
from tests.builders import (
    LOCAL,
    discovery,
    networks,
    one_line,
    route,
    settings,
    stack,
    table,
    worker,
)


def refusal(lookup: Discovery, configured: Settings | None = None) -> PlanError:
    """Return the error that a lookup leads to."""
    with pytest.raises(PlanError) as caught:
        plan.validated(configured or settings(), lookup)
    return caught.value


def problems(
    lookup: Discovery, configured: Settings | None = None
) -> list[tuple[str, str]]:
    """Return the resource and the problem of each fault."""
    return [(one.resource, one.problem) for one in refusal(lookup, configured).faults]


def declared(
    lookup: Discovery, configured: Settings | None = None
) -> list[tuple[str, str]]:
    """Return the import id and the target of each route."""
    planned = plan.validated(configured or settings(), lookup)
    return [
        (key.import_id, one.network_interface_id)
        for key, one in planned.desired.items()
    ]


WHOLE = plan.validated(settings(), discovery())
"""The plan of the lab."""


def test_each_worker_of_the_lab_gets_one_route_to_its_interface() -> None:
    planned = plan.validated(settings(), discovery())

    assert [key.import_id for key in planned.desired] == [
        "rtb-1_10.200.0.0/24",
        "rtb-1_10.200.1.0/24",
        "rtb-1_10.200.2.0/24",
    ]
    first, *_ = planned.desired.values()
    assert first.network_interface_id == "eni-0"
    assert (first.worker, first.instance_id) == ("worker-0", "i-0")
    assert first.private_ip == "10.0.1.20"
    assert planned.warnings == planned.faults == ()
    assert planned.vpc.id == "vpc-1"
    assert [one.id for one in planned.tables] == ["rtb-1"]
    assert [one.name for one in planned.workers] == ["worker-0", "worker-1", "worker-2"]


def test_a_worker_without_an_ipv4_address_has_none_in_its_route() -> None:
    planned = plan.validated(settings(), discovery([worker(0, private_ip=None)]))

    (only,) = planned.desired.values()
    assert only.private_ip is None


def test_every_table_gets_every_route() -> None:
    tables = (table(id="rtb-2", name="b"), table(id="rtb-1", name="a"))

    assert declared(discovery([worker(0), worker(1)], tables)) == [
        ("rtb-1_10.200.0.0/24", "eni-0"),
        ("rtb-1_10.200.1.0/24", "eni-1"),
        ("rtb-2_10.200.0.0/24", "eni-0"),
        ("rtb-2_10.200.1.0/24", "eni-1"),
    ]


def test_a_table_or_worker_that_two_entries_name_counts_once() -> None:
    pinned = {Selector("i-00000000"): (worker(0),), Selector("worker-*"): (worker(0),)}
    tables = {Selector("rtb-1"): (table(),), Selector("kubernetes"): (table(),)}

    assert declared(discovery(workers=pinned, tables=tables)) == [
        ("rtb-1_10.200.0.0/24", "eni-0")
    ]


def test_a_dual_stack_worker_gets_a_route_of_each_family() -> None:
    dual = worker(0, pod_cidrs=networks("10.200.0.0/24", "fd00:200::/64"))
    configured = settings(clusterCidr="10.200.0.0/16,fd00:200::/48")

    assert declared(discovery([dual]), configured) == [
        ("rtb-1_10.200.0.0/24", "eni-0"),
        ("rtb-1_fd00:200::/64", "eni-0"),
    ]


def test_routes_of_dual_stack_workers_sort_across_workers() -> None:
    first = worker(0, pod_cidrs=networks("10.200.1.0/24", "fd00:200::/64"))
    second = worker(1, pod_cidrs=networks("10.200.0.0/24", "fd00:200:0:1::/64"))
    configured = settings(clusterCidr="10.200.0.0/16,fd00:200::/48")

    assert declared(discovery([first, second]), configured) == [
        ("rtb-1_10.200.0.0/24", "eni-1"),
        ("rtb-1_10.200.1.0/24", "eni-0"),
        ("rtb-1_fd00:200::/64", "eni-0"),
        ("rtb-1_fd00:200:0:1::/64", "eni-1"),
    ]


def test_a_pattern_selects_namesakes() -> None:
    twins = (worker(0, name="worker"), worker(1, name="worker"))

    assert len(declared(discovery(workers={Selector("work*"): twins}))) == 2


def test_a_missing_worker_is_reported_with_its_name_tags_and_vpc() -> None:
    lookup = discovery(
        workers={Selector("worker-0"): (worker(0),), Selector("w-9"): ()}
    )

    assert str(refusal(lookup, settings(workerTags='{"cluster": "blue"}'))) == (
        "The routes cannot be declared; nothing was changed.\n"
        "w-9: expected a live instance with Name=w-9, cluster=blue in vpc-1,\n"
        "  found none.\n"
        "  Terminated instances don't count. Check the name, the VPC and the region\n"
        "  (us-east-1), or remove it from pod-routes:workers."
    )


def test_a_missing_id_is_not_called_a_name() -> None:
    missing = "i-00000009"
    lookup = discovery(
        workers={Selector(missing): (), Selector("i-00000000"): (worker(0),)}
    )

    assert problems(lookup) == [
        (missing, f"expected a live instance with {missing} in vpc-1, found none.")
    ]


def test_namesakes_are_listed_each_with_the_command_that_selects_it() -> None:
    old = worker(1, instance_id="i-0aaa", state="stopped", private_ip=None)
    new = worker(2, name="worker-1", instance_id="i-0bbb", interface=None)
    lookup = discovery([worker(0), new, old])

    assert str(refusal(lookup)) == (
        "The routes cannot be declared; nothing was changed.\n"
        "worker-1: expected one live instance with Name=worker-1 in vpc-1,\n"
        "  found 2. Terminate one, change its Name, or pin the right one:\n"
        "  i-0aaa  stopped  no address  us-east-1a\n"
        "    eni-1  launched 2026-11-01 10:01 UTC\n"
        "    to select this one:\n"
        "    pulumi config set pod-routes:workers worker-0,i-0aaa,worker-2"
        " --stack dev\n"
        "  i-0bbb  running  10.0.1.22  us-east-1a\n"
        "    no primary interface  launched 2026-11-01 10:02 UTC\n"
        "    to select this one:\n"
        "    pulumi config set pod-routes:workers worker-0,i-0bbb,worker-2"
        " --stack dev"
    )


def test_the_nodes_of_a_group_that_share_a_name_are_selected_by_a_wildcard() -> None:
    nodes = tuple(worker(number, name="node") for number in range(7))
    configured = settings(workers="node,bastion")

    (fault,) = refusal(discovery({Selector("node"): nodes}), configured).faults

    assert "found 7. Pin the right one," in one_line(fault)
    assert (
        fault.command
        == "pulumi config set pod-routes:workers 'node?,bastion' --stack dev"
    )
    assert all(Selector("node?").selects(id=n.instance_id, name=n.name) for n in nodes)
    assert len(fault.details) == 5 * 4


def test_namesakes_are_listed_from_the_one_launched_first() -> None:
    lookup = discovery([worker(n, name="worker-1") for n in (2, 0, 1)])
    rows = refusal(lookup).faults[0].details

    pinned = [row.split()[4].split(",")[1] for row in rows if "pulumi" in row]
    assert pinned == ["i-0", "i-1", "i-2"]


def test_rows_of_real_ids_fit_a_terminal() -> None:
    changes = {
        "name": "worker-1",
        "state": "stopping",
        "availability_zone": "ap-southeast-2a",
    }
    twins = [worker(n, instance_id=f"i-0123456789abcdef{n}", **changes) for n in (1, 2)]
    rows = refusal(discovery(twins)).faults[0].details

    assert len(rows) == 8
    assert max(len(row) for row in rows if "pulumi" not in row) <= 76


def test_fewer_workers_than_the_minimum_is_an_error() -> None:
    lookup = discovery(workers={Selector("worker-*"): (worker(0), worker(1))})

    assert str(refusal(lookup, settings(minWorkers="3"))) == (
        "The routes cannot be declared; nothing was changed.\n"
        "pod-routes:minWorkers: expected at least 3 distinct workers in\n"
        "  vpc-1, found 2.\n"
        "  worker-0 (i-0)\n"
        "  worker-1 (i-1)\n"
        "  Bring the missing workers back, or, if the cluster has shrunk:\n"
        "  pulumi config set pod-routes:minWorkers 2 --stack dev"
    )


def test_as_many_workers_as_the_minimum_are_enough() -> None:
    lookup = discovery(workers={Selector("worker-*"): (worker(0), worker(1))})

    assert len(declared(lookup, settings(minWorkers="2"))) == 2


def test_a_worker_that_two_entries_match_counts_once_for_the_minimum() -> None:
    lookup = discovery(
        workers={
            Selector("worker-*"): (worker(0),),
            Selector("i-00000000"): (worker(0),),
        }
    )

    assert problems(lookup, settings(minWorkers="2"))[0][1].endswith("found 1.")


def test_an_empty_pattern_is_missing_and_reported_once() -> None:
    lookup = discovery(workers={Selector("worker-*"): ()})

    reported = problems(lookup, settings(minWorkers="3"))

    assert [resource for resource, _ in reported] == ["worker-*"]


def test_unreadable_user_data_is_reported_with_the_reason_and_the_expected_form() -> (
    None
):
    lookup = discovery(
        [worker(0, pod_cidrs=())], unreadable={"i-0": "it has no user data."}
    )

    assert str(refusal(lookup)) == (
        "The routes cannot be declared; nothing was changed.\n"
        "worker-0 (i-0): it has no user data.\n"
        "  Expected pod-cidr=<its pod CIDR> as one field, with | or newlines around\n"
        "  it. User data can be changed while the instance is stopped. Or give every\n"
        "  worker a tag instead: pod-routes:podCidrFrom tag switches all of them."
    )


def test_a_worker_whose_user_data_is_not_found_is_an_error() -> None:
    lookup = discovery([worker(0), worker(1, pod_cidrs=())])

    assert problems(lookup) == [
        (
            "worker-1 (i-1)",
            "EC2 lists this instance but returned NotFound for its user data.",
        )
    ]


def test_an_unreadable_tag_is_fixed_by_a_tag() -> None:
    lookup = discovery([worker(0, pod_cidrs=())], unreadable={"i-0": "no."})
    configured = settings(podCidrFrom="tag", podCidrKey="pods")

    assert refusal(lookup, configured).faults[0].hint == (
        "Give the instance a tag pods=<its pod CIDR>."
    )


def test_a_worker_without_a_primary_interface_is_an_error() -> None:
    lookup = discovery([worker(0), worker(1, interface=None)])

    assert problems(lookup) == [
        (
            "worker-1 (i-1)",
            (
                "expected an attached primary network interface (device index 0),"
                " found none."
            ),
        )
    ]


@pytest.mark.parametrize(
    ("cidr", "problem"),
    [
        pytest.param(
            "10.201.0.0/24",
            "expected a pod CIDR inside pod-routes:clusterCidr (10.200.0.0/16), found"
            " 10.201.0.0/24.",
            id="outside the cluster's range",
        ),
        pytest.param(
            "10.200.0.0/15",
            "expected a pod CIDR inside pod-routes:clusterCidr (10.200.0.0/16), found"
            " 10.200.0.0/15.",
            id="wider than the cluster's range",
        ),
        pytest.param(
            "fd00:200::/64",
            "expected a pod CIDR inside pod-routes:clusterCidr (10.200.0.0/16), found"
            " fd00:200::/64.",
            id="of a family that the cluster has no range in",
        ),
        pytest.param(
            "0.0.0.0/0",
            "its pod CIDR 0.0.0.0/0 would be a default route.",
            id="the default route",
        ),
        pytest.param(
            "::/0", "its pod CIDR ::/0 would be a default route.", id="IPv6's default"
        ),
    ],
)
def test_a_pod_cidr_outside_the_cluster_is_an_error(cidr: str, problem: str) -> None:
    lookup = discovery([worker(0, pod_cidrs=networks(cidr))], [table(routes=(LOCAL,))])

    assert problems(lookup) == [("worker-0 (i-0)", problem)]


def test_the_whole_cluster_range_is_inside_it() -> None:
    lookup = discovery([worker(0, pod_cidrs=networks("10.200.0.0/16"))])

    assert len(declared(lookup)) == 1


@pytest.mark.parametrize(
    ("blocks", "cidr"),
    [
        pytest.param(["10.200.0.0/24"], "10.200.0.0/24", id="equal"),
        pytest.param(["10.200.0.0/16"], "10.200.0.0/24", id="inside"),
        pytest.param(["10.200.0.0/28"], "10.200.0.0/24", id="around"),
        pytest.param(
            ["10.0.0.0/16", "10.200.0.0/20"], "10.200.0.0/24", id="a secondary block"
        ),
        pytest.param(
            ["10.0.0.0/16", "fd00:200::/56"], "fd00:200::/64", id="an IPv6 block"
        ),
    ],
)
def test_a_pod_cidr_that_overlaps_the_vpc_is_an_error(
    blocks: list[str], cidr: str
) -> None:
    lookup = discovery(
        [worker(0, pod_cidrs=networks(cidr))],
        vpcs=(Vpc(id="vpc-1", cidrs=networks(*blocks)),),
    )
    configured = settings(clusterCidr="10.200.0.0/16,fd00:200::/48")

    assert problems(lookup, configured) == [
        (
            "worker-0 (i-0)",
            (
                f"its pod CIDR {cidr} overlaps {blocks[-1]} of vpc-1; EC2 reserves"
                " that range for the VPC's own subnets."
            ),
        )
    ]


def test_one_pod_cidr_on_two_workers_names_both() -> None:
    lookup = discovery([worker(1), worker(0, pod_cidrs=networks("10.200.1.0/24"))])

    assert problems(lookup) == [
        ("worker-1 (i-1)", "its pod CIDR 10.200.1.0/24 is also that of worker-0 (i-0).")
    ]


def test_each_nested_pod_cidr_names_the_worker_around_it() -> None:
    lookup = discovery(
        [
            worker(2, pod_cidrs=networks("10.200.9.0/24")),
            worker(1, pod_cidrs=networks("10.200.8.0/24")),
            worker(0, pod_cidrs=networks("10.200.0.0/20")),
        ]
    )

    assert problems(lookup) == [
        (
            f"worker-{n} (i-{n})",
            (
                f"its pod CIDR 10.200.{7 + n}.0/24 lies inside 10.200.0.0/20 of"
                " worker-0 (i-0)."
            ),
        )
        for n in (1, 2)
    ]
    assert {fault.hint for fault in plan.draft(settings(), lookup).faults} == {
        "Give each worker a range of its own."
    }


def test_one_pod_cidr_on_three_workers_is_reported_for_two() -> None:
    same = networks("10.200.0.0/24")
    lookup = discovery([worker(n, pod_cidrs=same) for n in range(3)])

    assert [resource for resource, _ in problems(lookup)] == [
        "worker-1 (i-1)",
        "worker-2 (i-2)",
    ]


@pytest.mark.parametrize("target", ["igw-1", "nat-1", "pcx-1", "vpce-1", "tgw-1", ""])
def test_a_route_to_another_kind_of_target_is_not_replaced(target: str) -> None:
    existing = table(route("10.200.1.0/24", target))

    assert problems(discovery(tables=[existing])) == [
        (
            "worker-1 (i-1)",
            (
                f"its pod CIDR 10.200.1.0/24 is already routed in rtb-1"
                f" to {target or 'nothing'}, which isn't a worker."
            ),
        )
    ]


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(route("10.200.1.0/24", "eni-9"), id="another interface's"),
        pytest.param(
            route("10.200.1.0/24", "vgw-1", origin="EnableVgwRoutePropagation"),
            id="one that a gateway propagates",
        ),
        pytest.param(route("10.200.0.0/16", "tgw-1"), id="a wider one"),
        pytest.param(route("10.200.1.0/25", "pcx-1"), id="a narrower one"),
        pytest.param(route("pl-1", "vpce-1"), id="a prefix list's"),
    ],
)
def test_a_route_that_does_not_collide_is_left_alone(existing: Route) -> None:
    lookup = discovery(tables=[table(existing)])

    assert len(declared(lookup)) == 3


def test_missing_and_ambiguous_tables_are_reported_with_a_command() -> None:
    twins = (table(id="rtb-2"), table(id="rtb-1"))
    others = (table(id="rtb-3", name="b"), table(id="rtb-4", name="aa"))
    lookup = discovery(
        tables={Selector("a"): (), Selector("kubernetes"): twins}, all_tables=others
    )
    configured = settings(routeTables="a,kubernetes")

    assert str(refusal(lookup, configured)) == (
        "The routes cannot be declared; nothing was changed.\n"
        "pod-routes:routeTables: expected one route table with Name=a in\n"
        "  us-east-1, found none. The nearest names are:\n"
        "  rtb-4  aa\n"
        "  rtb-3  b\n"
        "  Check the name, the region and the account.\n"
        "pod-routes:routeTables: expected one route table with\n"
        "  Name=kubernetes in us-east-1, found 2:\n"
        "  rtb-1  vpc-1\n"
        "  rtb-2  vpc-1\n"
        "  Use the id of the right one:\n"
        "  pulumi config set pod-routes:routeTables 'a,<one of these ids>' --stack dev"
    )


def test_tables_of_two_vpcs_are_an_error_before_workers_are_looked_up() -> None:
    lookup = discovery(
        [],
        [table(name="a"), table(id="rtb-2", name="b", vpc_id="vpc-2")],
        vpcs=(Vpc(id="vpc-1", cidrs=()), Vpc(id="vpc-2", cidrs=())),
    )

    assert str(refusal(lookup)) == (
        "The routes cannot be declared; nothing was changed.\n"
        "pod-routes:routeTables: expected tables of one VPC, found 2 VPCs;\n"
        "  workers were not looked up:\n"
        "  rtb-1  vpc-1\n"
        "  rtb-2  vpc-2\n"
        "  Keep the tables of the workers' VPC; use one stack per VPC."
    )


def test_an_ambiguous_entry_selects_no_table_if_unready_is_skip() -> None:
    twins = (table(id="rtb-2"), table(id="rtb-1"))
    clear = table(id="rtb-3", name="other")
    entries = {Selector("kubernetes"): twins, Selector("other"): (clear,)}
    skipping = settings(unready="skip")

    planned = plan.validated(skipping, discovery(tables=entries))

    assert planned.tables == (clear,)
    assert {each.route_table_id for each in planned.existing} == {"rtb-3"}
    assert [one.resource for one in planned.problems] == ["pod-routes:routeTables"]
    with pytest.raises(PlanError, match="expected one route table"):
        plan.validated(skipping, discovery(tables={Selector("kubernetes"): twins}))


def test_a_deselected_table_is_not_in_the_plan() -> None:
    former = table(
        route("10.200.9.0/24", "nat-9", state="blackhole"), id="rtb-9", name="former"
    )

    planned = plan.validated(settings(), discovery(deselected_tables=(former,)))

    assert {each.route_table_id for each in planned.existing} == {"rtb-1"}
    assert planned.warnings == ()


def test_no_table_at_all_is_one_error() -> None:
    lookup = discovery([], tables={Selector("a"): ()}, vpcs=())

    assert len(problems(lookup)) == 1


@pytest.mark.parametrize(
    ("quota", "faults", "warnings"),
    [
        pytest.param(0, 0, 0, id="no check"),
        pytest.param(3, 1, 0, id="one more than it"),
        pytest.param(4, 0, 1, id="at the edge"),
        pytest.param(5, 0, 0, id="80% of it"),
    ],
)
def test_static_routes_count_against_the_quota(
    quota: int, faults: int, warnings: int
) -> None:
    drafted = plan.draft(settings(routeQuota=str(quota)), discovery())

    assert (len(drafted.faults), len(drafted.warnings)) == (faults, warnings)


def test_a_plan_that_exceeds_the_quota_says_by_how_much() -> None:
    assert str(refusal(discovery(), settings(routeQuota="3"))) == (
        "The routes cannot be declared; nothing was changed.\n"
        "rtb-1: it would have 4 static IPv4 routes; the quota is 3.\n"
        "  Ask AWS for a higher quota of routes per route table, then set\n"
        "  pod-routes:routeQuota to it."
    )


def test_a_plan_that_adds_nothing_is_not_blocked_by_the_quota() -> None:
    """Otherwise nobody could remove a worker from a full table."""
    ours = [route(f"10.200.{n}.0/24", f"eni-{n}") for n in range(4)]
    lookup = discovery([worker(0)], [table(routes=tuple(ours))])

    (warning,) = plan.validated(settings(routeQuota="1"), lookup).warnings

    assert warning.resource == "rtb-1"
    assert warning.problem.startswith("it will have 4 static IPv4 routes")


def test_a_table_near_its_quota_is_warned_about() -> None:
    (warning,) = plan.validated(settings(routeQuota="4"), discovery()).warnings

    assert str(warning) == (
        "rtb-1: it will have 4 static IPv4 routes, over 80% of the quota of\n"
        "  4.\n"
        "  Ask AWS for a higher quota of routes per route table, then set\n"
        "  pod-routes:routeQuota to it."
    )


def test_a_problem_that_keeps_pods_from_talking_is_a_warning() -> None:
    planned = plan.validated(settings(), discovery([worker(0, state="stopped")]))

    assert [warning.command for warning in planned.warnings] == [
        "aws ec2 start-instances --instance-ids i-0 --region us-east-1"
    ]


@pytest.mark.parametrize(
    ("existing", "count"),
    [
        pytest.param(route("10.200.0.0/24"), 4, id="our own counts once"),
        pytest.param(route("10.9.0.0/24"), 5, id="somebody else's"),
        pytest.param(route("fd00::/64"), 4, id="one of the other family"),
        pytest.param(
            route("10.9.0.0/24", "vgw-1", origin="EnableVgwRoutePropagation"),
            4,
            id="a propagated one",
        ),
        pytest.param(route("pl-1"), 24, id="a prefix list, by its weight"),
        pytest.param(route("pl-6"), 4, id="a prefix list of the other family"),
        pytest.param(route("pl-2"), 5, id="a prefix list of unknown weight"),
    ],
)
def test_the_quota_counts_what_ec2_counts(existing: Route, count: int) -> None:
    lookup = discovery(
        tables=[table(existing)],
        prefix_lists={"pl-1": ("IPv4", 20), "pl-6": ("IPv6", 20)},
    )

    exceeded = problems(lookup, settings(routeQuota="1"))

    assert exceeded[0][1].startswith(f"it would have {count} static IPv4 routes")


def test_faults_of_every_kind_come_in_one_error() -> None:
    lookup = discovery(
        workers={
            Selector("worker-9"): (),
            Selector("worker-0"): (worker(0, interface=None),),
            Selector("worker-1"): (worker(1, pod_cidrs=networks("10.9.0.0/24")),),
            Selector("worker-2"): (worker(2),),
        },
        tables=[table(route("10.200.2.0/24", "igw-1"))],
    )
    error = refusal(lookup, settings(minWorkers="4", routeQuota="1"))

    assert [fault.resource for fault in error.faults] == [
        "pod-routes:minWorkers",
        "rtb-1",
        "worker-0 (i-0)",
        "worker-1 (i-1)",
        "worker-2 (i-2)",
        "worker-9",
    ]
    assert one_line(error).count("expected") == 4


def test_each_fault_has_a_hint() -> None:
    wide = networks("::/0", "10.9.0.0/24")
    lookup = discovery(
        [
            worker(0, pod_cidrs=wide),
            worker(1, pod_cidrs=networks("10.200.9.0/24")),
            worker(2, interface=None),
            worker(3),
            worker(4, pod_cidrs=networks("10.200.3.0/24")),
        ],
        [table(routes=(LOCAL, route("10.200.3.0/24", "igw-1")))],
        vpcs=(Vpc(id="vpc-1", cidrs=networks("10.200.8.0/21")),),
    )
    configured = settings(clusterCidr="10.200.0.0/16,fd00:200::/48")

    assert str(refusal(lookup, configured)) == (
        "The routes cannot be declared; nothing was changed.\n"
        "worker-0 (i-0): expected a pod CIDR inside pod-routes:clusterCidr\n"
        "  (10.200.0.0/16 and fd00:200::/48), found 10.9.0.0/24.\n"
        "  Correct the worker's pod CIDR, or the cluster's range.\n"
        "worker-0 (i-0): its pod CIDR ::/0 would be a default route.\n"
        "  Give the worker a range of its own inside pod-routes:clusterCidr\n"
        "  (10.200.0.0/16 and fd00:200::/48).\n"
        "worker-1 (i-1): its pod CIDR 10.200.9.0/24 overlaps 10.200.8.0/21\n"
        "  of vpc-1; EC2 reserves that range for the VPC's own subnets.\n"
        "  Give pods a range outside the VPC's.\n"
        "worker-2 (i-2): expected an attached primary network interface\n"
        "  (device index 0), found none.\n"
        "  Wait until the instance is up, or remove it from pod-routes:workers.\n"
        "worker-3 (i-3): its pod CIDR 10.200.3.0/24 is already routed in\n"
        "  rtb-1 to igw-1, which isn't a worker.\n"
        "  The owner of that route must remove it, or the worker needs another pod\n"
        "  CIDR.\n"
        "worker-4 (i-4): its pod CIDR 10.200.3.0/24 is already routed in\n"
        "  rtb-1 to igw-1, which isn't a worker.\n"
        "  The owner of that route must remove it, or the worker needs another pod\n"
        "  CIDR.\n"
        "worker-4 (i-4): its pod CIDR 10.200.3.0/24 is also that of worker-3\n"
        "  (i-3).\n"
        "  Terminate the one that was replaced, or give each worker a range of its\n"
        "  own."
    )


def test_every_tag_of_a_missing_worker_is_reported() -> None:
    lookup = discovery(workers={Selector("worker-0"): ()})
    configured = settings(workerTags='{"cluster": "blue", "role": "worker"}')

    assert problems(lookup, configured)[0][1] == (
        "expected a live instance with Name=worker-0, cluster=blue, role=worker in"
        " vpc-1, found none."
    )


def test_a_draft_has_the_valid_routes_beside_the_faults() -> None:
    drafted = plan.draft(settings(), discovery([worker(0), worker(1, interface=None)]))

    assert [one.worker for one in drafted.desired.values()] == ["worker-0"]
    assert len(drafted.faults) == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            {"gateway_ids": ("igw-1",)},
            "rtb-1: it is associated with igw-1. A gateway route table accepts routes"
            " inside the VPC only",
            id="a gateway's",
        ),
        pytest.param(
            {"owner": "210987654321"},
            "rtb-1: it belongs to account 210987654321; these credentials are for"
            " 123456789012. Only the owner can change it.",
            id="another account's",
        ),
    ],
)
def test_a_table_that_accepts_no_routes_to_pods_is_refused(
    changes: dict[str, Any], problem: str
) -> None:
    """ "The following destinations are allowed: The entire IPv4 or IPv6 CIDR block of
    your VPC [or] of a subnet in your VPC" (VPC User Guide, "Gateway route tables").
    """
    lookup = discovery(tables=(table(**changes),))

    assert problem in one_line(refusal(lookup))
    skipping = settings(unready="skip")
    assert plan.validated(skipping, lookup, stack()).declared == {}
    managed = {key: each.network_interface_id for key, each in WHOLE.desired.items()}
    assert plan.validated(skipping, lookup, stack(managed)).declared == WHOLE.desired
