"""What each step of the journey comes to, for whole pod CIDRs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from enum import Enum, auto
from functools import cache
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from routes import remedies
from routes.health import Ailment, check_is_on, not_running
from routes.model import (
    NetworkAcl,
    PodRoute,
    Route,
    SecurityGroupRule,
    Worker,
    import_id,
)
from routes.networks import Network, enclosing, in_address_order
from routes.verify import remedies as mend
from routes.verify.filters import LAST_RULE, acl_gap, passage
from routes.verify.forwarding import ForwardingTable, Leg
from routes.verify.journey import Cause, Effect, Found, Position, Step
from routes.verify.packets import Packets, Question, span
from routes.verify.snapshot import Snapshot
from routes.verify.standing import wanted


class Place(NamedTuple):
    """What the steps know of a worker besides its own addresses."""

    subnet_id: str
    groups: tuple[str, ...]
    versions: tuple[int, ...]

    @classmethod
    def of(cls, worker: Worker) -> Place:
        """Return the place of a worker; without an interface it is in no subnet."""
        interface = worker.interface
        return cls(
            subnet_id=interface.subnet_id if interface else "",
            groups=tuple(sorted(interface.security_group_ids)) if interface else (),
            versions=tuple(sorted(network.version for network in worker.pod_cidrs)),
        )


class _Positions(NamedTuple):
    """Where the steps of one end's share stand on the journey.

    Attributes:
        egress: whether the far end's filters are asked about packets that leave.
    """

    instance: Position
    check: Position
    group: Position
    acl: Position
    route: Position
    reply_acl: Position
    egress: bool


_OF_SOURCE: Final = _Positions(
    instance=Position.A_INSTANCE,
    check=Position.A_CHECK,
    group=Position.B_GROUP,
    acl=Position.B_ACL,
    route=Position.B_REPLY_ROUTE,
    reply_acl=Position.B_REPLY_ACL,
    egress=False,
)
_OF_TARGET: Final = _Positions(
    instance=Position.B_INSTANCE,
    check=Position.B_CHECK,
    group=Position.A_GROUP,
    acl=Position.A_ACL,
    route=Position.A_ROUTE,
    reply_acl=Position.A_REPLY_ACL,
    egress=True,
)

_FUNCTIONAL: Final = {"available", "associated", "in-use"}
"""The states of subnets and interfaces that take packets."""


class _Fate(Enum):
    """What becomes of packets to a pod CIDR that take a route."""

    ARRIVES = auto()
    LOST = auto()
    UNKNOWN = auto()


_Told: TypeAlias = list[tuple[Cause, str]]
"""Causes, each with which of its resource's packets it concerns."""
Asked: TypeAlias = tuple[int, Position, _Told]
"""A step as `Found` has it, and what it told: nothing where packets pass."""


class Steps:
    """The steps of one snapshot, each worked out once.

    `sent` and `received` are the two ends' shares of one journey: an end's own worker,
    and what the other end's place makes of this end's addresses.
    """

    def __init__(self, snapshot: Snapshot, question: Question) -> None:
        self.snapshot = snapshot
        self.question = question
        self.tables = {
            table.id: ForwardingTable(
                table,
                snapshot.prefix_lists,
                snapshot.unread_lists(route.destination for route in table.routes),
            )
            for table in snapshot.tables
        }
        self.primary = {w.interface.id for w in snapshot.workers if w.interface}
        self.sources = frozenset(snapshot.sources)
        self.wanted = {route.import_id for route in snapshot.wanted}
        self.rules: dict[tuple[str, bool], list[SecurityGroupRule]] = {}
        for rule in sorted(snapshot.security_group_rules, key=lambda rule: rule.id):
            self.rules.setdefault((rule.group_id, rule.egress), []).append(rule)
        self.table_of = cache(snapshot.table_of)
        self.acl_of = cache(snapshot.acl_of)
        self.route = cache(self._route)
        self.acl = cache(self._acl)
        self.numbers = cache(self._numbers)
        self.group = cache(self._group)

    def sent(self, source: Worker, there: Place) -> Iterator[Found]:
        """Yield A's share, towards a B at some place."""
        return _found(self.asked(source, there, is_source=True))

    def received(self, target: Worker, there: Place) -> Iterator[Found]:
        """Yield B's share, from an A at some place."""
        return _found(self.asked(target, there, is_source=False))

    def asked(self, worker: Worker, there: Place, *, is_source: bool) -> list[Asked]:
        """Return one end's share of the journey, with the steps that pass."""
        at = _OF_SOURCE if is_source else _OF_TARGET
        here = Place.of(worker)
        networks = sorted(
            (n for n in worker.pod_cidrs if n.version in there.versions),
            key=in_address_order,
        )
        version = networks[0].version if networks else 0
        steps: list[Asked] = []
        if is_source and not networks:
            cause = Cause(
                step=Step.POD_CIDR,
                resource=worker.instance_id,
                problem="has addresses of another IP family only",
            )
            steps.append((0, Position.A_FAMILY, [(cause, worker.name)]))
        steps.append((version, at.instance, self._instance(worker)))
        for network in networks:
            version = network.version
            steps.append((version, at.check, self._check(worker)))
            if not (here.subnet_id and there.subnet_id):
                continue
            if there.groups:  # of a subnet they are not known
                group = self.group(there.groups, network, here.groups, egress=at.egress)
                steps.append((version, at.group, group))
            route = self.route(there.subnet_id, worker, network)
            steps.append((version, at.route, route))
            if here.subnet_id != there.subnet_id:
                acl = self.acl(there.subnet_id, network, egress=at.egress, reply=False)
                steps.append((version, at.acl, acl))
                acl = self.acl(
                    there.subnet_id, network, egress=not at.egress, reply=True
                )
                steps.append((version, at.reply_acl, acl))
        return steps

    def _instance(self, worker: Worker) -> _Told:
        """Ask whether the worker can send and receive at all.

        Reachability Analyzer's BAD_STATE and BAD_STATE_ATTACHMENT: "This component is
        not in a functional state".
        """
        region = self.snapshot.region
        told = [
            *_ails(Step.INSTANCE, worker, not_running(worker, region)),
            *self._unread("DescribeNetworkInterfaces", Step.INSTANCE),
            *self._unread("DescribeSubnets", Step.INSTANCE),
        ]
        if not worker.interface:
            cause = Cause(
                step=Step.INSTANCE,
                resource=worker.instance_id,
                problem="has no primary network interface",
                command=remedies.describe(worker.instance_id, region),
            )
            told.append((cause, worker.name))
            return told
        for part in (worker.interface.id, worker.interface.subnet_id):
            state = self.snapshot.states.get(part, "available")
            if state not in _FUNCTIONAL:
                cause = Cause(
                    step=Step.INSTANCE,
                    resource=part,
                    problem=f"is {state}",
                    command=remedies.describe(part, region),
                )
                told.append((cause, worker.name))
        return told

    def _unread(self, action: str, step: Step) -> _Told:
        """Report a denied action, UNKNOWN_RESOURCE in Reachability Analyzer."""
        if action not in self.snapshot.unread:
            return []
        return [(_unknown(step, f"ec2:{action}", "was denied"), "")]

    def _check(self, worker: Worker) -> _Told:
        ailment = check_is_on(worker, self.snapshot.region)
        return _ails(Step.SOURCE_DEST_CHECK, worker, ailment)

    def _route(self, subnet_id: str, worker: Worker, network: Network) -> _Told:
        """Follow a subnet's table to all of a pod CIDR.

        Every part of it must lead to the worker's interface, and be active (VPC User
        Guide, "Route priority"). Of a worker that does not run, all are blackholes. To
        a source's own addresses leads the VPC's local route.
        """
        table = self.table_of(subnet_id)
        if not table:
            problem = "has no route table"
            return [(Cause(step=Step.ROUTE, resource=subnet_id, problem=problem), "")]
        target = worker.interface.id if worker.interface else ""
        route = PodRoute(
            route_table_id=table.id,
            destination=network,
            network_interface_id="local" if worker in self.sources else target,
            worker=worker.name,
        )
        causes = [
            cause
            for leg in self.tables[table.id].legs(network)
            for cause in self._leg(route, leg, runs=worker.state == "running")
        ]
        subject = f"{network} of {worker.name}"
        return [(cause, subject) for cause in dict.fromkeys(causes)]

    def _leg(self, route: PodRoute[str], leg: Leg, *, runs: bool) -> Iterator[Cause]:
        """Tell what is wrong with the route of a part of a pod CIDR, if anything is.

        It is certain where whatever route EC2 takes has the same fate.
        """
        fates = {
            each: self._fate(each, route, runs=runs)
            for each in (*leg.routes, *leg.unread)
        }
        known = {fates[each] for each in leg.routes} or {_Fate.LOST}
        wrong = [each for each in leg.routes if fates[each] is not _Fate.ARRIVES]
        opaque = [each for each in wrong if fates[each] is _Fate.UNKNOWN]
        unread = [each for each in leg.unread if {fates[each]} != known]
        if opaque:
            cause = self._wrong(route, leg, opaque[0])
            problem = (
                f"{cause.problem}; {opaque[0].destination} goes through"
                f" {opaque[0].target or 'an unnamed target'}, which is not"
                " followed"
            )
            yield replace(cause, problem=problem, effect=Effect.HIDES)
        elif len(known) > 1:
            lists = " and ".join(f"{r.destination} to {r.target}" for r in leg.routes)
            cause = self._wrong(route, leg, wrong[0])
            problem = f"has {lists} for the same addresses, and EC2 picks one at random"
            if cause.command and not cause.remedy:
                cause = replace(
                    cause, remedy="A route to the pod CIDR itself takes priority:"
                )
            yield replace(cause, problem=problem, effect=Effect.HIDES)
        elif known == {_Fate.LOST} and not unread:
            yield self._wrong(route, leg, wrong[0] if wrong else None)
        for each in unread:
            yield _unknown(Step.ROUTE, str(each.destination), "could not be read")

    def _fate(
        self,
        found: Route,
        route: PodRoute[str],
        behind: AbstractSet[str] = frozenset(),
        *,
        runs: bool,
    ) -> _Fate:
        """Return what becomes of packets to a pod CIDR by a route of some table.

        Unknown is what a transit gateway, a core network, a firewall's or gateway load
        balancer's endpoint, an appliance, the next hop of a route server (an IP
        address) or a target that EC2 does not name make of them. An appliance is an
        interface that is no worker's primary one.
        """
        is_active = found.state == "active"
        if found.target == route.network_interface_id:
            return _Fate.ARRIVES if is_active or not runs else _Fate.LOST
        if not is_active or found.target in self.primary:
            return _Fate.LOST
        if found.target.startswith("nat-"):
            return self._fate_behind(found.target, route, behind)
        if found.is_to_interface:
            known = self.snapshot.attachments
            denied = "DescribeNetworkInterfaces" in self.snapshot.unread
            return _Fate.UNKNOWN if found.target in known or denied else _Fate.LOST
        is_named = re.match("(tgw-|vpce-|arn:|[0-9a-f:]*[.:])", found.target)
        return _Fate.UNKNOWN if is_named or not found.target else _Fate.LOST

    def _fate_behind(
        self, gateway: str, route: PodRoute[str], behind: AbstractSet[str]
    ) -> _Fate:
        """Follow the table of a NAT gateway's own subnet.

        Packets leave it with the gateway's own source address (VPC User Guide, "NAT
        gateways"), so the result of a worker's filters is unknown.
        """
        subnet_id = self.snapshot.nat_gateways.get(gateway)
        if not subnet_id:  # it was not read, or is a regional one
            return _Fate.UNKNOWN
        table = self.table_of(subnet_id)
        if not table or gateway in behind:
            return _Fate.LOST
        seen = behind | {gateway}
        fates = {
            self._fate(each, route, seen, runs=True)
            for leg in self.tables[table.id].legs(route.destination)
            for each in (*leg.routes, *leg.unread)
        }
        return _Fate.LOST if fates <= {_Fate.LOST} else _Fate.UNKNOWN

    def _wrong(self, route: PodRoute[str], leg: Leg, found: Route | None) -> Cause:
        """Tell what is wrong with the route of a part of a pod CIDR."""
        is_exact = found and found.is_static and found.destination == route.destination
        advice = mend.Advice()
        if found and route.network_interface_id == "local":
            problem = f"sends {found.destination} to {found.target}"
        elif found and found.target == "local":
            problem = f"keeps {found.destination} for the VPC's subnets"
        elif not found or is_exact or leg.length <= route.destination.prefixlen:
            verdict = wanted(self.snapshot, route, found if is_exact else None)
            problem = verdict.problem
            advice = mend.Advice(verdict.remedy, verdict.command)
            if found and not is_exact and found.is_propagated:
                problem += f"; {found.destination}, propagated, leads to {found.target}"
        else:
            problem = (
                f"sends {found.destination}, a part of a pod CIDR, to"
                f" {found.target or 'nothing'}"
            )
            advice = self._part(route.route_table_id, found)
        return Cause(
            step=Step.ROUTE,
            resource=route.route_table_id,
            problem=problem,
            remedy=advice.remedy,
            command=advice.command,
        )

    def _part(self, table_id: str, found: Route) -> mend.Advice:
        """Say how a route that takes a part of a pod CIDR can go."""
        if found.is_static and import_id(table_id, found.destination) in self.wanted:
            return mend.Advice(mend.OR_MOVE.strip())
        if mend.is_managed(self.snapshot, table_id, found):
            return mend.Advice(command=mend.let_go(self.snapshot, table_id))
        advice = mend.remove(self.snapshot, table_id, found)
        return advice if advice.command else mend.Advice(advice.remedy + mend.OR_MOVE)

    def _acl(
        self, subnet_id: str, network: Network, *, egress: bool, reply: bool
    ) -> _Told:
        """Ask the network ACL of a subnet that packets enter or leave.

        It is stateless, so replies are asked for too; between interfaces of one subnet
        it is not asked (VPC User Guide, "Network ACL basics").
        """
        denied = self._unread("DescribeNetworkAcls", Step.NETWORK_ACL)
        if denied:
            return denied
        acl = self.acl_of(subnet_id)
        ask = self.question.reply if reply else self.question.forward
        packets = ask(network)
        gap = acl_gap(acl, packets, egress=egress) if acl else None
        if not acl or not gap:
            return []
        way = "outbound" if egress else "inbound"
        if not gap.stops:
            problem = f"passes tcp, udp and icmp {way}, not every protocol"
            return [(_note(Step.NETWORK_ACL, acl.id, problem), "")]
        rule = "*" if gap.rule >= LAST_RULE else str(gap.rule)
        cause = Cause(
            step=Step.NETWORK_ACL,
            resource=acl.id,
            problem=f"denies {gap.packets.kind} {way}, by rule {rule}",
            **self._allow_before(acl, gap.rule, packets, egress=egress)._asdict(),
        )
        return [(cause, f"{'to' if egress else 'from'} {gap.packets.network}")]

    def _allow_before(
        self, acl: NetworkAcl, rule: int, packets: Packets, *, egress: bool
    ) -> mend.Advice:
        allowed = self._of_cluster(packets)
        number = self.numbers(acl, egress=egress).get((rule, allowed))
        if number is None:
            return mend.Advice(
                "No rule number is free before it. Whoever owns the network ACL has to"
                " renumber or delete that rule."
            )
        region = self.snapshot.region
        return mend.Advice(
            command=mend.allow_in_acl(
                acl.id, number, allowed, egress=egress, region=region
            )
        )

    def _numbers(
        self, acl: NetworkAcl, *, egress: bool
    ) -> dict[tuple[int, Packets], int]:
        """Number whatever rule may be proposed for an ACL, each before one it has.

        No two have the same number, so that all commands of one report work.
        """
        networks = {
            network
            for end in (*self.snapshot.workers, *self.snapshot.sources)
            for network in end.pod_cidrs
        }
        wanted = dict.fromkeys(
            (gap.rule, self._of_cluster(packets))
            for ask in (self.question.forward, self.question.reply)
            for packets in map(ask, sorted(networks, key=in_address_order))
            if (gap := acl_gap(acl, packets, egress=egress)) and gap.stops
        )
        taken = {each.number for each in acl.rules if each.egress == egress}
        numbers: dict[tuple[int, Packets], int] = {}
        for rule, packets in sorted(wanted, key=itemgetter(0)):
            free = next((n for n in range(rule - 1, 0, -1) if n not in taken), None)
            if free is not None:
                numbers[rule, packets] = free
                taken.add(free)
        return numbers

    def _group(
        self,
        groups: tuple[str, ...],
        network: Network,
        far_groups: tuple[str, ...],
        *,
        egress: bool,
    ) -> _Told:
        """Ask the security groups of an interface; they are stateful.

        See VPC User Guide, "Security group rules" and "Security group referencing".
        """
        denied = self._unread("DescribeSecurityGroupRules", Step.SECURITY_GROUP)
        if denied:
            return denied
        rules = [
            rule for group in groups for rule in self.rules.get((group, egress), [])
        ]
        packets = self.question.forward(network)
        lists = self.snapshot.prefix_lists
        named = {rule.peer for rule in rules if isinstance(rule.peer, str)}
        members = far_groups or {each for each in named if each.startswith("sg-")}
        gap, by_group = passage(rules, packets, members, lists)
        way = "outbound" if egress else "inbound"
        names = ", ".join(groups)
        if gap and gap.stops:
            unread = self.snapshot.unread_lists(named)
            at_best = {**lists, **dict.fromkeys(unread, (network,))}
            best, _ = passage(rules, packets, members, at_best)
            if unread and not (best and best.stops):
                return [
                    (_unknown(Step.SECURITY_GROUP, each, "could not be read"), "")
                    for each in unread
                ]
            allowed = self._of_cluster(packets)
            region = self.snapshot.region
            cause = Cause(
                step=Step.SECURITY_GROUP,
                resource=names,
                problem=f"does not allow {gap.packets.kind} {way}"
                if rules
                else f"has no {way} rule",
                command=mend.allow_in_group(
                    groups[0], allowed, egress=egress, region=region
                ),
            )
            return [(cause, f"{'to' if egress else 'from'} {gap.packets.network}")]
        note = _note(
            Step.SECURITY_GROUP,
            names,
            f"allows tcp, udp and icmp {way}, not every protocol",
        )
        if by_group and not far_groups:
            problem = f"allows {way} by naming a group, and who is in it is not known"
            note = replace(
                note, resource=by_group, problem=problem, effect=Effect.HIDES
            )
        elif by_group and not enclosing(self.snapshot.vpc.cidrs, network):
            problem = (
                f"allows pods {way} by naming a group only; EC2 documents that for"
                " private addresses, not for pods'"
            )
            note = replace(note, resource=by_group, problem=problem)
        elif not gap:
            return []
        return [(note, "")]

    def _of_cluster(self, packets: Packets) -> Packets:
        """Widen to the whole cluster's range, which is what a mending rule names."""
        network = enclosing(self.snapshot.cluster_cidrs, packets.network)
        return packets._replace(addresses=span(network)) if network else packets


def _found(asked: Iterable[Asked]) -> Iterator[Found]:
    for version, position, told in asked:
        for cause, subject in told:
            yield Found(version, position, cause, subject)


def _ails(step: Step, worker: Worker, ailment: Ailment | None) -> _Told:
    return [(Cause(step=step, **ailment._asdict()), worker.name)] if ailment else []


def _unknown(step: Step, resource: str, problem: str) -> Cause:
    return Cause(
        step=step,
        resource=resource,
        problem=f"{problem}, so nobody can tell",
        effect=Effect.HIDES,
    )


def _note(step: Step, resource: str, problem: str) -> Cause:
    return Cause(step=step, resource=resource, problem=problem, effect=Effect.NOTES)
