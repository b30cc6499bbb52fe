"""Look up route tables and live workers: in bulk, several calls at a time."""

from __future__ import annotations

import re
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from routes import cache, kube, nodes
from routes.aws import answers, userdata
from routes.aws.access import Access
from routes.aws.clients import POOL_SIZE, Clients, connect, region_of
from routes.cache import CachedPodCidrs
from routes.errors import (
    Finding,
    LookupFailedError,
    NotFoundError,
    UserDataError,
    truncated,
)
from routes.model import (
    NAMESPACE,
    Discovery,
    Node,
    Route,
    RouteKey,
    RouteTable,
    Selector,
    Vpc,
    Worker,
    selected,
    static_routes,
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
"""The maximum of filter values in one call, of all filters together; with more EC2
answers FilterLimitExceeded."""


def look_up(
    access: Access,
    settings: Settings,
    cached: Iterable[CachedPodCidrs] = (),
    owners: Mapping[RouteKey, str] | None = None,
) -> Discovery:
    """Connect to the provider's region, and discover.

    Raises:
        LookupFailedError: a call failed for good, or there is no region.
    """
    clients = connect(access, region_of(access))
    is_from_nodes = settings.pod_cidr_from == "node"
    list_nodes = kube.connect(settings).nodes if is_from_nodes else None
    return discover(clients, settings, cached, owners, list_nodes=list_nodes)


def discover(  # noqa: PLR0913 - what was read before, and what to read
    clients: Clients,
    settings: Settings,
    cached: Iterable[CachedPodCidrs] = (),
    owners: Mapping[RouteKey, str] | None = None,
    *,
    list_nodes: Callable[[], tuple[Node, ...]] | None = None,
    known: Discovery | None = None,
    whole_vpc: bool = False,
) -> Discovery:
    """Return everything that the plan needs to know.

    The calls: GetCallerIdentity, DescribeRouteTables, DescribeVpcs, DescribeInstances,
    and one DescribeInstanceAttribute per worker whose user data isn't cached. Each of
    these takes one more: a mixture of ids and names, as EC2 has no filter for both; an
    entry that matches no table, to report the names of all; deselected tables with
    routes of the stack; prefix lists, if there is a quota; and instances of the
    stack's routes that the list of workers lacks.

    Args:
        clients: the credentials and the region.
        settings: which tables and workers to look up.
        cached: pod CIDRs that earlier updates read.
        owners: each managed route, and the instance that it is for.
        list_nodes: reads the cluster's Nodes, the source of pod CIDRs; None for
            another source.
        known: an earlier one with the same clients, whose account and VPC aren't read
            again.
        whole_vpc: read every table of the Region, as the VPC isn't known before, and
            every live instance of that VPC, with the same calls.

    Raises:
        LookupFailedError: a call failed for good.
    """
    pool = ThreadPoolExecutor(POOL_SIZE)
    try:
        account = pool.submit(
            lambda: known.account if known else clients.caller().account
        )
        listed_nodes = pool.submit(list_nodes) if list_nodes else None
        reader = _Reader(clients, pool, settings, whole_vpc=whole_vpc)
        tables, all_tables = reader.selected_tables()
        chosen_tables = [table for matches in tables.values() for table in matches]
        vpc_ids = sorted({table.vpc_id for table in chosen_tables})
        vpcs = pool.submit(_vpcs, clients, vpc_ids, known)
        lists = _prefix_list_ids(chosen_tables) if settings.route_quota else []
        weights = pool.submit(_prefix_lists, clients, lists)
        owners = owners or {}
        deselected = {key.route_table_id for key in owners} - {
            t.id for t in chosen_tables
        }
        instances = _Instances()
        if len(vpc_ids) == 1:
            instances = reader.instances(vpc_ids[0], chosen_tables, owners)
        chosen = selected(instances.workers)
        pod_cidrs = cache.lookup(cached, settings, chosen)
        if listed_nodes:
            pod_cidrs |= nodes.pod_cidrs(listed_nodes.result(), chosen)
        unknown = [w.instance_id for w in chosen if w.instance_id not in pod_cidrs]
        pod_cidrs |= reader.pod_cidrs(unknown, instances.listed)
        return Discovery(
            account=account.result(),
            region=clients.region,
            tables=tables,
            deselected_tables=reader.tables_by_id(deselected, all_tables),
            vpcs=vpcs.result(),
            workers={
                selector: tuple(_with(pod_cidrs, worker) for worker in matches)
                for selector, matches in instances.workers.items()
            },
            unreadable={
                instance_id: reason
                for instance_id, reason in pod_cidrs.items()
                if isinstance(reason, str)
            },
            unlisted=instances.unlisted,
            unconfirmed=instances.unconfirmed,
            prefix_lists=weights.result(),
            nodes=listed_nodes.result() if listed_nodes else None,
            all_tables=tuple(
                t for t in all_tables if t.vpc_id in vpc_ids or not vpc_ids
            ),
            instances=tuple(map(answers.instance, instances.listed)),
        )
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class _Instances:
    """The instances of the VPC that were read.

    Attributes:
        listed: as EC2 answered, with the unlisted ones.
        workers: what each entry of `workers` matches among them.
        unlisted, unconfirmed: as in `Discovery`.
    """

    listed: Sequence[InstanceTypeDef] = ()
    workers: Mapping[Selector, tuple[Worker, ...]] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()
    unconfirmed: frozenset[str] = frozenset()


class _Reader:
    """The calls of one discovery, several at a time."""

    def __init__(
        self, clients: Clients, pool: Executor, settings: Settings, *, whole_vpc: bool
    ) -> None:
        self._clients = clients
        self._pool = pool
        self._settings = settings
        self._whole_vpc = whole_vpc

    def selected_tables(
        self,
    ) -> tuple[dict[Selector, tuple[RouteTable, ...]], list[RouteTable]]:
        """Return the tables that each entry matches, and all that were read.

        If an entry matches none, all tables of the Region are read.
        """
        entries = self._settings.route_tables
        filters = _selections(entries, "route-table-id")
        all_tables = self._tables([()] if self._whole_vpc else filters)
        tables = {
            entry: tuple(
                table
                for table in all_tables
                if entry.selects(id=table.id, name=table.name or None)
            )
            for entry in entries
        }
        if not all(tables.values()) and not self._whole_vpc:
            all_tables = self._tables([()])
        return tables, all_tables

    def tables_by_id(
        self, ids: Collection[str], known: Sequence[RouteTable]
    ) -> tuple[RouteTable, ...]:
        """Return the tables with these ids, out of `known` if that is all of them."""
        if not self._whole_vpc:
            known = self._tables(
                _selections(map(Selector, sorted(ids)), "route-table-id")
            )
        return tuple(table for table in known if table.id in ids)

    def _tables(
        self, selections: Iterable[Sequence[FilterTypeDef]]
    ) -> list[RouteTable]:
        parts = self._pool.map(
            lambda filters: self._clients.all("DescribeRouteTables", *filters),
            selections,
        )
        tables = (answers.route_table(table) for part in parts for table in part)
        return [*{table.id: table for table in tables}.values()]

    def instances(
        self,
        vpc_id: str,
        tables: Sequence[RouteTable],
        owners: Mapping[RouteKey, str],
    ) -> _Instances:
        """Return the workers; read those that the list may lack by their ids.

        These are the instances behind routes of the stack, and those whose routes were
        deleted or retargeted.
        """
        instances = self._listed(vpc_id)
        workers = _matches(self._settings, instances)
        if not self._whole_vpc:
            _refuse_unexpected(workers, instances)
        listed = set(map(_id, instances))
        existing = static_routes(tables)
        behind = _behind(existing, owners) - listed
        displaced = _displaced(tables, existing, owners) - listed
        by_id = self._by_id(behind | displaced)
        live = [one for one in by_id if _is_live_in(one, vpc_id)]
        workers = _matches(self._settings, [*instances, *live])
        unlisted = {w.instance_id for each in workers.values() for w in each} - listed
        return _Instances(
            listed=[*instances, *(one for one in live if _id(one) in unlisted)],
            workers=workers,
            unlisted=frozenset(unlisted),
            unconfirmed=frozenset(behind - set(map(_id, by_id))),
        )

    def _listed(self, vpc_id: str) -> list[InstanceTypeDef]:
        """Return the selected live instances of a VPC, or all of them, by id."""
        common: list[FilterTypeDef] = [{"Name": "vpc-id", "Values": [vpc_id]}, _LIVE]
        tagged: list[FilterTypeDef] = [
            {"Name": f"tag:{key}", "Values": [re.sub(r"([\\*?])", r"\\\1", value)]}
            for key, value in self._settings.worker_tags.items()
        ]
        selections = _selections(self._settings.workers, "instance-id", common + tagged)
        instances = {
            _id(instance): instance
            for part in self._pool.map(
                lambda filters: self._clients.instances(*filters),
                [common] if self._whole_vpc else selections,
            )
            for instance in part
        }
        return [instances[instance_id] for instance_id in sorted(instances)]

    def _by_id(self, ids: Iterable[str]) -> list[InstanceTypeDef]:
        """Return these instances in any state, as far as EC2 knows them."""
        return [
            instance
            for some in batched(sorted(ids))
            for instance in self._clients.instances(
                {"Name": "instance-id", "Values": some}
            )
        ]

    def pod_cidrs(
        self, ids: Sequence[str], instances: Iterable[InstanceTypeDef]
    ) -> dict[str, tuple[Network, ...] | str]:
        """Return each instance's pod CIDRs, or the reason why they are not known.

        An instance that EC2 has listed and doesn't know now has none, without a reason:
        "its ID might not have propagated throughout the system" (EC2 Developer Guide,
        "Eventual consistency in the Amazon EC2 API").
        """
        tags = {_id(one): answers.tags(one) for one in instances}
        key = self._settings.pod_cidr_key

        def read(instance_id: str) -> tuple[Network, ...] | str:
            try:
                if self._settings.pod_cidr_from == "tag":
                    return userdata.from_tag(tags[instance_id].get(key), key)
                user_data = _user_data(self._clients, instance_id)
                return userdata.from_user_data(user_data, key)
            except UserDataError as error:
                return str(error)
            except NotFoundError:
                return ()

        return dict(zip(ids, self._pool.map(read, ids), strict=True))


def _selections(
    selectors: Iterable[Selector], id_filter: str, common: Sequence[FilterTypeDef] = ()
) -> Iterator[list[FilterTypeDef]]:
    """Yield the filters of each request: entries of one kind, as many as EC2 takes."""
    limit = _FILTER_VALUES - sum(len(each.get("Values", [])) for each in common)
    entries = [*selectors]
    ids = [entry.text for entry in entries if entry.is_id]
    names = [entry.filter_value for entry in entries if not entry.is_id]
    for name, values in ((id_filter, ids), ("tag:Name", names)):
        for some in batched(values, limit):
            yield [{"Name": name, "Values": some}, *common]


def batched(
    values: Sequence[str], size: int = _FILTER_VALUES
) -> Iterator[Sequence[str]]:
    """Yield the values in batches that fit into one call's filters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _vpcs(
    clients: Clients, vpc_ids: Sequence[str], known: Discovery | None
) -> tuple[Vpc, ...]:
    if not vpc_ids:
        return ()
    if known and [vpc.id for vpc in known.vpcs] == vpc_ids:
        return known.vpcs
    vpcs = clients.all("DescribeVpcs", {"Name": "vpc-id", "Values": vpc_ids})
    return tuple(map(answers.vpc, vpcs))


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
    return dict(answers.prefix_list(each) for part in parts for each in part)


def _behind(
    existing: Mapping[RouteKey, Route], owners: Mapping[RouteKey, str]
) -> set[str]:
    """Return the instances that routes of the stack lead to, according to the tables.

    A terminated instance's interface is deleted, and its route names no instance; an
    active route leads to an instance, named or not.
    """
    return {
        instance_id
        for key in owners.keys() & existing
        if (
            instance_id := existing[key].instance_id
            or (owners[key] if existing[key].state == "active" else "")
        )
    }


def _displaced(
    tables: Iterable[RouteTable],
    existing: Mapping[RouteKey, Route],
    owners: Mapping[RouteKey, str],
) -> set[str]:
    """Return the instances whose routes may be deleted or lead elsewhere.

    No table shows whether such an instance is live. It isn't if its interface is
    deleted.
    """
    ids = {table.id for table in tables}
    return {
        owner
        for key, owner in owners.items()
        if owner
        and key.route_table_id in ids
        and not (key in existing and existing[key].is_target_deleted)
    }


def _id(instance: InstanceTypeDef) -> str:
    return answers.instance(instance).id


def _is_live_in(instance: InstanceTypeDef, vpc_id: str) -> bool:
    state = instance.get("State", {}).get("Name", "")
    return state in _LIVE["Values"] and instance.get("VpcId") == vpc_id


def _matches(
    settings: Settings, instances: Iterable[InstanceTypeDef]
) -> dict[Selector, tuple[Worker, ...]]:
    """Return what each entry of `workers` matches; pod CIDRs are read later."""
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


def _refuse_unexpected(
    workers: Mapping[Selector, Iterable[Worker]], instances: Iterable[InstanceTypeDef]
) -> None:
    """Refuse an answer with instances that no entry selects.

    EC2's filters may match differently than `Selector` does; none is silently dropped.

    Raises:
        LookupFailedError: there is such an instance.
    """
    matched = {one.instance_id for matches in workers.values() for one in matches}
    unexpected = set(map(_id, instances)) - matched
    if unexpected:
        fault = Finding(
            resource=f"{NAMESPACE}:workers",
            problem="EC2 returned instances that no entry selects:",
            details=truncated(sorted(unexpected), 10),
            hint="Their tags may just have changed: try again. If it happens again,"
            " select the right ones by their ids.",
        )
        raise LookupFailedError(str(fault))


def _user_data(clients: Clients, instance_id: str) -> str:
    with clients.explained("DescribeInstanceAttribute"):
        answer = clients.ec2.describe_instance_attribute(
            InstanceId=instance_id, Attribute="userData"
        )
    return answers.user_data(answer)


def _with(pod_cidrs: Mapping[str, tuple[Network, ...] | str], worker: Worker) -> Worker:
    known = pod_cidrs.get(worker.instance_id, ())
    return worker if isinstance(known, str) else replace(worker, pod_cidrs=known)
