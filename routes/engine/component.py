"""PodNetworkRoutes: the only module that declares resources."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_aws.ec2.route import Route

from routes import remedies
from routes.engine.watched import is_watched
from routes.errors import Finding
from routes.model import COMPONENT_TYPE, Destination, PodRoute, as_destination
from routes.networks import Network

if TYPE_CHECKING:
    from routes.engine.state import Stack


class PodNetworkRoutes(pulumi.ComponentResource):
    """The routes of one route table, one for each worker and IP family.

    A route is named by what AWS knows it by, `{route table id}_{destination}`, so a
    replaced, renamed or reordered worker is at most a new target for the same route.

    Attributes:
        routes: one mapping per route that exists after the update, sorted as given:
            routeTableId, destinationCidr, worker, instanceId, privateIp,
            networkInterfaceId.
    """

    routes: list[dict[str, Any]] | pulumi.Output[list[dict[str, Any]]]

    def __init__(  # noqa: PLR0913 - the last four have defaults
        self,
        name: str,
        *,
        routes: Iterable[PodRoute[pulumi.Input[str]]],
        standing: Collection[Network] = (),
        stack: Stack | None = None,
        kept: Iterable[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the routes.

        Args:
            name: the component's; the program uses the id of the route table.
            routes: what to declare. Two with one table and destination are an error of
                Pulumi's: a duplicate resource.
            standing: destinations that the table held when it was read. One that would
                have to be created is refused, in preview too: EC2 would refuse it.
            stack: what is managed already, under whichever URN.
            kept: import ids of managed routes to leave as the state has them.
            opts: for the component; its routes inherit what Pulumi lets them.
        """
        super().__init__(COMPONENT_TYPE, name, None, opts)
        hooks = _hooks(name, standing)
        watched = is_watched()
        entries: list[Any] = []

        def options(
            key: str, ignore_changes: list[str] | None = None
        ) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(
                parent=self,
                hooks=hooks,
                aliases=[stack.managed[key].urn]
                if stack and key in stack.managed
                else [],
                ignore_changes=ignore_changes,
            )

        for route in routes:
            resource = Route(
                route.import_id,
                route_table_id=route.route_table_id,
                network_interface_id=route.network_interface_id,
                opts=options(route.import_id),
                **_destination(route.destination),
            )
            if watched:  # in a pipe it would be the route's line once more
                pulumi.log.info(route.worker, resource=resource, ephemeral=True)
            before = stack.declared.get(route.import_id) if stack else None
            entries.append(_applied(resource, route, before))
        for key in kept:
            table_id, _, destination = key.partition("_")
            Route(
                key,
                route_table_id=table_id,
                opts=options(key, ignore_changes=["*"]),
                **_destination(as_destination(destination)),
            )
            if stack and key in stack.declared:
                entries.append(_entry(stack.declared[key]))
        self.routes = entries
        if not pulumi.runtime.is_dry_run():
            self.routes = pulumi.Output.all(*entries).apply(
                lambda found: [entry for entry in found if entry]
            )
        self.register_outputs({"routes": self.routes})


def _entry(route: PodRoute[pulumi.Input[str]]) -> dict[str, Any]:
    return {
        "routeTableId": route.route_table_id,
        "destinationCidr": str(route.destination),
        "worker": route.worker,
        "instanceId": route.instance_id,
        "privateIp": route.private_ip,
        "networkInterfaceId": route.network_interface_id,
    }


def _applied(
    resource: Route,
    route: PodRoute[pulumi.Input[str]],
    before: PodRoute[str] | None,
) -> pulumi.Input[dict[str, Any] | None]:
    """Return a route's output as the resource is, not as the plan has it.

    With --target the engine registers every resource, and creates and updates only
    those that are named: one that was not created has no known id, one that was not
    updated has its former target. The output of that is what it was before.
    """
    if pulumi.runtime.is_dry_run():
        return _entry(route)

    async def settle() -> dict[str, Any] | None:
        if not await resource.id.is_known():
            return None
        entry = _entry(route)
        desired = pulumi.Output.from_input(route.network_interface_id)
        if await resource.network_interface_id.future() == await desired.future():
            return entry
        return _entry(before) if before else None

    return pulumi.Output.from_input(settle())


def _destination(destination: Destination) -> dict[str, str]:
    if isinstance(destination, str):
        return {"destination_prefix_list_id": destination}
    if isinstance(destination, IPv6Network):
        return {"destination_ipv6_cidr_block": str(destination)}
    return {"destination_cidr_block": str(destination)}


def _hooks(
    name: str, standing: Collection[Network]
) -> pulumi.ResourceHookBinding | None:
    """Refuse to create what already stands, such as a replacement that is forced."""
    if not standing:
        return None
    destinations = set(map(str, standing))

    def refuse(args: pulumi.ResourceHookArgs) -> None:
        if args.name.partition("_")[2] in destinations:
            raise pulumi.RunError(f"\n{_refusal(args.name, args.urn)}")

    hook = pulumi.ResourceHook(
        f"{name}-standing",
        refuse,
        opts=pulumi.ResourceHookOptions(on_dry_run=True),
    )
    return pulumi.ResourceHookBinding(before_create=[hook])


def _refusal(name: str, urn: str) -> Finding:
    return Finding(
        where=name.replace("_", " "),
        problem="this route stands. A table holds one route to a destination, so a"
        " second cannot be created to replace it; a new target needs no replacement.",
        remedy="Leave --replace out. If the route is tainted:",
        command=remedies.untaint(pulumi.get_stack(), urn),
    )
