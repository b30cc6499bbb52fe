"""Declare a plan's routes: the only module that declares resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pulumi

from component.pod_network_routes import PodNetworkRoutes, PodNetworkRoutesArgs
from component.pod_network_routes import PodRoute as Declared
from routes.engine.interactive import is_interactive
from routes.model import ROUTE_TYPE, PodRoute, RouteKey, as_destination

if TYPE_CHECKING:
    from routes.engine.state import Stack
    from routes.planning.plan import Plan

_KEPT: Final = "eni-kept"
"""In place of a kept route's target, which `_keep_identity` takes out."""


def declare(
    planned: Plan, stack: Stack, *, protect: bool
) -> pulumi.Output[list[dict[str, Any]]]:
    """Declare each table's component with its routes, the kept ones too.

    Returns:
        one mapping per route that exists after the update: routeTableId,
        destinationCidr, worker, instanceId, privateIp, networkInterfaceId.
    """
    keys = (*planned.declared, *sorted(planned.kept))
    tables: dict[str, PodNetworkRoutesArgs] = {
        table_id: {
            "route_table_id": table_id,
            "routes": [
                _route(key, planned) for key in keys if key.route_table_id == table_id
            ],
            "existing_destinations": [
                str(key.destination)
                for key in planned.existing
                if key.route_table_id == table_id and key.destination
            ],
        }
        for table_id in planned.table_ids
    }
    options = pulumi.ResourceOptions(
        protect=protect, transformations=[_keep_identity(planned, stack)]
    )
    components = [
        PodNetworkRoutes(table_id, args, options) for table_id, args in tables.items()
    ]
    return pulumi.Output.all(*(each.routes for each in components)).apply(
        lambda applied: [
            entry for routes in applied for entry in _entries(routes, planned, stack)
        ]
    )


def _route(key: RouteKey, planned: Plan) -> Declared:
    route = planned.declared.get(key)
    return {
        "destination_cidr": str(key.destination),
        "network_interface_id": route.network_interface_id if route else _KEPT,
        "worker": route.worker if route else "",
    }


def _keep_identity(planned: Plan, stack: Stack) -> pulumi.ResourceTransformation:
    """Give managed routes their identity, whatever their URN; leave kept ones alone."""
    shows_workers = is_interactive()

    def transform(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != ROUTE_TYPE:
            return None
        key = RouteKey.parse(args.name)
        if shows_workers and key in planned.declared:  # in a pipe it'd repeat the line
            worker = planned.declared[key].worker
            pulumi.log.info(worker, resource=args.resource, ephemeral=True)
        if key not in stack.managed:
            return None
        props = args.props
        options = pulumi.ResourceOptions(aliases=[stack.managed[key].urn])
        if key in planned.kept:
            props = {**props, "network_interface_id": None}
            options.ignore_changes = ["*"]
        return pulumi.ResourceTransformationResult(
            props, pulumi.ResourceOptions.merge(args.opts, options)
        )

    return transform


def _entries(
    applied: Iterable[Mapping[str, str]], planned: Plan, stack: Stack
) -> Iterable[dict[str, Any]]:
    """Complete the routes with their instances.

    One that wasn't updated, because of --target or because it's kept, has its former
    target, and keeps its output.
    """
    for each in applied:
        key = RouteKey(each["routeTableId"], as_destination(each["destinationCidr"]))
        route = planned.declared.get(key)
        if route is None or route.network_interface_id != each["networkInterfaceId"]:
            route = stack.last_applied.get(key)
        if route:
            yield _entry(route)


def _entry(route: PodRoute) -> dict[str, Any]:
    return {
        "routeTableId": route.route_table_id,
        "destinationCidr": str(route.destination),
        "worker": route.worker,
        "instanceId": route.instance_id,
        "privateIp": route.private_ip,
        "networkInterfaceId": route.network_interface_id,
    }
