"""The checks that a packet meets on its path, for whole pod CIDRs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Final, NamedTuple, TypeAlias

from routes import commands
from routes.errors import Finding
from routes.model import Worker
from routes.networks import in_address_order
from routes.planning.health import not_running, source_dest_check_on
from routes.verify.filter_checks import FilterChecks
from routes.verify.header_space import Traffic
from routes.verify.results import CheckFindings, denied
from routes.verify.route_check import RouteCheck
from routes.verify.snapshot import Snapshot
from routes.verify.stages import CheckKind, Stage, StageFinding

StageResults: TypeAlias = tuple[int, Stage, CheckFindings]
"""The IP family, the stage, and the results of its check; none if packets pass."""


class EndpointProfile(NamedTuple):
    """The properties of one end that the other end's segment depends on."""

    subnet_id: str
    groups: tuple[str, ...]
    versions: tuple[int, ...]

    @classmethod
    def of(cls, worker: Worker) -> EndpointProfile:
        """Return a worker's profile; without an interface it has no subnet."""
        interface = worker.interface
        return cls(
            subnet_id=interface.subnet_id if interface else "",
            groups=tuple(sorted(interface.security_group_ids)) if interface else (),
            versions=tuple(sorted(network.version for network in worker.pod_cidrs)),
        )


class _Stages(NamedTuple):
    """The stages of one end's segment of the path.

    Attributes:
        egress: whether the far end's filters see this end's addresses as the
            destination.
    """

    instance: Stage
    check: Stage
    group: Stage
    acl: Stage
    route: Stage
    reply_acl: Stage
    egress: bool


_OF_SOURCE: Final = _Stages(
    instance=Stage.A_INSTANCE,
    check=Stage.A_SOURCE_DEST_CHECK,
    group=Stage.B_GROUP,
    acl=Stage.B_ACL,
    route=Stage.B_REPLY_ROUTE,
    reply_acl=Stage.B_REPLY_ACL,
    egress=False,
)
_OF_TARGET: Final = _Stages(
    instance=Stage.B_INSTANCE,
    check=Stage.B_SOURCE_DEST_CHECK,
    group=Stage.A_GROUP,
    acl=Stage.A_ACL,
    route=Stage.A_ROUTE,
    reply_acl=Stage.A_REPLY_ACL,
    egress=True,
)
_FUNCTIONAL: Final = {"available", "associated", "in-use"}
"""The states in which subnets and interfaces take packets."""


class Checks:
    """The checks of one snapshot, each result computed once.

    A path has two segments. Each has the checks of one end's worker, and those of the
    far end's filters and route table for this end's addresses.
    """

    def __init__(self, snapshot: Snapshot, traffic: Traffic) -> None:
        self._snapshot = snapshot
        self.acl_of = cache(snapshot.acl_of)
        routes = RouteCheck(snapshot)
        filters = FilterChecks(snapshot, traffic)
        self.tables = routes.tables
        self.table_of = routes.table_of
        self._route = cache(routes.check)
        self._acl = cache(filters.acl)
        self._group = cache(filters.group)

    def findings(
        self, worker: Worker, far: EndpointProfile, *, is_source: bool
    ) -> Iterator[StageFinding]:
        """Yield the findings of one end's segment."""
        for version, stage, results in self.segment(worker, far, is_source=is_source):
            for finding, affected in results:
                yield StageFinding(version, stage, finding, affected)

    def segment(
        self, worker: Worker, far: EndpointProfile, *, is_source: bool
    ) -> list[StageResults]:
        """Return one end's segment of a path, with the stages that packets pass.

        Between interfaces of one subnet, network ACLs are not evaluated (VPC User
        Guide, "Network ACL basics").
        """
        at = _OF_SOURCE if is_source else _OF_TARGET
        own = EndpointProfile.of(worker)
        networks = sorted(
            (n for n in worker.pod_cidrs if n.version in far.versions),
            key=in_address_order,
        )
        version = networks[0].version if networks else 0
        stages: list[StageResults] = []
        if is_source and not networks:
            stages.append((0, Stage.A_FAMILY, _no_common_family(worker)))
        stages.append((version, at.instance, self._instance(worker)))
        for network in networks:
            version = network.version
            stages.append((version, at.check, self._source_dest_check(worker)))
            if not (own.subnet_id and far.subnet_id):
                continue
            if far.groups:  # those of a whole subnet are not known
                group = self._group(far.groups, network, own.groups, egress=at.egress)
                stages.append((version, at.group, group))
            route = self._route(far.subnet_id, worker, network)
            stages.append((version, at.route, route))
            if own.subnet_id != far.subnet_id:
                for stage, egress, is_reply in (
                    (at.acl, at.egress, False),
                    (at.reply_acl, not at.egress, True),
                ):
                    acl = self._acl(
                        far.subnet_id, network, egress=egress, reply=is_reply
                    )
                    stages.append((version, stage, acl))
        return stages

    def _instance(self, worker: Worker) -> CheckFindings:
        """Check that the worker can send and receive at all.

        Reachability Analyzer's BAD_STATE and BAD_STATE_ATTACHMENT: "This component is
        not in a functional state".
        """
        snapshot = self._snapshot
        results: CheckFindings = []
        if finding := not_running(worker, snapshot.region):
            results.append((_of(CheckKind.INSTANCE, finding), worker.name))
        results += denied(snapshot, "DescribeNetworkInterfaces", CheckKind.INSTANCE)
        results += denied(snapshot, "DescribeSubnets", CheckKind.INSTANCE)
        broken = {}
        if not worker.interface:
            broken[worker.instance_id] = "has no primary network interface"
        else:
            for part in (worker.interface.id, worker.interface.subnet_id):
                state = snapshot.states.get(part, "available")
                if state not in _FUNCTIONAL:
                    broken[part] = f"is {state}"
        for resource, problem in broken.items():
            finding = Finding(
                check=CheckKind.INSTANCE,
                resource=resource,
                problem=problem,
                command=commands.describe(resource, snapshot.region),
            )
            results.append((finding, worker.name))
        return results

    def _source_dest_check(self, worker: Worker) -> CheckFindings:
        finding = source_dest_check_on(worker, self._snapshot.region)
        if not finding:
            return []
        return [(_of(CheckKind.SOURCE_DEST_CHECK, finding), worker.name)]


def _no_common_family(worker: Worker) -> CheckFindings:
    finding = Finding(
        check=CheckKind.POD_CIDR,
        resource=worker.instance_id,
        problem="has addresses of another IP family only",
    )
    return [(finding, worker.name)]


def _of(check: CheckKind, finding: Finding) -> Finding:
    return replace(finding, check=check)
