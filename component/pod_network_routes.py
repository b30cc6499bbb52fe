"""PodNetworkRoutes: routes from pod CIDRs to the workers that have them.

Pulumi derives the package's schema from this module at run time: from its annotations,
which therefore aren't postponed, and from its docstrings.
"""

import shlex
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_interface
from typing import Final, NotRequired, TypeAlias, TypedDict

import pulumi
from pulumi.errors import InputPropertiesError, InputPropertyErrorDetails
from pulumi_aws.ec2.route import Route

TYPE: Final = "pod-routes:index:PodNetworkRoutes"
_WRONG: Final = "some inputs are wrong"

Destination: TypeAlias = IPv4Network | IPv6Network | str
"""A network, or the id of a prefix list: pl-..."""


class PodRoute(TypedDict):
    """A route to the pods of one worker."""

    destination_cidr: pulumi.Input[str]
    """The worker's pod CIDR, IPv4 or IPv6, without host bits: `10.200.0.0/24`."""
    network_interface_id: pulumi.Input[str]
    """The id of the worker's primary network interface: `eni-...`."""
    worker: pulumi.Input[str]
    """The worker's name, for the output `routes`."""


class PodNetworkRoutesArgs(TypedDict):
    """The inputs of PodNetworkRoutes."""

    route_table_id: pulumi.Input[str]
    """The id of the route table: `rtb-...`."""
    routes: Sequence[PodRoute]
    """The routes, each with another destination."""
    existing_destinations: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """Destinations of routes that the table has already, CIDRs or ids of prefix lists.
Creating one of them is refused in preview; without this input, EC2 refuses it during
the update."""


class AppliedRoute(TypedDict):
    """A route that exists."""

    # Pulumi's host doesn't convert the keys of a list of outputs.

    routeTableId: pulumi.Input[str]
    """The id of its route table."""
    destinationCidr: pulumi.Input[str]
    """Its destination."""
    networkInterfaceId: pulumi.Input[str]
    """The id of the network interface that it leads to."""
    worker: pulumi.Input[str]
    """The name of the worker."""


class PodNetworkRoutes(pulumi.ComponentResource):
    """Routes in one VPC route table to the pods of Kubernetes workers."""

    routes: pulumi.Output[Sequence[AppliedRoute]]
    """The routes that exist after the update, in the order of the input."""

    def __init__(
        self,
        name: str,
        args: PodNetworkRoutesArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the routes as soon as the inputs are settled.

        A route is named by its import id, `{route table id}_{destination}`. So a
        replaced, renamed or reordered worker is at most a new target of the same route.

        Raises:
            InputPropertiesError: some inputs are wrong, and no route is declared. It
                is raised to what awaits the output `routes`.
        """
        super().__init__(TYPE, name, None, opts)
        self.routes = pulumi.Output.from_input(self._declare(name, args))
        self.register_outputs({"routes": self.routes})

    async def _declare(
        self, name: str, args: PodNetworkRoutesArgs
    ) -> Sequence[AppliedRoute]:
        """Declare the routes, and return those that exist after the update."""
        if isinstance(args["routes"], pulumi.Output):
            reason = "expected a plain list, of which only the elements may be outputs"
            raise InputPropertiesError(
                _WRONG, [{"property_path": "routes", "reason": reason}]
            )
        table_id = await _text(args["route_table_id"])
        given = pulumi.Output.from_input(args.get("existing_destinations", []))
        existing = [str(each) for each in await given.future() or ()]
        cidrs = [await _text(each["destination_cidr"]) for each in args["routes"]]
        targets = [await _text(each["network_interface_id"]) for each in args["routes"]]
        if faults := [*_faults(table_id, existing, cidrs, targets)]:
            raise InputPropertiesError(_WRONG, faults)
        urn = await self.urn.future()
        options = pulumi.ResourceOptions(parent=self, hooks=_hooks(urn, existing))
        declared = []
        for number, (route, cidr) in enumerate(zip(args["routes"], cidrs, strict=True)):
            # Only a preview may not know a part of a name; it then shows another one.
            destination = _parsed(cidr) if cidr else str(number)
            value = str(destination) if cidr else route["destination_cidr"]
            resource = Route(
                f"{table_id or name}_{destination}",
                route_table_id=args["route_table_id"],
                network_interface_id=route["network_interface_id"],
                opts=options,
                **{_property(destination): value},
            )
            declared.append((resource, value, route))
        return [
            {
                "routeTableId": args["route_table_id"],
                "destinationCidr": value,
                "networkInterfaceId": await _target(route, resource),
                "worker": route["worker"],
            }
            for resource, value, route in declared
            if await _exists(resource)
        ]


async def _exists(resource: Route) -> bool:
    """Return whether a route exists after the update.

    With --target the engine creates only the named resources, and a creation may fail.
    Then there is no known id.
    """
    return pulumi.runtime.is_dry_run() or await resource.id.is_known()


async def _target(route: PodRoute, resource: Route) -> pulumi.Input[str]:
    """Return a route's target after the update, "" if its update failed.

    With --continue-on-error the engine reports no outputs of a resource that failed.
    """
    if pulumi.runtime.is_dry_run():
        return route["network_interface_id"]
    target = resource.network_interface_id
    return target if await target.is_known() else ""


async def _text(given: pulumi.Input[str]) -> str | None:
    """Return a text, None if only the update knows it, "" in place of anything else."""
    output = pulumi.Output.from_input(given)
    if not await output.is_known():
        return None
    value = await output.future()
    return value if isinstance(value, str) else ""


def _faults(
    table_id: str | None,
    existing: Sequence[str],
    cidrs: Sequence[str | None],
    interface_ids: Sequence[str | None],
) -> Iterator[InputPropertyErrorDetails]:
    """Find what is wrong with the values that are known."""
    reasons = {"routeTableId": _id_fault(table_id, "rtb-")}
    for number, destination in enumerate(existing):
        reasons[f"existingDestinations[{number}]"] = _destination_fault(destination)
    first: dict[Destination, int] = {}
    for number, cidr in enumerate(cidrs):
        reason = _destination_fault(cidr)
        if cidr and not reason:
            other = first.setdefault(_parsed(cidr), number)
            if other != number:
                reason = f"routes[{other}] has it too; a table has one route for it"
        reasons[f"routes[{number}].destinationCidr"] = reason
    for number, interface_id in enumerate(interface_ids):
        reason = _id_fault(interface_id, "eni-")
        reasons[f"routes[{number}].networkInterfaceId"] = reason
    for path, reason in reasons.items():
        if reason:
            yield {"property_path": path, "reason": reason}


def _id_fault(value: str | None, prefix: str) -> str:
    if value is None or value.startswith(prefix):
        return ""
    return f"expected an id that begins with {prefix}"


def _destination_fault(value: str | None) -> str:
    try:
        if value is not None:
            _parsed(value)
    except ValueError as error:
        return str(error)
    return ""


def _parsed(destination: str) -> Destination:
    """Return a destination in its canonical form.

    Raises:
        ValueError: it is neither a network without host bits nor a prefix list's id.
    """
    if destination.startswith("pl-"):
        return destination
    try:
        address = ip_interface(destination)
    except ValueError:
        address = None
    if address is None or "/" not in destination:
        raise ValueError("expected a CIDR like 10.200.0.0/24")
    if address.ip != address.network.network_address:
        raise ValueError(f"it has host bits; the network is {address.network}")
    return address.network


def _property(destination: Destination) -> str:
    """Return the input of `aws.ec2.Route` for a destination."""
    if isinstance(destination, IPv6Network):
        return "destination_ipv6_cidr_block"
    if isinstance(destination, str) and destination.startswith("pl-"):
        return "destination_prefix_list_id"
    return "destination_cidr_block"


def _hooks(
    urn: str | None, existing: Sequence[str]
) -> pulumi.ResourceHookBinding | None:
    """Refuse to create a route that exists, as in a forced replacement."""
    if not existing:
        return None
    destinations = {str(_parsed(each)) for each in existing}

    def refuse(args: pulumi.ResourceHookArgs) -> None:
        table_id, _, destination = args.name.rpartition("_")
        if destination in destinations:
            raise pulumi.RunError(_refusal(table_id, destination, args.urn))

    hook = pulumi.ResourceHook(
        f"{urn}-existing",
        refuse,
        opts=pulumi.ResourceHookOptions(on_dry_run=True),
    )
    return pulumi.ResourceHookBinding(before_create=[hook])


def _refusal(table_id: str, destination: str, urn: str) -> str:
    untaint = ["pulumi", "state", "untaint", urn, "--stack", pulumi.get_stack()]
    return f"""
{table_id} {destination}: this route exists, and a table has one route per
  destination. If this stack doesn't manage it, leave it out, or import it.
  If it does, a new target needs no replacement: leave out --replace, and if the
  route is tainted:
  {shlex.join(untaint)}"""
