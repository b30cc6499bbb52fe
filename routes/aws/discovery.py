"""The lookup of route tables and workers: in bulk, concurrently, live ones only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from routes.aws import answers, userdata
from routes.aws.access import Access
from routes.aws.clients import POOL_SIZE, Clients, connect, region_of
from routes.errors import (
    Finding,
    LookupFailedError,
    NotFoundError,
    UserDataError,
    first,
)
from routes.memory import Reading, recall
from routes.model import (
    NAMESPACE,
    Discovery,
    RouteTable,
    Selector,
    Vpc,
    Worker,
    selected,
)
from routes.networks import Network
from routes.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

_LIVE: Final[FilterTypeDef] = {
    "Name": "instance-state-name",
    "Values": ["pending", "running", "stopping", "stopped"],
}
"""The states of an instance that is not terminated, nor about to be."""
_FILTER_VALUES: Final = 200
"""The most filter values in one call, of all filters together: beyond it EC2 answers
FilterLimitExceeded."""


def look_up(
    access: Access,
    settings: Settings,
    held: Iterable[Reading] = (),
    held_tables: Iterable[str] = (),
) -> Discovery:
    """Connect to the region that the provider uses, and discover.

    Raises:
        LookupFailedError: a call failed for good, or there is no region.
    """
    clients = connect(access, region_of(access))
    return discover(clients, settings, held, held_tables)


def discover(
    clients: Clients,
    settings: Settings,
    held: Iterable[Reading] = (),
    held_tables: Iterable[str] = (),
    *,
    whole_vpc: bool = False,
) -> Discovery:
    """Return everything that the plan needs to know.

    The calls: GetCallerIdentity, DescribeRouteTables, DescribeVpcs, DescribeInstances,
    and one DescribeInstanceAttribute per worker whose user data is not known. Ids and
    names cannot be asked for in one request, so a mixture of them costs one call more.
    So does a table that is not found, to tell which there are, and each 200 that the
    stack has routes in and no entry selects.

    Args:
        clients: as whom and where to read.
        settings: which tables and workers to look for.
        held: what the stack's last update read.
        held_tables: ids of the tables that the stack has routes in.
        whole_vpc: read what stands beside them as well, by the same calls: every table
            of the Region, for only tables tell which VPC it is, and every live instance
            of that VPC.

    Raises:
        LookupFailedError: a call failed for good.
    """
    pool = ThreadPoolExecutor(POOL_SIZE)
    try:
        account = pool.submit(_account, clients)
        selections = _selections(settings.route_tables, "route-table-id")
        all_tables = _tables(clients, pool, [()] if whole_vpc else selections)
        tables = {
            selector: tuple(
                table
                for table in all_tables
                if selector.selects(id=table.id, name=table.name or None)
            )
            for selector in settings.route_tables
        }
        if not all(tables.values()) and not whole_vpc:  # to tell which there are
            all_tables = _tables(clients, pool, [()])
        found = [table for matches in tables.values() for table in matches]
        former = {*held_tables} - {table.id for table in found}
        selections = _selections(map(Selector, sorted(former)), "route-table-id")
        vpc_ids = sorted({table.vpc_id for table in found})
        vpcs = pool.submit(_vpcs, clients, vpc_ids)
        lists = _prefix_list_ids(found) if settings.route_quota else []
        sizes = pool.submit(_prefix_lists, clients, lists)
        instances: Sequence[InstanceTypeDef] = ()
        if len(vpc_ids) == 1:
            instances = _instances(
                clients, pool, settings, vpc_ids[0], whole_vpc=whole_vpc
            )
        workers = _matches(settings, instances) if len(vpc_ids) == 1 else {}
        if not whole_vpc:
            _refuse_unmeant(workers, instances)
        chosen = selected(workers)  # of namesakes none: their entry is refused anyway
        known = recall(held, settings, chosen)
        new = [w.instance_id for w in chosen if w.instance_id not in known]
        readings = known | _readings(clients, pool, settings, new, instances)
        return Discovery(
            account=account.result(),
            region=clients.region,
            tables=tables,
            former_tables=tuple(
                table
                for table in (
                    all_tables if whole_vpc else _tables(clients, pool, selections)
                )
                if table.id in former
            ),
            vpcs=vpcs.result(),
            workers={
                selector: tuple(_with(readings, worker) for worker in matches)
                for selector, matches in workers.items()
            },
            unreadable={
                instance_id: reading
                for instance_id, reading in readings.items()
                if isinstance(reading, str)
            },
            prefix_lists=sizes.result(),
            all_tables=tuple(
                t for t in all_tables if t.vpc_id in vpc_ids or not vpc_ids
            ),
            instances=tuple(map(answers.instance, instances)),
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _account(clients: Clients) -> str:
    with clients.explained("GetCallerIdentity"):
        return clients.sts.get_caller_identity()["Account"]


def _selections(
    selectors: Iterable[Selector], id_filter: str, common: Sequence[FilterTypeDef] = ()
) -> Iterator[list[FilterTypeDef]]:
    """Yield the filters of each request: one kind of entry, and as many as it takes."""
    room = _FILTER_VALUES - sum(len(each.get("Values", [])) for each in common)
    every = [*selectors]
    ids = [selector.text for selector in every if selector.is_id]
    names = [selector.filter_value for selector in every if not selector.is_id]
    for name, values in ((id_filter, ids), ("tag:Name", names)):
        for some in batched(values, room):
            yield [{"Name": name, "Values": some}, *common]


def batched(
    values: Sequence[str], most: int = _FILTER_VALUES
) -> Iterator[Sequence[str]]:
    """Yield as many values at a time as a filter takes."""
    for start in range(0, len(values), most):
        yield values[start : start + most]


def _tables(
    clients: Clients, pool: Executor, selections: Iterable[Sequence[FilterTypeDef]]
) -> list[RouteTable]:
    parts = pool.map(
        lambda filters: clients.all("DescribeRouteTables", *filters), selections
    )
    tables = (answers.route_table(table) for part in parts for table in part)
    return [*{table.id: table for table in tables}.values()]


def _vpcs(clients: Clients, vpc_ids: Sequence[str]) -> tuple[Vpc, ...]:
    if not vpc_ids:
        return ()
    found = clients.all("DescribeVpcs", {"Name": "vpc-id", "Values": vpc_ids})
    return tuple(map(answers.vpc, found))


def _prefix_list_ids(tables: Iterable[RouteTable]) -> list[str]:
    destinations = {route.destination for table in tables for route in table.routes}
    return sorted(d for d in destinations if isinstance(d, str) and d)


def _prefix_lists(clients: Clients, lists: Sequence[str]) -> dict[str, tuple[str, int]]:
    if not lists:
        return {}
    parts = (
        clients.all(
            "DescribeManagedPrefixLists", {"Name": "prefix-list-id", "Values": some}
        )
        for some in batched(lists)
    )
    return dict(answers.prefix_list(found) for part in parts for found in part)


def _instances(
    clients: Clients,
    pool: Executor,
    settings: Settings,
    vpc_id: str,
    *,
    whole_vpc: bool,
) -> list[InstanceTypeDef]:
    common: list[FilterTypeDef] = [{"Name": "vpc-id", "Values": [vpc_id]}, _LIVE]
    tagged: list[FilterTypeDef] = [
        {"Name": f"tag:{key}", "Values": [re.sub(r"([\\*?])", r"\\\1", value)]}
        for key, value in settings.worker_tags.items()
    ]
    selections = [*_selections(settings.workers, "instance-id", common + tagged)]
    parts = pool.map(
        lambda filters: clients.all("DescribeInstances", *filters),
        [common] if whole_vpc else selections,
    )
    found = {
        answers.instance(instance).id: instance
        for part in parts
        for reservation in part
        for instance in reservation.get("Instances", [])
    }
    return [found[instance_id] for instance_id in sorted(found)]


def _matches(
    settings: Settings, instances: Iterable[InstanceTypeDef]
) -> dict[Selector, tuple[Worker, ...]]:
    """Return what each entry of `workers` matches; no pod CIDR is read."""
    workers = [
        (answers.worker(instance), answers.tags(instance).get("Name"))
        for instance in instances
        if settings.worker_tags.items() <= answers.tags(instance).items()
    ]
    return {
        selector: tuple(
            worker
            for worker, name in workers
            if selector.selects(id=worker.instance_id, name=name)
        )
        for selector in settings.workers
    }


def _refuse_unmeant(
    workers: Mapping[Selector, Iterable[Worker]], instances: Iterable[InstanceTypeDef]
) -> None:
    """Drop no instance that EC2 took to be meant, should it match otherwise than we.

    Raises:
        LookupFailedError: EC2 returned one that no entry selects.
    """
    meant = {one.instance_id for matches in workers.values() for one in matches}
    unmeant = {answers.instance(one).id for one in instances} - meant
    if unmeant:
        fault = Finding(
            where=f"{NAMESPACE}:workers",
            problem="EC2 returned instances that no entry selects:",
            rows=first(sorted(unmeant), 10),
            remedy="Their tags may just have changed: try again. If it stays so, name"
            " those that you mean by their ids.",
        )
        raise LookupFailedError(str(fault))


def _readings(
    clients: Clients,
    pool: Executor,
    settings: Settings,
    ids: Sequence[str],
    instances: Iterable[InstanceTypeDef],
) -> dict[str, tuple[Network, ...] | str]:
    """Return the pod CIDRs of each of these, or the reason why there are none.

    Of one that EC2 has listed, and does not know now, there are none without a reason:
    "its ID might not have propagated throughout the system" (EC2 Developer Guide,
    "Eventual consistency in the Amazon EC2 API").
    """
    tags = {answers.instance(one).id: answers.tags(one) for one in instances}
    key = settings.pod_cidr_key

    def reading(instance_id: str) -> tuple[Network, ...] | str:
        try:
            if settings.pod_cidr_from == "tag":
                return userdata.from_tag(tags[instance_id].get(key), key)
            return userdata.from_user_data(_user_data(clients, instance_id), key)
        except UserDataError as error:
            return str(error)
        except NotFoundError:
            return ()

    return dict(zip(ids, pool.map(reading, ids), strict=True))


def _user_data(clients: Clients, instance_id: str) -> str:
    with clients.explained("DescribeInstanceAttribute"):
        answer = clients.ec2.describe_instance_attribute(
            InstanceId=instance_id, Attribute="userData"
        )
    return answers.user_data(answer)


def _with(readings: Mapping[str, tuple[Network, ...] | str], worker: Worker) -> Worker:
    reading = readings.get(worker.instance_id, ())
    return worker if isinstance(reading, str) else replace(worker, pod_cidrs=reading)
