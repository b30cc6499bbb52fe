"""Discovery against moto in process: what is read, and with how many calls."""

from __future__ import annotations

import base64
import dataclasses
import gzip
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from routes import cache
from routes.aws import discovery
from routes.aws.access import load_access
from routes.aws.clients import Clients, connect
from routes.cache import PARSER, CachedPodCidrs, cacheable
from routes.errors import LookupFailedError
from routes.model import Discovery, RouteKey, Selector, Worker, selected
from sandbox import lab as labs
from sandbox.lab import Lab
from tests.builders import key, networks, settings


@dataclasses.dataclass
class Cloud:
    """The lab on moto, and each call that a lookup makes."""

    clients: Clients
    lab: Lab
    calls: list[tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=list)

    def record(self, params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401
        self.calls.append((model.name, dict(params)))

    def discover(
        self,
        cached: Iterable[CachedPodCidrs] = (),
        *,
        owners: Mapping[RouteKey, str] | None = None,
        whole_vpc: bool = False,
        lacking: Collection[str] = (),
        times: int = 1,
        **changes: str,
    ) -> Discovery:
        """Discover with the lab's settings, or others, and forget earlier calls.

        The first answers of DescribeInstances, so many `times`, lack these instances.
        """
        self.calls.clear()
        left = iter(range(times))

        def shorten(parsed: dict[str, Any], **_: object) -> None:
            if lacking and next(left, None) is not None:
                for reservation in parsed["Reservations"]:
                    reservation["Instances"] = [
                        one
                        for one in reservation["Instances"]
                        if one["InstanceId"] not in lacking
                    ]

        listed = "after-call.ec2.DescribeInstances"
        self.clients.ec2.meta.events.register(listed, shorten, unique_id="shorten")
        for client in (self.clients.ec2, self.clients.sts):
            events = client.meta.events
            events.register("provide-client-params.*", self.record, unique_id="count")
        result = discovery.discover(
            self.clients,
            settings(**changes),
            cached,
            owners,
            whole_vpc=whole_vpc,
        )
        for client in (self.clients.ec2, self.clients.sts):
            client.meta.events.unregister("provide-client-params.*", unique_id="count")
        self.clients.ec2.meta.events.unregister(listed, unique_id="shorten")
        return result

    def route(self, worker: str) -> RouteKey:
        """Create the route of one of the lab's workers."""
        destination = labs.pod_cidr([*self.lab.workers].index(worker))
        self.clients.ec2.create_route(
            RouteTableId=self.lab.table_id,
            DestinationCidrBlock=destination,
            InstanceId=self.lab.workers[worker],
        )
        return key(destination, self.lab.table_id)

    def counts(self) -> Counter[str]:
        return Counter(action for action, _ in self.calls)

    def add(self, name: str, address: str, user_data: str = "", **tags: str) -> str:
        return labs.add_worker(
            self.clients.ec2,
            self.lab,
            name,
            address=address,
            user_data=user_data,
            tags=tags,
        )

    def route_a_prefix_list(self) -> str:
        """Route a list of at most seven networks to the gateway; return its id."""
        list_id = self.clients.ec2.create_managed_prefix_list(
            PrefixListName="p", MaxEntries=7, AddressFamily="IPv4"
        )["PrefixList"]["PrefixListId"]
        self.clients.ec2.create_route(
            RouteTableId=self.lab.table_id,
            DestinationPrefixListId=list_id,
            GatewayId=self.lab.gateway_id,
        )
        return list_id


@pytest.fixture
def cloud(aws_environment: pytest.MonkeyPatch) -> Iterator[Cloud]:
    aws_environment.setattr(cache, "_SETTLED", timedelta())  # the lab is new
    with mock_aws():
        clients = connect(load_access({}), "us-east-1")
        yield Cloud(clients, labs.create_lab(clients.ec2))


def named(lookup: Discovery, entry: str) -> list[str]:
    """Return the instance ids that an entry of `workers` matches."""
    return [worker.instance_id for worker in lookup.workers[Selector(entry)]]


def one(lookup: Discovery, entry: str) -> Worker:
    (worker,) = lookup.workers[Selector(entry)]
    return worker


def test_every_property_of_the_lab_is_read(cloud: Cloud) -> None:
    lookup = cloud.discover()

    (table,) = lookup.tables[Selector("kubernetes")]
    worker = one(lookup, "worker-1")
    assert (lookup.account, lookup.region) == ("123456789012", "us-east-1")
    assert (table.id, table.name) == (cloud.lab.table_id, "kubernetes")
    assert table.vpc_id == lookup.vpcs[0].id == cloud.lab.vpc_id
    assert table.subnet_ids == (cloud.lab.subnet_id,)
    assert not table.main
    assert lookup.vpcs[0].cidrs == networks("10.0.0.0/16")
    assert worker.instance_id == cloud.lab.workers["worker-1"]
    assert worker.state == "running"
    assert worker.private_ip == IPv4Address("10.0.1.21")
    assert worker.pod_cidrs == networks("10.200.1.0/24")
    assert worker.interface
    assert worker.interface.id == labs.interface_of(
        cloud.clients.ec2, worker.instance_id
    )
    assert worker.interface.subnet_id == cloud.lab.subnet_id
    assert worker.interface.security_group_ids == (cloud.lab.security_group_id,)
    assert lookup.unreadable == {}
    assert lookup.prefix_lists == {}


def test_a_whole_vpc_is_read_with_the_same_calls(cloud: Cloud) -> None:
    beside = cloud.add("beside", "10.0.1.40", cluster="green")
    labs.create_lab(cloud.clients.ec2, 1)
    mine = cloud.lab.table_id

    lookup = cloud.discover(whole_vpc=True, workers="worker-0", routeTables=mine)

    assert cloud.counts() == {
        "GetCallerIdentity": 1,
        "DescribeRouteTables": 1,
        "DescribeVpcs": 1,
        "DescribeInstances": 1,
        "DescribeInstanceAttribute": 1,
    }
    assert {one.id for one in lookup.instances} == {beside, *cloud.lab.workers.values()}
    assert {table.vpc_id for table in lookup.all_tables} == {cloud.lab.vpc_id}
    assert len(lookup.all_tables) == 2  # no entry selects the main table
    selected = cloud.discover(workers="worker-0", routeTables=mine)
    assert (lookup.tables, lookup.workers) == (selected.tables, selected.workers)


@pytest.mark.parametrize("whole_vpc", [True, False])
def test_a_star_does_not_match_an_instance_without_a_name(
    cloud: Cloud, *, whole_vpc: bool
) -> None:
    nameless = cloud.lab.workers["worker-0"]
    cloud.clients.ec2.delete_tags(Resources=[nameless], Tags=[{"Key": "Name"}])

    lookup = cloud.discover(workers="*", whole_vpc=whole_vpc)

    assert len(lookup.workers[Selector("*")]) == 2


@pytest.mark.parametrize("whole_vpc", [True, False])
def test_pages_have_the_maximum_size(cloud: Cloud, *, whole_vpc: bool) -> None:
    cloud.route_a_prefix_list()

    cloud.discover(whole_vpc=whole_vpc, routeQuota="500")

    sizes = {action: params.get("MaxResults") for action, params in cloud.calls}
    assert sizes == {
        "GetCallerIdentity": None,
        "DescribeRouteTables": 100,
        "DescribeVpcs": 1000,
        "DescribeInstances": 1000,
        "DescribeInstanceAttribute": None,
        "DescribeManagedPrefixLists": 100,
    }


def test_a_preview_costs_four_calls_and_one_per_worker(cloud: Cloud) -> None:
    cloud.discover()

    assert cloud.counts() == {
        "GetCallerIdentity": 1,
        "DescribeRouteTables": 1,
        "DescribeVpcs": 1,
        "DescribeInstances": 1,
        "DescribeInstanceAttribute": 3,
    }


def test_cached_pod_cidrs_are_not_read_again(cloud: Cloud) -> None:
    before = cloud.discover()
    cached = cacheable(selected(before.workers), settings())
    again = cloud.add("worker-0", "10.0.1.40", labs.user_data(7))
    cloud.clients.ec2.terminate_instances(InstanceIds=[cloud.lab.workers["worker-0"]])

    lookup = cloud.discover(cached)

    assert cloud.counts()["DescribeInstanceAttribute"] == 1
    assert one(lookup, "worker-0").instance_id == again
    assert one(lookup, "worker-1") == one(before, "worker-1")
    assert cloud.discover(cached) == cloud.discover()


def test_a_thousand_cached_workers_cost_four_calls(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider makes two more. EC2 returns a thousand instances in one page."""
    started = datetime(2026, 11, 1, tzinfo=UTC)
    known = [
        CachedPodCidrs(
            instance_id=f"i-{number:08}",
            launch_time=started,
            pod_cidrs=networks(f"10.{number // 256}.{number % 256}.0/24"),
            source="userData",
            key="pod-cidr",
            parser=PARSER,
        )
        for number in range(1000)
    ]
    instances = [
        {
            "InstanceId": each.instance_id,
            "LaunchTime": started,
            "State": {"Name": "running"},
            "Tags": [{"Key": "Name", "Value": "many"}],
        }
        for each in known
    ]
    answer = {"Reservations": [{"Instances": instances}]}
    answer_instead(cloud, monkeypatch, "DescribeInstances", answer)

    lookup = cloud.discover(known, workers="many*")

    assert cloud.counts() == {  # and the one that is answered here
        "GetCallerIdentity": 1,
        "DescribeRouteTables": 1,
        "DescribeVpcs": 1,
    }
    assert {
        one.instance_id: one.pod_cidrs for one in lookup.workers[Selector("many*")]
    } == {one.instance_id: one.pod_cidrs for one in known}


def test_the_tag_source_makes_no_call_per_worker(cloud: Cloud) -> None:
    cloud.add("worker-3", "10.0.1.23", pods="10.200.3.0/24")

    lookup = cloud.discover(workers="worker-3", podCidrFrom="tag", podCidrKey="pods")

    assert one(lookup, "worker-3").pod_cidrs == networks("10.200.3.0/24")
    assert "DescribeInstanceAttribute" not in cloud.counts()


def test_ids_and_names_together_cost_one_call_more_of_each_kind(cloud: Cloud) -> None:
    pinned = cloud.lab.workers["worker-0"]
    other = labs.create_table(cloud.clients.ec2, cloud.lab.vpc_id, "other")

    lookup = cloud.discover(
        workers=f"{pinned},worker-1", routeTables=f"kubernetes,{other}"
    )

    assert cloud.counts()["DescribeInstances"] == 2
    assert cloud.counts()["DescribeRouteTables"] == 2
    assert named(lookup, pinned) == [pinned]
    assert named(lookup, "worker-1") == [cloud.lab.workers["worker-1"]]
    assert [len(tables) for tables in lookup.tables.values()] == [1, 1]


def test_a_worker_that_two_entries_match_is_read_once(cloud: Cloud) -> None:
    pinned = cloud.lab.workers["worker-0"]

    lookup = cloud.discover(workers=f"{pinned},worker-0,worker-*")

    assert cloud.counts()["DescribeInstanceAttribute"] == 3
    assert one(lookup, pinned) == one(lookup, "worker-0")
    assert len(lookup.workers[Selector("worker-*")]) == 3


def test_names_are_looked_up_in_calls_of_two_hundred_filter_values(
    cloud: Cloud,
) -> None:
    for count, requests in ((195, 1), (196, 2)):
        names = ",".join(f"worker-{n}" for n in range(count))
        lookup = cloud.discover(workers=names)

        assert cloud.counts()["DescribeInstances"] == requests
        assert sum(map(len, lookup.workers.values())) == 3
    sizes = [
        sum(len(each["Values"]) for each in params["Filters"])
        for action, params in cloud.calls
        if action == "DescribeInstances"
    ]
    assert sorted(sizes) == [6, 200]


def test_every_page_of_an_answer_is_read(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = cloud.clients.ec2.describe_instances()["Reservations"]
    pages = [
        {"Reservations": instances[:1], "NextToken": "more"},
        {"Reservations": instances[1:]},
    ]
    call = cloud.clients.ec2._make_api_call  # type: ignore[attr-defined] # noqa: SLF001

    def answer(action: str, params: dict[str, Any]) -> Any:  # noqa: ANN401
        if action == "DescribeInstances":
            return pages[1 if params.get("NextToken") == "more" else 0]
        return call(action, params)

    monkeypatch.setattr(cloud.clients.ec2, "_make_api_call", answer)

    assert len(cloud.discover(workers="worker-*").workers[Selector("worker-*")]) == 3


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        pytest.param("node-*", {"node-a", "node-b"}, id="a star"),
        pytest.param("node-?", {"node-a", "node-b"}, id="a question mark"),
        pytest.param("node-a", {"node-a"}, id="a plain name"),
        pytest.param("Node-a", set(), id="another case"),
        pytest.param("node", set(), id="a beginning"),
    ],
)
def test_a_selector_matches_as_the_filter_does(
    cloud: Cloud, entry: str, names: set[str]
) -> None:
    cloud.add("node-a", "10.0.1.30")
    cloud.add("node-b", "10.0.1.31")

    matches = cloud.discover(workers=entry).workers[Selector(entry)]
    answer = cloud.clients.ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": [Selector(entry).filter_value]}]
    )["Reservations"]

    assert {worker.name for worker in matches} == names
    assert {i["InstanceId"] for r in answer for i in r["Instances"]} == {
        worker.instance_id for worker in matches
    }


def test_an_instance_that_the_filter_returns_and_no_entry_selects_is_an_error(
    cloud: Cloud,
) -> None:
    """Brackets are a wildcard to moto's filter, and not to EC2's."""
    other = cloud.add("node-a", "10.0.1.30")
    cloud.add("node-[ab]", "10.0.1.31")

    with pytest.raises(
        LookupFailedError, match="that no entry selects:\n  i-"
    ) as caught:
        cloud.discover(workers="node-[ab]")

    assert other in str(caught.value)


def test_a_terminated_namesake_does_not_count(cloud: Cloud) -> None:
    old = cloud.lab.workers["worker-0"]
    cloud.clients.ec2.terminate_instances(InstanceIds=[old])
    new = cloud.add("worker-0", "10.0.1.40", labs.user_data(0))

    assert named(cloud.discover(), "worker-0") == [new]


def test_a_terminated_worker_is_not_found_by_its_id(cloud: Cloud) -> None:
    old = cloud.lab.workers["worker-0"]
    cloud.clients.ec2.terminate_instances(InstanceIds=[old])

    assert named(cloud.discover(workers=old), old) == []


def test_a_stopped_worker_counts(cloud: Cloud) -> None:
    stopped = cloud.lab.workers["worker-0"]
    cloud.clients.ec2.stop_instances(InstanceIds=[stopped])

    assert one(cloud.discover(), "worker-0").state == "stopped"


def test_live_namesakes_are_all_returned_and_their_user_data_is_not_read(
    cloud: Cloud,
) -> None:
    twin = cloud.add("worker-0", "10.0.1.40", labs.user_data(0))

    lookup = cloud.discover()

    assert set(named(lookup, "worker-0")) == {twin, cloud.lab.workers["worker-0"]}
    assert cloud.counts()["DescribeInstanceAttribute"] == 2


def test_a_pinned_worker_is_read_although_it_has_a_namesake(cloud: Cloud) -> None:
    twin = cloud.add("worker-0", "10.0.1.40", labs.user_data(7))

    lookup = cloud.discover(workers=f"{twin},worker-1")

    assert one(lookup, twin).pod_cidrs == networks("10.200.7.0/24")


def test_namesakes_of_a_pattern_are_read(cloud: Cloud) -> None:
    cloud.add("worker-0", "10.0.1.40", labs.user_data(7))

    lookup = cloud.discover(workers="worker-*")

    assert len(lookup.workers[Selector("worker-*")]) == 4
    assert cloud.counts()["DescribeInstanceAttribute"] == 4


def test_worker_tags_tell_two_clusters_apart(cloud: Cloud) -> None:
    blue = cloud.add("worker-0", "10.0.1.40", labs.user_data(7), cluster="blue")

    lookup = cloud.discover(workers="worker-0", workerTags='{"cluster": "blue"}')

    assert named(lookup, "worker-0") == [blue]


def test_a_star_in_a_worker_tag_stands_for_itself(cloud: Cloud) -> None:
    cloud.add("worker-9", "10.0.1.40", cluster="blue")
    star = cloud.add("worker-9", "10.0.1.41", cluster="bl*")

    lookup = cloud.discover(workers="worker-9", workerTags='{"cluster": "bl*"}')

    assert named(lookup, "worker-9") == [star]


def test_a_worker_of_another_vpc_is_not_found(cloud: Cloud) -> None:
    away = labs.create_lab(cloud.clients.ec2, 1)
    labs.create_table(cloud.clients.ec2, cloud.lab.vpc_id, "mine")

    lookup = cloud.discover(workers="worker-0", routeTables="mine")

    assert named(lookup, "worker-0") == [cloud.lab.workers["worker-0"]]
    assert away.vpc_id not in {vpc.id for vpc in lookup.vpcs}


def test_tables_of_two_vpcs_stop_the_lookup_before_the_workers(cloud: Cloud) -> None:
    labs.create_lab(cloud.clients.ec2, 0)

    lookup = cloud.discover()

    assert len(lookup.tables[Selector("kubernetes")]) == len(lookup.vpcs) == 2
    assert lookup.workers == {}
    assert "DescribeInstances" not in cloud.counts()


def test_a_table_that_does_not_exist_is_no_error_of_the_lookup(cloud: Cloud) -> None:
    lookup = cloud.discover(routeTables="nowhere")

    assert lookup.tables == {Selector("nowhere"): ()}
    assert lookup.vpcs == ()


def test_a_table_id_of_no_table_matches_none(cloud: Cloud) -> None:
    lookup = cloud.discover(routeTables="rtb-00000000000000000")

    assert [*lookup.tables.values()] == [()]


def owners(*table_ids: str) -> dict[RouteKey, str]:
    return {key("10.200.0.0/24", table_id): "i-0" for table_id in table_ids}


def test_a_worker_that_the_list_lacks_and_a_route_leads_to_is_read_by_its_id(
    cloud: Cloud,
) -> None:
    worker = cloud.lab.workers["worker-1"]
    route = cloud.route("worker-1")

    lookup = cloud.discover(owners={route: worker}, lacking=(worker,))

    assert lookup.unlisted == {worker}
    assert worker in lookup.live
    assert lookup.workers[Selector("worker-1")][0].pod_cidrs
    assert cloud.counts()["DescribeInstances"] == 2


@pytest.mark.parametrize("target", ["worker-2", ""])
def test_a_worker_whose_route_was_retargeted_or_deleted_is_read_by_its_id(
    cloud: Cloud, target: str
) -> None:
    """No table shows whether it is live."""
    worker = cloud.lab.workers["worker-1"]
    route = cloud.route(target) if target else key("10.200.1.0/24", cloud.lab.table_id)

    lookup = cloud.discover(owners={route: worker}, lacking=(worker,))

    assert lookup.unlisted == {worker}
    assert lookup.unconfirmed == frozenset()


def test_an_owner_that_no_table_names_and_ec2_does_not_know_is_not_unconfirmed(
    cloud: Cloud,
) -> None:
    route = cloud.route("worker-2")

    lookup = cloud.discover(owners={route: "i-00000000000000001"})

    assert lookup.unlisted == lookup.unconfirmed == frozenset()


def test_an_instance_that_no_entry_selects_is_never_missed(cloud: Cloud) -> None:
    worker = cloud.lab.workers["worker-1"]
    route = cloud.route("worker-1")

    lookup = cloud.discover(owners={route: worker}, workers="worker-0,worker-2")

    assert lookup.unlisted == lookup.unconfirmed == frozenset()
    assert len(lookup.workers) == 2


def test_an_instance_that_no_answer_has_is_unconfirmed(cloud: Cloud) -> None:
    worker = cloud.lab.workers["worker-1"]
    route = cloud.route("worker-1")

    lookup = cloud.discover(owners={route: worker}, lacking=(worker,), times=2)

    assert lookup.unconfirmed == {worker}
    assert lookup.unlisted == frozenset()


def test_a_deselected_table_is_read_by_a_call_of_its_own(cloud: Cloud) -> None:
    """So is a deleted one: a filter that matches nothing is no error."""
    deselected = labs.create_table(cloud.clients.ec2, cloud.lab.vpc_id, "former")
    mine, deleted = cloud.lab.table_id, "rtb-00000000000000000"

    lookup = cloud.discover(owners=owners(mine))
    assert lookup.deselected_tables == ()
    assert cloud.counts()["DescribeRouteTables"] == 1

    lookup = cloud.discover(owners=owners(mine, deselected, deleted))
    assert [table.id for table in lookup.deselected_tables] == [deselected]
    assert cloud.counts()["DescribeRouteTables"] == 2


def test_every_block_of_the_vpc_is_read(cloud: Cloud) -> None:
    api = cloud.clients.ec2
    api.associate_vpc_cidr_block(VpcId=cloud.lab.vpc_id, CidrBlock="10.1.0.0/16")
    six = api.associate_vpc_cidr_block(
        VpcId=cloud.lab.vpc_id, AmazonProvidedIpv6CidrBlock=True
    )["Ipv6CidrBlockAssociation"]["Ipv6CidrBlock"]

    (vpc,) = cloud.discover().vpcs

    assert set(vpc.cidrs) == {*networks("10.0.0.0/16", "10.1.0.0/16", six)}


def test_a_disassociated_cidr_block_is_not_the_vpcs(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {"10.1.0.0/16": "associating", "10.2.0.0/16": "disassociated"}
    vpc = {
        "VpcId": cloud.lab.vpc_id,
        "CidrBlock": "10.0.0.0/16",
        "CidrBlockAssociationSet": [
            {"CidrBlock": cidr, "CidrBlockState": {"State": state}}
            for cidr, state in states.items()
        ],
        "Ipv6CidrBlockAssociationSet": [
            {
                "Ipv6CidrBlock": "fd00::/56",
                "Ipv6CidrBlockState": {"State": "disassociating"},
            }
        ],
    }
    answer_instead(cloud, monkeypatch, "DescribeVpcs", {"Vpcs": [vpc]})

    assert cloud.discover().vpcs[0].cidrs == networks("10.0.0.0/16", "10.1.0.0/16")


def test_the_entries_of_a_table_are_read_with_their_targets(cloud: Cloud) -> None:
    api = cloud.clients.ec2
    interface = labs.interface_of(api, cloud.lab.workers["worker-0"])
    api.create_route(
        RouteTableId=cloud.lab.table_id,
        DestinationCidrBlock="10.200.0.0/24",
        NetworkInterfaceId=interface,
    )
    (table,) = cloud.discover().tables[Selector("kubernetes")]
    routes = {str(route.destination): route for route in table.routes}

    assert {name: route.target for name, route in routes.items()} == {
        "0.0.0.0/0": cloud.lab.gateway_id,
        "10.0.0.0/16": "local",
        "10.200.0.0/24": interface,
    }
    assert not routes["10.0.0.0/16"].is_static
    assert routes["10.200.0.0/24"].is_to_interface


def test_prefix_lists_are_weighed_only_for_a_quota(cloud: Cloud) -> None:
    list_id = cloud.route_a_prefix_list()

    (table,) = cloud.discover().tables[Selector("kubernetes")]
    assert cloud.counts()["DescribeManagedPrefixLists"] == 0
    assert list_id in {route.destination for route in table.routes}
    assert cloud.discover(routeQuota="500").prefix_lists == {list_id: ("IPv4", 7)}
    assert cloud.counts()["DescribeManagedPrefixLists"] == 1


@pytest.mark.parametrize(
    ("user_data", "reason"),
    [
        pytest.param("", "it has no user data.", id="none"),
        pytest.param("name=x", "its user data holds no pod-cidr=.", id="no field"),
    ],
)
def test_user_data_without_a_pod_cidr_is_reported_for_its_worker(
    cloud: Cloud, user_data: str, reason: str
) -> None:
    bad = cloud.add("bad", "10.0.1.40", user_data)

    lookup = cloud.discover(workers="worker-0,bad")

    assert lookup.unreadable == {bad: reason}
    assert one(lookup, "bad").pod_cidrs == ()
    assert one(lookup, "worker-0").pod_cidrs == networks("10.200.0.0/24")


def test_user_data_in_gzip_is_read(cloud: Cloud) -> None:
    packed = base64.b64encode(gzip.compress(b"pod-cidr=10.200.9.0/24")).decode()
    instance_id = cloud.add("worker-9", "10.0.1.40")
    cloud.clients.ec2.modify_instance_attribute(
        InstanceId=instance_id, Attribute="userData", Value=packed
    )

    lookup = cloud.discover(workers="worker-9")

    assert one(lookup, "worker-9").pod_cidrs == networks("10.200.9.0/24")


def answer_instead(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, action: str, result: object
) -> None:
    """Give one action of EC2 an answer that moto can't give."""
    call = cloud.clients.ec2._make_api_call  # type: ignore[attr-defined] # noqa: SLF001

    def answer(called: str, params: dict[str, Any]) -> Any:  # noqa: ANN401
        return result if called == action else call(called, params)

    monkeypatch.setattr(cloud.clients.ec2, "_make_api_call", answer)


def answer_with(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, **changes: object
) -> Worker:
    """Look up worker-0 when DescribeInstances returns other values for it."""
    reservations = cloud.clients.ec2.describe_instances(
        InstanceIds=[cloud.lab.workers["worker-0"]]
    )["Reservations"]
    reservations[0]["Instances"][0].update(changes)  # type: ignore[typeddict-item]
    result = {"Reservations": reservations}
    answer_instead(cloud, monkeypatch, "DescribeInstances", result)
    return one(cloud.discover(workers="worker-0"), "worker-0")


def interface(device: int, status: str = "attached", card: int = 0) -> dict[str, Any]:
    return {
        "NetworkInterfaceId": f"eni-{device}{card}",
        "Attachment": {
            "DeviceIndex": device,
            "NetworkCardIndex": card,
            "Status": status,
        },
    }


@pytest.mark.parametrize(
    ("interfaces", "chosen"),
    [
        pytest.param([interface(1), interface(0)], "eni-00", id="of two, index 0"),
        pytest.param(
            [interface(0, card=1), interface(0)], "eni-00", id="of two cards, card 0"
        ),
        pytest.param([interface(0, "attaching")], "eni-00", id="not yet attached"),
        pytest.param([interface(0, "detaching")], None, id="no longer attached"),
        pytest.param([interface(1)], None, id="only a second one"),
        pytest.param([], None, id="none at all"),
    ],
)
def test_the_primary_interface_is_the_attached_one_of_index_0(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    interfaces: list[dict[str, Any]],
    chosen: str | None,
) -> None:
    worker = answer_with(cloud, monkeypatch, NetworkInterfaces=interfaces)

    assert (worker.interface.id if worker.interface else None) == chosen


@pytest.mark.parametrize("on", [True, False])
def test_the_source_destination_check_is_that_of_the_interface(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *, on: bool
) -> None:
    worker = answer_with(
        cloud,
        monkeypatch,
        SourceDestCheck=not on,
        NetworkInterfaces=[interface(0) | {"SourceDestCheck": on}],
    )

    assert worker.interface
    assert worker.interface.source_dest_check is on


def test_a_worker_without_name_or_ipv4_address_is_read(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = cloud.lab.workers["worker-0"]
    cloud.clients.ec2.delete_tags(Resources=[pinned], Tags=[{"Key": "Name"}])

    worker = one(cloud.discover(workers=pinned), pinned)

    assert worker.name == worker.label == pinned
    worker = answer_with(cloud, monkeypatch, PrivateIpAddress="", Tags=[name_tag()])
    assert worker.private_ip is None


def name_tag() -> dict[str, str]:
    return {"Key": "Name", "Value": "worker-0"}


@pytest.mark.parametrize(
    "action",
    [
        "GetCallerIdentity",
        "DescribeRouteTables",
        "DescribeVpcs",
        "DescribeInstances",
        "DescribeInstanceAttribute",
        "DescribeManagedPrefixLists",
    ],
)
def test_a_denied_call_is_one_error_that_names_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    cloud.route_a_prefix_list()
    clients: list[Any] = [cloud.clients.ec2, cloud.clients.sts]
    for client in clients:
        call = client._make_api_call  # noqa: SLF001

        def answer(name: str, params: dict[str, Any], call: Any = call) -> Any:  # noqa: ANN401
            if name == action:
                raise ClientError({"Error": {"Code": "UnauthorizedOperation"}}, name)
            return call(name, params)

        monkeypatch.setattr(client, "_make_api_call", answer)

    with pytest.raises(LookupFailedError, match=f":{action} in us-east-1: it failed"):
        cloud.discover(routeQuota="500")
