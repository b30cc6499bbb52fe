"""Whether a packet from a pod on one worker arrives at a pod on another, and back.

Each step is followed as AWS does it, for whole pod CIDRs. Workers that no step can tell
apart form a group, so that a thousand of them are a handful of cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final, NamedTuple, TypeAlias

from routes import commands
from routes.filters import LAST_RULE, acl_gap, passage
from routes.forwarding import ForwardingTable, Leg
from routes.model import (
    Network,
    Route,
    Worker,
    contains,
    import_id,
    in_address_order,
)
from routes.packets import Packets, Question, span
from routes.snapshot import NetworkAcl, SecurityGroupRule, Snapshot


class Step(IntEnum):
    """Where a packet can be stopped, in its own order."""

    POD_CIDR = 0
    INSTANCE = 1
    ROUTE = 2
    SOURCE_DEST_CHECK = 3
    NETWORK_ACL = 4
    SECURITY_GROUP = 5

    @property
    def label(self) -> str:
        """The step's name for people."""
        return _LABELS[self]


_LABELS: Final = {
    Step.POD_CIDR: "pod CIDR",
    Step.INSTANCE: "instance",
    Step.ROUTE: "route",
    Step.SOURCE_DEST_CHECK: "source/destination check",
    Step.NETWORK_ACL: "network ACL",
    Step.SECURITY_GROUP: "security group",
}


@dataclass(frozen=True, kw_only=True, order=True)
class Cause:
    """Why packets stop, or what deserves a note although they pass.

    Attributes:
        resource: the id of the rule or resource that decides.
        problem: completes "resource ..."; the same for every pair that it concerns.
        command: what mends it, "" where no command does.
        subject: which of the resource's packets: a destination, a range.
        stops: False for a note.
    """

    step: Step
    resource: str
    problem: str
    command: str = ""
    subject: str = ""
    stops: bool = True


class Verdict(NamedTuple):
    """What becomes of the packets of one ordered pair of workers.

    Attributes:
        cause: the first thing that stops them; None where they arrive and come back.
        on_reply: whether it is the reply that is stopped.
        notes: on what the arrival rests, sorted; empty where a cause is given.
    """

    cause: Cause | None = None
    on_reply: bool = False
    notes: tuple[Cause, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reachability:
    """The verdict of every ordered pair of workers that have a pod CIDR.

    Attributes:
        groups: workers that no step tells apart; sorted.
        verdicts: each different one, once.
        matrix: row by source group, column by target group, an index of `verdicts`;
            -1 for a worker that is alone in its group and would talk to itself.
        pairs: how many pairs each verdict has.
    """

    groups: tuple[tuple[Worker, ...], ...]
    verdicts: tuple[Verdict, ...]
    matrix: tuple[tuple[int, ...], ...]
    pairs: tuple[int, ...]

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Every worker in the matrix, sorted."""
        return tuple(sorted((w for g in self.groups for w in g), key=_in_order))

    @property
    def reachable(self) -> int:
        """The number of pairs whose packets arrive."""
        return sum(
            count
            for verdict, count in zip(self.verdicts, self.pairs, strict=True)
            if not verdict.cause
        )

    def between(self, source: str, target: str) -> Verdict:
        """Return the verdict of two different workers, by instance id."""
        return self.verdicts[self.matrix[self._group(source)][self._group(target)]]

    def counts(self) -> Counter[Cause]:
        """Return each cause and note, and how many pairs it concerns."""
        found: Counter[Cause] = Counter()
        for verdict, count in zip(self.verdicts, self.pairs, strict=True):
            for cause in (verdict.cause, *verdict.notes):
                if cause:
                    found[cause] += count
        return found

    def _group(self, instance_id: str) -> int:
        return next(
            number
            for number, group in enumerate(self.groups)
            if any(worker.instance_id == instance_id for worker in group)
        )


def judge(snapshot: Snapshot, question: Question) -> Reachability:
    """Follow the question's packets between all workers that have a pod CIDR."""
    steps = _Steps(snapshot, question)
    workers = sorted((w for w in snapshot.workers if w.pod_cidrs), key=_in_order)
    places = [_Place.of(worker) for worker in workers]
    distinct = sorted(set(places))
    numbers = {place: number for number, place in enumerate(distinct)}

    sides: dict[_Side, int] = {}

    def number(side: _Side) -> int:
        return sides.setdefault(side, len(sides))

    groups: dict[_Signature, list[Worker]] = {}
    for worker, here in zip(workers, places, strict=True):
        signature = _Signature(
            place=numbers[here],
            as_source=tuple(
                number(_side(steps.out(worker, here, at))) for at in distinct
            ),
            as_target=tuple(
                number(_side(steps.into(worker, here, at))) for at in distinct
            ),
        )
        groups.setdefault(signature, []).append(worker)

    known = tuple(sides)
    verdicts: dict[Verdict, int] = {}

    @cache
    def stopped(side: int) -> int:
        return verdicts.setdefault(_stopped(known[side]), len(verdicts))

    @cache
    def arrived(source: int, target: int) -> int:
        notes = {*known[source].notes, *known[target].notes}
        return verdicts.setdefault(Verdict(notes=tuple(sorted(notes))), len(verdicts))

    def first(source: int, target: int) -> int:
        """Return the verdict: the earlier stop decides, whatever the later one is."""
        here, there = known[source].position, known[target].position
        if here == there:
            return arrived(source, target)
        return stopped(source if here < there else target)

    pairs: Counter[int] = Counter()
    matrix = []
    for source, senders in groups.items():
        row = []
        for target, receivers in groups.items():
            others = len(receivers) - (source is target)
            verdict = -1
            if others:
                verdict = first(
                    source.as_source[target.place], target.as_target[source.place]
                )
                pairs[verdict] += len(senders) * others
            row.append(verdict)
        matrix.append(tuple(row))
    return Reachability(
        groups=tuple(map(tuple, groups.values())),
        verdicts=tuple(verdicts),
        matrix=tuple(matrix),
        pairs=tuple(pairs[each] for each in range(len(verdicts))),
    )


def _in_order(worker: Worker) -> tuple[int, int, int, str]:
    """Sort workers as their routes are, so that worker-10 comes after worker-2."""
    return *min(map(in_address_order, worker.pod_cidrs)), worker.instance_id


class _Place(NamedTuple):
    """What the steps know of a worker besides its own addresses."""

    subnet_id: str
    groups: tuple[str, ...]
    versions: tuple[int, ...]

    @classmethod
    def of(cls, worker: Worker) -> _Place:
        interface = worker.interface
        return cls(
            subnet_id=interface.subnet_id if interface else "",
            groups=tuple(sorted(interface.security_group_ids)) if interface else (),
            versions=tuple(sorted(network.version for network in worker.pod_cidrs)),
        )


class _Side(NamedTuple):
    """What one end's share of the steps comes to, towards one place.

    Attributes:
        position: of the step that stops the packets, in the order of the journey; no
            step of the two ends shares one.
    """

    position: int
    cause: Cause | None
    notes: tuple[Cause, ...]


class _Signature(NamedTuple):
    """Workers with the same one are a group; sides and places by their numbers."""

    place: int
    as_source: tuple[int, ...]
    as_target: tuple[int, ...]


_REPLY: Final = 9
_JOURNEY: Final = 16
"""The positions from which the reply, and the next IP family, begin."""
_ARRIVED: Final = 1 << 10

_Found: TypeAlias = Iterator[tuple[int, Cause | None]]


def _side(steps: _Found) -> _Side:
    notes = []
    for position, cause in steps:
        if cause and cause.stops:
            return _Side(position, cause, ())
        if cause:
            notes.append(cause)
    return _Side(_ARRIVED, None, tuple(notes))


def _stopped(side: _Side) -> Verdict:
    return Verdict(side.cause, on_reply=side.position % _JOURNEY >= _REPLY)


class _Steps:
    """The steps of one snapshot, each worked out once.

    `out` and `into` are the two ends' shares of one journey. The positions interleave:
    instance of A, of B; route to B; check of A, of B; network ACL out of A, into B;
    security groups out of A, into B; the reply: route to A; ACL out of B, into A.
    """

    def __init__(self, snapshot: Snapshot, question: Question) -> None:
        self.snapshot = snapshot
        self.question = question
        self.tables = {
            table.id: ForwardingTable(table, snapshot.prefix_lists)
            for table in snapshot.tables
        }
        self.workers = {worker.instance_id: worker for worker in snapshot.workers}
        self.wanted = {route.import_id for route in snapshot.wanted}
        self.rules: dict[tuple[str, bool], list[SecurityGroupRule]] = {}
        for rule in sorted(snapshot.security_group_rules, key=lambda rule: rule.id):
            self.rules.setdefault((rule.group_id, rule.egress), []).append(rule)
        self.table_of = cache(snapshot.table_of)
        self.acl_of = cache(snapshot.acl_of)
        self.route = cache(self._route)
        self.acl = cache(self._acl)
        self.group = cache(self._group)

    def out(self, source: Worker, here: _Place, there: _Place) -> _Found:
        """Yield what rests on the source's addresses and the target's place."""
        yield 0, self._instance(source)
        if not there.subnet_id:
            return  # the target has no interface, and its own share says so
        crosses = here.subnet_id != there.subnet_id
        if not set(here.versions) & set(there.versions):
            yield 2, _no_common_family(source)
        for base, network in _journeys(source, there):
            yield base + 3, self._check(source)
            if crosses:
                yield (
                    base + 6,
                    self.acl(there.subnet_id, network, egress=False, reply=False),
                )
            yield base + 8, self.group(there.groups, network, here.groups, egress=False)
            yield base + 9, self.route(there.subnet_id, source.instance_id, network)
            if crosses:
                yield (
                    base + 10,
                    self.acl(there.subnet_id, network, egress=True, reply=True),
                )

    def into(self, target: Worker, here: _Place, there: _Place) -> _Found:
        """Yield what rests on the target's addresses and the source's place."""
        yield 1, self._instance(target)
        if not there.subnet_id:
            return
        crosses = here.subnet_id != there.subnet_id
        for base, network in _journeys(target, there):
            yield base + 2, self.route(there.subnet_id, target.instance_id, network)
            yield base + 4, self._check(target)
            if crosses:
                yield (
                    base + 5,
                    self.acl(there.subnet_id, network, egress=True, reply=False),
                )
            yield base + 7, self.group(there.groups, network, here.groups, egress=True)
            if crosses:
                yield (
                    base + 11,
                    self.acl(there.subnet_id, network, egress=False, reply=True),
                )

    def _instance(self, worker: Worker) -> Cause | None:
        """Ask whether the worker can send and receive at all."""
        region = self.snapshot.region
        if worker.state != "running":
            return Cause(
                step=Step.INSTANCE,
                resource=worker.instance_id,
                problem=f"is {worker.state}",
                command=commands.start(worker.instance_id, worker.state, region),
                subject=worker.name,
            )
        if not worker.interface:
            return Cause(
                step=Step.INSTANCE,
                resource=worker.instance_id,
                problem="has no primary network interface",
                command="aws ec2 describe-instances"
                f" --instance-ids {worker.instance_id} --region {region}",
                subject=worker.name,
            )
        return None

    def _check(self, worker: Worker) -> Cause | None:
        """Ask for the source/destination check, which must be off to forward.

        See VPC User Guide, "NAT instances", "Disable source/destination checks".
        """
        interface = worker.interface
        if not interface or not interface.source_dest_check:
            return None
        return Cause(
            step=Step.SOURCE_DEST_CHECK,
            resource=interface.id,
            problem="has its source/destination check on",
            command=commands.check_off(interface.id, self.snapshot.region),
            subject=worker.name,
        )

    def _route(
        self, subnet_id: str, instance_id: str, network: Network
    ) -> Cause | None:
        """Follow a subnet's table to all of a pod CIDR.

        Every part of it must lead to the worker's interface, and be active (VPC User
        Guide, "Route priority").
        """
        table = self.table_of(subnet_id)
        if not table:
            return Cause(
                step=Step.ROUTE, resource=subnet_id, problem="has no route table"
            )
        worker = self.workers[instance_id]
        for leg in self.tables[table.id].legs(network):
            cause = self._leg(table.id, leg, worker, network)
            if cause:
                return cause
        return None

    def _leg(
        self, table_id: str, leg: Leg, worker: Worker, network: Network
    ) -> Cause | None:
        interface_id = worker.interface.id if worker.interface else ""
        wrong = [
            route
            for route in leg.routes
            if route.target != interface_id or route.state != "active"
        ]
        if leg.routes and not wrong:
            return None
        subject = f"{network} of {worker.name}"
        route = wrong[0] if wrong else None
        is_exact = bool(route and route.is_static and route.destination == network)
        if route is None or (leg.length <= network.prefixlen and not is_exact):
            return self._missing(table_id, subject)
        if not is_exact:
            return Cause(
                step=Step.ROUTE,
                resource=table_id,
                problem=f"sends {route.destination}, a part of a pod CIDR, to"
                f" {route.target or 'nothing'}",
                command=self._without(table_id, route),
                subject=subject,
            )
        if route.target == interface_id:
            why = self.snapshot.why_gone(interface_id)
            return Cause(
                step=Step.ROUTE,
                resource=table_id,
                problem="holds a blackhole" + (f": {why}" if why else ""),
                command=commands.replace_route(
                    table_id, network, interface_id, self.snapshot.region
                ),
                subject=subject,
            )
        return Cause(
            step=Step.ROUTE,
            resource=table_id,
            problem=f"leads elsewhere, to {route.target or 'nothing'}",
            command=commands.redirect(
                self.snapshot, table_id, route, network, interface_id
            ),
            subject=subject,
        )

    def _missing(self, table_id: str, subject: str) -> Cause:
        snapshot = self.snapshot
        if table_id in snapshot.route_table_ids:
            return Cause(
                step=Step.ROUTE,
                resource=table_id,
                problem="has no route to the pod CIDR",
                command=commands.update(snapshot.stack),
                subject=subject,
            )
        return Cause(
            step=Step.ROUTE,
            resource=table_id,
            problem="is not among routeTables and has no route to the pod CIDR",
            command=commands.configure_tables(
                snapshot.stack, {*snapshot.route_table_ids, table_id}
            ),
            subject=subject,
        )

    def _without(self, table_id: str, route: Route) -> str:
        """Return how to be rid of a route, but not of another worker's own."""
        if import_id(table_id, route.destination) in self.wanted:
            return ""
        return commands.remove_route(table_id, route, self.snapshot.region)

    def _acl(
        self,
        subnet_id: str,
        network: Network,
        *,
        egress: bool,
        reply: bool,
    ) -> Cause | None:
        """Ask the network ACL of a subnet that packets enter or leave.

        It is stateless, so replies are asked for too; between interfaces of one subnet
        it is not asked (VPC User Guide, "Network ACL basics").
        """
        acl = self.acl_of(subnet_id)
        ask = self.question.reply if reply else self.question.forward
        packets = ask(network)
        gap = acl_gap(acl, packets, egress=egress) if acl else None
        if not acl or not gap:
            return None
        way = "outbound" if egress else "inbound"
        rule = "*" if gap.rule >= LAST_RULE else str(gap.rule)
        if not gap.stops:
            return Cause(
                step=Step.NETWORK_ACL,
                resource=acl.id,
                problem=f"passes tcp, udp and icmp {way}, not every protocol",
                stops=False,
            )
        return Cause(
            step=Step.NETWORK_ACL,
            resource=acl.id,
            problem=f"denies {gap.packets.kind} {way}, by rule {rule}",
            command=self._allow_before(acl, gap.rule, packets, egress=egress),
            subject=f"{'to' if egress else 'from'} {gap.packets.network}",
        )

    def _allow_before(
        self, acl: NetworkAcl, rule: int, packets: Packets, *, egress: bool
    ) -> str:
        region = self.snapshot.region
        taken = {each.number for each in acl.rules if each.egress == egress}
        free = next((n for n in range(rule - 1, 0, -1) if n not in taken), None)
        if free is None:
            return commands.remove_from_acl(acl.id, rule, egress=egress, region=region)
        return commands.allow_in_acl(
            acl.id, free, self._of_cluster(packets), egress=egress, region=region
        )

    def _group(
        self,
        groups: tuple[str, ...],
        network: Network,
        far_groups: tuple[str, ...],
        *,
        egress: bool,
    ) -> Cause | None:
        """Ask the security groups of an interface; they are stateful.

        See VPC User Guide, "Security group rules" and "Security group referencing". EC2
        gives every interface at least one group.
        """
        rules = [
            rule for group in groups for rule in self.rules.get((group, egress), [])
        ]
        packets = self.question.forward(network)
        gap, by_group = passage(rules, packets, far_groups, self.snapshot.prefix_lists)
        way = "outbound" if egress else "inbound"
        if gap and gap.stops:
            return Cause(
                step=Step.SECURITY_GROUP,
                resource=", ".join(groups),
                problem=f"does not allow {gap.packets.kind} {way}",
                command=commands.allow_in_group(
                    groups[0],
                    self._of_cluster(packets),
                    egress=egress,
                    region=self.snapshot.region,
                ),
                subject=f"{'to' if egress else 'from'} {gap.packets.network}",
            )
        if by_group:
            return Cause(
                step=Step.SECURITY_GROUP,
                resource=by_group,
                problem=f"allows pods {way} by naming a group only; EC2 documents that"
                " for private addresses, not for pods'",
                stops=False,
            )
        if gap:
            return Cause(
                step=Step.SECURITY_GROUP,
                resource=", ".join(groups),
                problem=f"allows tcp, udp and icmp {way}, not every protocol",
                stops=False,
            )
        return None

    def _of_cluster(self, packets: Packets) -> Packets:
        """Widen to the whole cluster's range, which is what a mending rule names."""
        for network in self.snapshot.cluster_cidrs:
            if contains(network, packets.network):
                return packets._replace(addresses=span(network))
        return packets


def _journeys(worker: Worker, there: _Place) -> Iterator[tuple[int, Network]]:
    """Yield each IP family that both ends have, and where its positions begin."""
    networks = {network.version: network for network in worker.pod_cidrs}
    common = [version for version in sorted(networks) if version in there.versions]
    for number, version in enumerate(common):
        yield number * _JOURNEY, networks[version]


def _no_common_family(worker: Worker) -> Cause:
    return Cause(
        step=Step.POD_CIDR,
        resource=worker.instance_id,
        problem="has pod CIDRs of another IP family only",
        subject=worker.name,
    )
