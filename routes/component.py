"""PodNetworkRoutes: the only module that declares resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Network

import pulumi
from pulumi_aws.ec2.route import Route

from routes import commands
from routes.errors import Fault
from routes.model import COMPONENT_TYPE, Network, PodRoute


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
        standing: Mapping[Network, str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the routes.

        Args:
            name: the component's; the program uses the id of the route table.
            routes: what to declare. Two with one table and destination are an error of
                Pulumi's: a duplicate resource.
            standing: destinations that the table held when it was read, and their
                targets. One that this stack would have to create is refused, in
                preview too, because it belongs to somebody else.
            opts: for the component; its routes inherit what Pulumi lets them.
        """
        super().__init__(COMPONENT_TYPE, name, None, opts)
        hooks = _hooks(name, standing or {})
        self.routes = []
        for route in routes:
            resource = Route(
                route.import_id,
                route_table_id=route.route_table_id,
                network_interface_id=route.network_interface_id,
                opts=pulumi.ResourceOptions(parent=self, hooks=hooks),
                **_destination(route.destination),
            )
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
    name: str, standing: Mapping[Network, str]
) -> pulumi.ResourceHookBinding | None:
    """Refuse to create what already stands: the engine alone knows what is ours."""
    if not standing:
        return None
    targets = {str(destination): target for destination, target in standing.items()}

    def refuse(args: pulumi.ResourceHookArgs) -> None:
        table, _, destination = args.name.partition("_")
        if destination in targets:
            fault = _refusal(table, destination, targets[destination])
            raise pulumi.RunError(f"\n{fault}")

    hook = pulumi.ResourceHook(
        f"{name}-standing",
        refuse,
        opts=pulumi.ResourceHookOptions(on_dry_run=True),
    )
    return pulumi.ResourceHookBinding(before_create=[hook])


def _refusal(table: str, destination: str, target: str) -> Fault:
    return Fault(
        where=table,
        problem=f"{destination} already leads to {target}, and this stack did not"
        " declare it.",
        remedy="Unless another stack declares it, remove it or take it over:",
        command=commands.take_over(pulumi.get_stack()),
    )
