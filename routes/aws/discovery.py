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
    import_id,
    selected,
    standing,
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
    owners: Mapping[str, str] | None = None,
) -> Discovery:
    """Connect to the region that the provider uses, and discover.

    Raises:
        LookupFailedError: a call failed for good, or there is no region.
    """
    clients = connect(access, region_of(access))
    return discover(clients, settings, held, owners)


def discover(
    clients: Clients,
    settings: Settings,
    held: Iterable[Reading] = (),
    owners: Mapping[str, str] | None = None,
    *,
    whole_vpc: bool = False,
) -> Discovery:
    """Return everything that the plan needs to know.

    The calls: GetCallerIdentity, DescribeRouteTables, DescribeVpcs, DescribeInstances,
    and one DescribeInstanceAttribute per worker whose user data is not known. Ids and
    names cannot be asked for in one request, so a mixture of them costs one call more.
    So does a table that is not found, to tell which there are, and each 200 that the
    stack has routes in and no entry selects; and so do instances behind routes of the
    stack, and those that the routes are for, that the list of workers lacks.

    Args:
        clients: as whom and where to read.
        settings: which tables and workers to look for.
        held: what the stack's last update read.
        owners: import id of each route of the stack, and the instance that it is for.
        whole_vpc: read what stands beside them as well, by the same calls: every table
            of the Region, for only tables tell which VPC it is, and every live instance
            of that VPC.

    Raises:
        LookupFailedError: a call failed for good.
    """
    pool = ThreadPoolExecutor(POOL_SIZE)
    try:
        account = pool.submit(clients.caller)
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
        owners = owners or {}
        former = {each.partition("_")[0] for each in owners}
        former -= {table.id for table in found}
        selections = _selections(map(Selector, sorted(former)), "route-table-id")
        vpc_ids = sorted({table.vpc_id for table in found})
        vpcs = pool.submit(_vpcs, clients, vpc_ids)
        lists = _prefix_list_ids(found) if settings.route_quota else []
        sizes = pool.submit(_prefix_lists, clients, lists)
        instances: list[InstanceTypeDef] = []
        workers: dict[Selector, tuple[Worker, ...]] = {}
        missed: set[str] = set()
        unconfirmed: set[str] = set()
        if len(vpc_ids) == 1:
            instances = _instances(
                clients, pool, settings, vpc_ids[0], whole_vpc=whole_vpc
            )
            workers = _matches(settings, instances)
            if not whole_vpc:
                _refuse_unmeant(workers, instances)
            listed = set(map(_id, instances))
            unlisted = _behind(found, owners) - listed
            by_id = _by_id(clients, unlisted | (_displaced(found, owners) - listed))
            unconfirmed = unlisted - set(map(_id, by_id))
            live = [one for one in by_id if _is_live_in(one, vpc_ids[0])]
            workers = _matches(settings, [*instances, *live])
            missed = {w.instance_id for each in workers.values() for w in each} - listed
            instances += [one for one in live if _id(one) in missed]
        chosen = selected(workers)  # of namesakes none: their entry is refused anyway
        known = recall(held, settings, chosen)
        new = [w.instance_id for w in chosen if w.instance_id not in known]
        readings = known | _readings(clients, pool, settings, new, instances)
        return Discovery(
            account=account.result().account,
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
            missed=frozenset(missed),
            unconfirmed=frozenset(unconfirmed),
            prefix_lists=sizes.result(),
            all_tables=tuple(
                t for t in all_tables if t.vpc_id in vpc_ids or not vpc_ids
            ),
            instances=tuple(map(answers.instance, instances)),
        )
    finally:
        pool.shutdown(cancel_futures=True)


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
        _id(instance): instance
        for part in parts
        for reservation in part
        for instance in reservation.get("Instances", [])
    }
    return [found[instance_id] for instance_id in sorted(found)]


def _behind(tables: Iterable[RouteTable], owners: Mapping[str, str]) -> set[str]:
    """Return the instances that routes of the stack lead to, as the tables have it.

    A terminated instance's interface is gone, and its route names no instance; an
    active route leads to an instance, named or not.
    """
    return {
        instance_id
        for table in tables
        for route in table.routes
        if (key := import_id(table.id, route.destination)) in owners
        and (
            instance_id := route.instance_id
            or (owners[key] if route.state == "active" else "")
        )
    }


def _displaced(tables: Sequence[RouteTable], owners: Mapping[str, str]) -> set[str]:
    """Return the instances whose routes of the stack may lead elsewhere, or are gone.

    No table says whether such an instance is live. One whose interface is gone is not.
    """
    existing = standing(tables)
    ids = {table.id for table in tables}
    return {
        owner
        for key, owner in owners.items()
        if owner
        and key.partition("_")[0] in ids
        and not (key in existing and existing[key].is_target_gone)
    }


def _by_id(clients: Clients, ids: Iterable[str]) -> list[InstanceTypeDef]:
    """Return these instances, whatever their state, as far as EC2 knows them."""
    return [
        instance
        for some in batched(sorted(ids))
        for reservation in clients.all(
            "DescribeInstances", {"Name": "instance-id", "Values": some}
        )
        for instance in reservation.get("Instances", [])
    ]


def _id(instance: InstanceTypeDef) -> str:
    return answers.instance(instance).id


def _is_live_in(instance: InstanceTypeDef, vpc_id: str) -> bool:
    state = instance.get("State", {}).get("Name", "")
    return state in _LIVE["Values"] and instance.get("VpcId") == vpc_id


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
    unmeant = set(map(_id, instances)) - meant
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
    tags = {_id(one): answers.tags(one) for one in instances}
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
