"""Whatever one lookup lacks, no worker loses a route of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from routes.engine.state import Stack
from routes.errors import PlanError
from routes.model import (
    Discovery,
    ManagedRoute,
    Node,
    PodRoute,
    Route,
    RouteKey,
    RouteTable,
    Selector,
    Worker,
    static_routes,
)
from routes.networks import Network
from routes.planning import plan
from routes.planning.plan import Plan
from tests import builders
from tests.builders import discovery, networks, route, settings, stack, worker

CIDRS = networks(*(f"10.200.{n}.0/24" for n in range(5)))
CIDRS_V6 = networks(*(f"fd00:200:0:{n}::/64" for n in range(5)))
BASE = {
    "routeTables": "table-0,table-1",
    "clusterCidr": "10.200.0.0/16,fd00:200::/48",
    "maxRemovals": "100%",
}


@dataclass(frozen=True)
class World:
    """What is true, and what the last update left in the state.

    Attributes:
        workers, tables: every live one.
        stack: with its state and last outputs.
        entries: of `workers`.
    """

    workers: tuple[Worker, ...]
    tables: tuple[RouteTable, ...]
    stack: Stack
    entries: tuple[str, ...]

    @property
    def desired(self) -> dict[RouteKey, str]:
        """The target of every route that the workers need."""
        return {
            RouteKey(table.id, cidr): one.interface.id
            for table in self.tables
            for one in self.workers
            for cidr in one.pod_cidrs
            if one.interface
            and any(
                Selector(each).selects(id=one.instance_id, name=one.name)
                for each in self.entries
            )
        }

    @property
    def owned(self) -> dict[RouteKey, str]:
        """Those that the stack manages, of live workers that have routes.

        Nobody loses a route to a deleted interface.
        """
        owners = self.stack.owners
        existing = static_routes(self.tables)
        live = {one.instance_id for one in self.workers}
        served = {
            one.interface.id
            for one in self.workers
            if one.interface and one.instance_id in owners.values()
        }
        return {
            key: target
            for key, target in self.desired.items()
            if key in owners
            and owners[key] in live
            and target in served
            and not existing[key].is_target_deleted
        }


def _cidrs(number: int, *, has_both: bool) -> tuple[Network, ...]:
    return (CIDRS[number], CIDRS_V6[number]) if has_both else (CIDRS[number],)


@st.composite
def _successors(
    draw: st.DrawFn, before: list[Worker], *, has_both: bool
) -> list[Worker]:
    """Keep, replace, terminate workers, have them swap pod CIDRs, or add one."""
    order = draw(st.permutations(range(len(before))))
    is_swapped = draw(st.booleans())
    workers = []
    for n, one in enumerate(before):
        fate = draw(st.sampled_from(["same"] * 5 + ["replaced", "terminated"]))
        now = one
        if is_swapped:
            now = replace(one, pod_cidrs=before[order[n]].pod_cidrs)
        if fate == "replaced":
            now = worker(n + 5, name=one.name, pod_cidrs=now.pod_cidrs)
        if fate != "terminated":
            workers.append(now)
    if draw(st.booleans()):
        workers.append(worker(4, pod_cidrs=_cidrs(4, has_both=has_both)))
    return workers


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds after workers joined or left; the state is by update or by import."""
    has_both = draw(st.booleans())
    before = [
        worker(n, pod_cidrs=_cidrs(n, has_both=has_both))
        for n in range(draw(st.integers(1, 4)))
    ]
    workers = draw(_successors(before, has_both=has_both))
    live = {one.instance_id for one in workers}
    ids = ["rtb-0", "rtb-1"][: draw(st.integers(1, 2))]
    applied = {}
    managed = {}
    rows: dict[str, list[Route]] = {each: [] for each in ids}
    is_imported = draw(st.booleans()) and draw(st.booleans())
    for each in ids:
        for one in before:
            for cidr in one.pod_cidrs:
                assert one.interface
                desired = PodRoute(
                    route_table_id=each,
                    destination=cidr,
                    network_interface_id=one.interface.id,
                    worker=one.name,
                    instance_id=one.instance_id,
                )
                applied[desired.key] = desired
                target = one
                is_retargeted = draw(st.integers(0, 9)) == 0
                if is_retargeted:
                    target = draw(st.sampled_from(before))
                assert target.interface
                is_live = target.instance_id in live
                rows[each].append(
                    route(
                        str(cidr),
                        target.interface.id,
                        **(
                            {"instance_id": target.instance_id}
                            if is_live
                            else {"state": "blackhole"}
                        ),
                    )
                )
                in_state = one
                if is_retargeted and draw(st.booleans()):
                    in_state = target
                assert in_state.interface
                managed[desired.key] = ManagedRoute(
                    urn=f"urn:{desired.key}",
                    target=in_state.interface.id,
                    instance_id=in_state.instance_id,
                )
    tables = tuple(
        builders.table(*rows[each], id=each, name=f"table-{n}")
        for n, each in enumerate(ids)
    )
    return World(
        workers=tuple(workers),
        tables=tables,
        stack=stack(managed=managed, last_applied={} if is_imported else applied),
        entries=draw(
            st.sampled_from([("worker-*",), tuple({w.name: 0 for w in before})])
        ),
    )


def answer(
    world: World,
    listed: tuple[Worker, ...] | None = None,
    tables: tuple[RouteTable, ...] | None = None,
    known: frozenset[str] | None = None,
    **changes: object,
) -> Discovery:
    """Return the lookup that answers of EC2 lead to.

    Args:
        world: what is true.
        listed: the workers in EC2's list.
        tables: those that a filter by name finds; a filter by id finds all.
        known: the instances that EC2 knows by their ids.
        changes: of the lookup.
    """
    listed = world.workers if listed is None else listed
    tables = world.tables if tables is None else tables
    true = {one.instance_id: one for one in world.workers}
    owners = world.stack.owners
    existing = static_routes(tables)
    behind = {
        existing[key].instance_id or (owner if existing[key].state == "active" else "")
        for key, owner in owners.items()
        if key in existing
    }
    displaced = {
        owner
        for key, owner in owners.items()
        if key.route_table_id in {each.id for each in tables}
        and not (key in existing and existing[key].is_target_deleted)
    }
    missing = true.keys() - {one.instance_id for one in listed}
    lost = missing - (known if known is not None else true.keys())
    unconfirmed = (behind & missing & lost) - {""}
    missed = missing & (behind | displaced) - lost
    by_id = [one for one in world.workers if one.instance_id in missed]
    instances = [*listed, *by_id]
    ids = {each.id for each in tables}
    return discovery(
        {
            Selector(each): tuple(
                one
                for one in instances
                if Selector(each).selects(id=one.instance_id, name=one.name)
            )
            for each in world.entries
        },
        {
            Selector(each.name): tuple(t for t in tables if t.id == each.id)
            for each in world.tables
        },
        deselected_tables=tuple(
            each
            for each in world.tables
            if each.id not in ids
            and any(key.route_table_id == each.id for key in owners)
        ),
        unlisted=frozenset(missed),
        unconfirmed=frozenset(unconfirmed),
        **changes,
    )


@st.composite
def damaged(draw: st.DrawFn, world: World, nodes: tuple[Node, ...] | None) -> Discovery:
    """Return a lookup in which one answer lacks something; a worker may lack a Node."""
    some = st.sets(st.sampled_from([w.instance_id for w in world.workers] or [""]))
    hit = draw(some)
    kind = draw(
        st.sampled_from(
            ["rows", "interfaces", "cidrs", "unreadable", "table", "routes", "unknown"]
        )
    )
    rest = tuple(one for one in world.workers if one.instance_id not in hit)
    if kind == "rows":
        return answer(world, listed=rest, nodes=nodes)
    if kind == "unknown":
        return answer(world, listed=rest, known=frozenset(), nodes=nodes)
    if kind == "table":
        tables = world.tables[: draw(st.integers(0, 1))]
        return answer(world, tables=tables, nodes=nodes)
    if kind == "routes":
        return answer(
            world,
            nodes=nodes,
            tables=tuple(
                replace(
                    each,
                    routes=tuple(r for r in each.routes if draw(st.booleans())),
                )
                for each in world.tables
            ),
        )
    changes = {"interface": None} if kind == "interfaces" else {"pod_cidrs": ()}
    listed = tuple(
        replace(one, **changes) if one.instance_id in hit else one
        for one in world.workers
    )
    unreadable = {each: "no pod-cidr." for each in hit if kind == "unreadable"}
    return answer(world, listed=listed, unreadable=unreadable, nodes=nodes)


def planned(world: World, lookup: Discovery, unready: str) -> Plan | None:
    """Return the plan, or None if it is refused."""
    configured = settings(**BASE, workers=",".join(world.entries), unready=unready)
    try:
        return plan.validated(configured, lookup, world.stack)
    except PlanError:
        return None


def losses(world: World, made: Plan) -> dict[RouteKey, str]:
    """Return the routes that a worker needs and would lose in an update."""
    now = targets(made.declared)
    lost = {}
    for key, target in world.owned.items():
        if key in made.kept:
            continue
        if key not in now:
            lost[key] = "deleted"
        elif now[key] != target:
            lost[key] = f"retargeted to {now[key]}"
    return lost


def targets(routes: Mapping[RouteKey, PodRoute]) -> dict[RouteKey, str]:
    return {key: each.network_interface_id for key, each in routes.items()}


def laws(world: World, made: Plan) -> None:
    managed = world.stack.managed.keys()
    assert not losses(world, made)
    assert not made.kept & made.desired.keys()
    assert made.kept <= managed
    assert not made.blocked & managed
    assert made.problems or made.pending or not (made.kept or made.blocked)


@given(st.data())
def test_no_single_answer_costs_a_worker_its_route(data: st.DataObject) -> None:
    world = data.draw(worlds())
    lookup = data.draw(damaged(world, data.draw(st.sampled_from([None, ()]))))

    for unready in ("skip", "refuse"):
        if made := planned(world, lookup, unready):
            laws(world, made)
            assert unready == "skip" or not made.problems


@given(st.data())
def test_the_route_to_a_pod_cidr_of_a_node_follows_it_at_once(
    data: st.DataObject,
) -> None:
    """Whatever the worker that had the pod CIDR before lacks, such as its Node."""
    world = data.draw(worlds())
    lookup = data.draw(damaged(world, ()))

    if made := planned(world, lookup, "skip"):
        ready = {
            RouteKey(table.id, cidr): one.interface.id
            for table in made.tables
            for one in made.workers
            for cidr in one.pod_cidrs
            if one.interface
        }
        assert targets(made.desired) == ready


@given(worlds())
def test_a_complete_answer_is_followed(world: World) -> None:
    lookup = answer(world)

    made = planned(world, lookup, "skip")

    if made and all(lookup.workers.values()):
        laws(world, made)
        assert not made.kept
        assert targets(made.desired) == world.desired
