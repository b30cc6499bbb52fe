"""PodNetworkRoutes: the only module that declares resources."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv6Network

import pulumi
from pulumi_aws.ec2.route import Route

from routes import remedies
from routes.engine.watched import is_watched
from routes.errors import Finding
from routes.model import COMPONENT_TYPE, PodRoute
from routes.networks import Network


class PodNetworkRoutes(pulumi.ComponentResource):
    """The routes of one route table, one for each worker and IP family.

    A route is named by what AWS knows it by, `{route table id}_{destination}`, so a
    replaced, renamed or reordered worker is at most a new target for the same route.

    Attributes:
        routes: one mapping per route, sorted as given: routeTableId, destinationCidr,
            worker, instanceId, privateIp, networkInterfaceId.
    """

    routes: list[dict[str, pulumi.Input[str | None]]]

    def __init__(
        self,
        name: str,
        *,
        routes: Iterable[PodRoute[pulumi.Input[str]]],
        standing: Collection[Network] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the routes.

        Args:
            name: the component's; the program uses the id of the route table.
            routes: what to declare. Two with one table and destination are an error of
                Pulumi's: a duplicate resource.
            standing: destinations that the table held when it was read. One that would
                have to be created is refused, in preview too: EC2 would refuse it.
            opts: for the component; its routes inherit what Pulumi lets them.
        """
        super().__init__(COMPONENT_TYPE, name, None, opts)
        hooks = _hooks(name, standing)
        watched = is_watched()
        self.routes = []
        for route in routes:
            resource = Route(
                route.import_id,
                route_table_id=route.route_table_id,
                network_interface_id=route.network_interface_id,
                opts=pulumi.ResourceOptions(parent=self, hooks=hooks),
                **_destination(route.destination),
            )
            if watched:  # in a pipe it would be the route's line once more
                pulumi.log.info(route.worker, resource=resource, ephemeral=True)
            self.routes.append(
                {
                    "routeTableId": route.route_table_id,
                    "destinationCidr": str(route.destination),
                    "worker": route.worker,
                    "instanceId": route.instance_id,
                    "privateIp": route.private_ip,
                    "networkInterfaceId": route.network_interface_id,
                }
            )
        self.register_outputs({"routes": self.routes})


def _destination(destination: Network) -> dict[str, str]:
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
