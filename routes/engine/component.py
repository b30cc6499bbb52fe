"""PodNetworkRoutes: the only module that declares resources."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_aws.ec2.route import Route

from routes import commands
from routes.engine.interactive import is_interactive
from routes.errors import Finding
from routes.model import (
    COMPONENT_TYPE,
    Destination,
    PodRoute,
    RouteKey,
    as_destination,
)

if TYPE_CHECKING:
    from routes.engine.state import Stack


class PodNetworkRoutes(pulumi.ComponentResource):
    """The routes of one route table, one for each worker and IP family.

    A route is named by its import id, `{route table id}_{destination}`. So a replaced,
    renamed or reordered worker is at most a new target for the same route.

    Attributes:
        routes: one mapping per route that exists after the update, in the given order:
            routeTableId, destinationCidr, worker, instanceId, privateIp,
            networkInterfaceId.
    """

    routes: list[dict[str, Any]] | pulumi.Output[list[dict[str, Any]]]

    def __init__(  # noqa: PLR0913 - the last four have defaults
        self,
        name: str,
        *,
        routes: Iterable[PodRoute[pulumi.Input[str]]],
        existing: Collection[Destination] = (),
        stack: Stack | None = None,
        kept: Iterable[RouteKey] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the routes.

        Args:
            name: of the component; the program uses the route table's id.
            routes: the routes to declare. Two with one table and destination are
                Pulumi's error: a duplicate resource.
            existing: destinations of routes in the table. Creating one of them is
                refused, in preview too, as EC2 would refuse it.
            stack: the state; its routes keep their identity, whatever their URN.
            kept: managed routes to leave as the state has them.
            opts: for the component; its routes inherit what Pulumi lets them.
        """
        super().__init__(COMPONENT_TYPE, name, None, opts)
        hooks = _hooks(name, existing)
        shows_workers = is_interactive()
        entries: list[Any] = []

        def options(
            key: RouteKey, ignore_changes: list[str] | None = None
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
                route.key.import_id,
                route_table_id=route.route_table_id,
                network_interface_id=route.network_interface_id,
                opts=options(route.key),
                **_destination(route.destination),
            )
            if shows_workers:  # in a pipe it would repeat the route's line
                pulumi.log.info(route.worker, resource=resource, ephemeral=True)
            before = stack.last_applied.get(route.key) if stack else None
            entries.append(_applied(resource, route, before))
        for key in kept:
            Route(
                key.import_id,
                route_table_id=key.route_table_id,
                opts=options(key, ignore_changes=["*"]),
                **_destination(key.destination),
            )
            if stack and key in stack.last_applied:
                entries.append(_entry(stack.last_applied[key]))
        self.routes = entries
        if not pulumi.runtime.is_dry_run():
            self.routes = pulumi.Output.all(*entries).apply(
                lambda values: [entry for entry in values if entry]
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
    """Return a route's output with the resource's target, not the planned one.

    With --target the engine creates and updates only the named resources. One that
    wasn't created has no known id; one that wasn't updated has its former target, and
    keeps its output.
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
    name: str, existing: Collection[Destination]
) -> pulumi.ResourceHookBinding | None:
    """Refuse to create an existing route, as in a forced replacement."""
    if not existing:
        return None
    destinations = {as_destination(str(each)) for each in existing}

    def refuse(args: pulumi.ResourceHookArgs) -> None:
        key = RouteKey.parse(args.name)
        if key.destination in destinations:
            raise pulumi.RunError(f"\n{_refusal(key, args.urn)}")

    hook = pulumi.ResourceHook(
        f"{name}-existing",
        refuse,
        opts=pulumi.ResourceHookOptions(on_dry_run=True),
    )
    return pulumi.ResourceHookBinding(before_create=[hook])


def _refusal(key: RouteKey, urn: str) -> Finding:
    return Finding(
        resource=str(key),
        problem="this route exists. A table has one route per destination, so no second"
        " one can be created to replace it; a new target needs no replacement.",
        hint="Leave out --replace. If the route is tainted:",
        command=commands.untaint(pulumi.get_stack(), urn),
    )
