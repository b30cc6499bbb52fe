"""The check of a route table: does every part of a pod CIDR lead to its worker?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from enum import Enum, auto
from functools import cache

from routes.errors import Finding, Severity
from routes.model import PodRoute, Route, RouteKey, Worker
from routes.networks import Network
from routes.verify import fixes
from routes.verify.fixes import Fix
from routes.verify.forwarding import ForwardingTable, RoutedRange
from routes.verify.results import CheckFindings, unknown
from routes.verify.route_status import expected_entry
from routes.verify.snapshot import Snapshot
from routes.verify.stages import CheckKind


class _Disposition(Enum):
    """What happens to packets to a pod CIDR that take a route."""

    DELIVERED = auto()
    DROPPED = auto()
    UNKNOWN = auto()


class RouteCheck:
    """The route tables of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.table_of = cache(snapshot.table_of)
        self.tables = {
            table.id: ForwardingTable(
                table,
                snapshot.prefix_lists,
                snapshot.unread_prefix_lists(
                    route.destination for route in table.routes
                ),
            )
            for table in snapshot.tables
        }
        self._primary = {w.interface.id for w in snapshot.workers if w.interface}
        self._sources = frozenset(snapshot.sources)
        self._desired = {route.key for route in snapshot.desired}

    def check(self, subnet_id: str, worker: Worker, network: Network) -> CheckFindings:
        """Look a whole pod CIDR up in a subnet's table.

        Every part of it must lead to the worker's interface, and be active (VPC User
        Guide, "Route priority"). If the worker isn't running, blackholes to it are no
        finding. A source's addresses must lead to the VPC's local route.
        """
        table = self.table_of(subnet_id)
        if not table:
            problem = "has no route table"
            finding = Finding(
                check=CheckKind.ROUTE, resource=subnet_id, problem=problem
            )
            return [(finding, "")]
        target = worker.interface.id if worker.interface else ""
        route = PodRoute(
            route_table_id=table.id,
            destination=network,
            network_interface_id="local" if worker in self._sources else target,
            worker=worker.name,
        )
        findings = dict.fromkeys(
            finding
            for part in self.tables[table.id].ranges(network)
            for finding in self._check_range(
                route, part, is_running=worker.state == "running"
            )
        )
        return [(finding, f"{network} of {worker.name}") for finding in findings]

    def _check_range(
        self, route: PodRoute, part: RoutedRange, *, is_running: bool
    ) -> Iterator[Finding]:
        """Yield the problems with the route of a part of a pod CIDR.

        The result is certain if all routes that EC2 may take have the same disposition.
        """
        dispositions = {
            each: self._disposition(each, route, is_running=is_running)
            for each in (*part.routes, *part.unread)
        }
        known = {dispositions[r] for r in part.routes} or {_Disposition.DROPPED}
        wrong = [
            r for r in part.routes if dispositions[r] is not _Disposition.DELIVERED
        ]
        opaque = [r for r in wrong if dispositions[r] is _Disposition.UNKNOWN]
        unread = [r for r in part.unread if {dispositions[r]} != known]
        if opaque:
            yield self._opaque(route, part, opaque[0])
        elif len(known) > 1:
            yield self._random(route, part, wrong[0])
        elif known == {_Disposition.DROPPED} and not unread:
            yield self._wrong(route, part, wrong[0] if wrong else None)
        for each in unread:
            yield unknown(CheckKind.ROUTE, str(each.destination), "could not be read")

    def _opaque(self, route: PodRoute, part: RoutedRange, taken: Route) -> Finding:
        finding = self._wrong(route, part, taken)
        target = taken.target or "an unnamed target"
        return replace(
            finding,
            problem=f"{finding.problem}; {taken.destination} goes through {target},"
            " which is not followed",
            severity=Severity.UNKNOWN,
        )

    def _random(self, route: PodRoute, part: RoutedRange, wrong: Route) -> Finding:
        finding = self._wrong(route, part, wrong)
        lists = " and ".join(f"{r.destination} to {r.target}" for r in part.routes)
        hint = finding.hint
        if finding.command and not hint:
            hint = "A route to the pod CIDR itself takes priority:"
        return replace(
            finding,
            problem=f"has {lists} for the same addresses, and EC2 picks one at random",
            hint=hint,
            severity=Severity.UNKNOWN,
        )

    def _disposition(
        self,
        taken: Route,
        route: PodRoute,
        behind: AbstractSet[str] = frozenset(),
        *,
        is_running: bool,
    ) -> _Disposition:
        """Return what happens to packets to a pod CIDR on a route of some table.

        It is unknown behind a transit gateway, a core network, a firewall's or gateway
        load balancer's endpoint, an appliance (an interface that is no worker's primary
        one), the next hop of a route server (an IP address) or an unnamed target.
        """
        is_active = taken.state == "active"
        if taken.target == route.network_interface_id:
            is_delivered = is_active or not is_running
            return _Disposition.DELIVERED if is_delivered else _Disposition.DROPPED
        if not is_active or taken.target in self._primary:
            return _Disposition.DROPPED
        if taken.target.startswith("nat-"):
            return self._behind_nat(taken.target, route, behind)
        if taken.is_to_interface:
            is_known = taken.target in self._snapshot.attachments
            is_unread = "DescribeNetworkInterfaces" in self._snapshot.denied
            may_exist = is_known or is_unread
            return _Disposition.UNKNOWN if may_exist else _Disposition.DROPPED
        is_opaque = re.match("(tgw-|vpce-|arn:|[0-9a-f:]*[.:])", taken.target)
        if is_opaque or not taken.target:
            return _Disposition.UNKNOWN
        return _Disposition.DROPPED

    def _behind_nat(
        self, gateway: str, route: PodRoute, behind: AbstractSet[str]
    ) -> _Disposition:
        """Look the pod CIDR up in the table of a NAT gateway's own subnet.

        The gateway replaces the source address of packets with its own (VPC User Guide,
        "NAT gateways"), so the result of a worker's filters is unknown.
        """
        subnet_id = self._snapshot.nat_gateways.get(gateway)
        if not subnet_id:  # it was not read, or is a regional one
            return _Disposition.UNKNOWN
        table = self.table_of(subnet_id)
        if not table or gateway in behind:
            return _Disposition.DROPPED
        passed = behind | {gateway}
        dispositions = {
            self._disposition(each, route, passed, is_running=True)
            for part in self.tables[table.id].ranges(route.destination)
            for each in (*part.routes, *part.unread)
        }
        are_dropped = dispositions <= {_Disposition.DROPPED}
        return _Disposition.DROPPED if are_dropped else _Disposition.UNKNOWN

    def _wrong(
        self, route: PodRoute, part: RoutedRange, taken: Route | None
    ) -> Finding:
        """Return the finding about the route that a part of a pod CIDR takes."""
        is_exact = taken and taken.is_static and taken.destination == route.destination
        is_part = (part.prefix_length or 0) > route.destination.prefixlen
        fix = Fix()
        if taken and route.network_interface_id == "local":
            problem = f"sends {taken.destination} to {taken.target}"
        elif taken and taken.target == "local":
            problem = f"sends {taken.destination} to the VPC's local route"
        elif not taken or is_exact or not is_part:
            entry = expected_entry(self._snapshot, route, taken if is_exact else None)
            finding = entry.finding or Finding(resource="", problem="")
            problem = finding.problem
            fix = Fix(finding.hint, finding.command)
            if taken and not is_exact and taken.is_propagated:
                problem += f"; {taken.destination}, propagated, leads to {taken.target}"
        else:
            problem = (
                f"sends {taken.destination}, a part of a pod CIDR, to"
                f" {taken.target or 'nothing'}"
            )
            fix = self._more_specific(route.route_table_id, taken)
        return Finding(
            check=CheckKind.ROUTE,
            resource=route.route_table_id,
            problem=problem,
            hint=fix.hint,
            command=fix.command,
        )

    def _more_specific(self, table_id: str, taken: Route) -> Fix:
        """Explain how a more specific route inside a pod CIDR can be deleted."""
        if taken.is_static and RouteKey(table_id, taken.destination) in self._desired:
            return Fix(fixes.OTHER_POD_CIDR)
        if fixes.is_managed(self._snapshot, table_id, taken):
            return Fix(command=fixes.delete_obsolete(self._snapshot, table_id))
        fix = fixes.delete_unmanaged(self._snapshot, table_id, taken)
        if fix.command:
            return fix
        return Fix(f"{fix.hint} {fixes.OTHER_POD_CIDR}")
