"""EC2's own rules that moto leaves out, each with the page that gives it.

Pages are of the VPC User Guide (VPC), the EC2 User Guide (EC2) and the EC2 API
Reference (API). `apply` puts the rules onto moto's models.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache, wraps
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

import moto.ec2.responses.instances
import moto.ec2.utils
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidRouteError,
    RouteAlreadyExistsError,
)
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.route_tables import Route, RouteBackend
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.responses.route_tables import RouteTables

DEFAULT_QUOTA: Final = 500
"""Routes per route table (VPC, "Amazon VPC quotas")."""

quota = DEFAULT_QUOTA
"""The quota in force; the server's control sets it."""

LAUNCHED: Final = 3600.0
"""Seconds: most tests are not about an instance's first minute."""

launched = LAUNCHED
"""How long ago an instance is launched when it is; the server's control sets it."""

_WEIGHTS: Final = {".cloudfront.origin-facing": 55, ".groundstation": 5}
_FILTERS: Final = 50
_FILTER_VALUES: Final = 200
_one_route_at_a_time = threading.RLock()


def apply() -> None:
    """Put every rule onto moto's models, for this process."""
    _around(RouteBackend, "create_route", _create_route)
    _around(RouteBackend, "replace_route", _replace_route)
    _around(RouteBackend, "delete_route", _delete_route)
    _around(Instance, "__init__", _launch)
    _around(Instance, "prep_nics", _prep_nics)
    _around(Instance, "terminate", _terminate)
    _around(Instance, "start", _start)
    _around(InstanceBackend, "modify_instance_attribute", _modify_instance_attribute)
    _around(EC2BaseResponse, "_filters_from_querystring", _filters)
    _around(RouteTables, "describe_route_tables", _describe_route_tables)
    Route.state = property(_state)
    Route.instance_id = property(_instance_id)
    Route.instance_owner_id = property(_instance_owner_id)
    Instance.network_interfaces = property(_network_interfaces)
    Instance.source_dest_check = property(_source_dest_check, _set_source_dest_check)
    Instance.security_groups = property(_security_groups, _set_security_groups)
    moto.ec2.responses.instances.parse_user_data = _user_data
    moto.ec2.utils.is_filter_matching = _is_filter_matching
    moto.ec2.utils.instance_value_in_filter_values = _matches
    moto.ec2.utils.tag_filter_matches = _tag_matches


def _around(owner: type, name: str, rule: Callable[..., Any]) -> None:
    """Let `rule(original, self, ...)` stand in for a method."""
    original = getattr(owner, name)

    @wraps(original)
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return rule(original, self, *arguments, **named)

    setattr(owner, name, method)


def _create_route(
    original: Callable[..., Route],
    backend: Any,
    route_table_id: str,
    destination_cidr_block: str | None,
    destination_ipv6_cidr_block: str | None = None,
    destination_prefix_list_id: str | None = None,
    *,
    local: bool = False,
    instance_id: str | None = None,
    interface_id: str | None = None,
    **named: Any,
) -> Route:
    """Refuse what EC2 refuses, in its words (API, CreateRoute)."""
    four, six = _canonical(destination_cidr_block, destination_ipv6_cidr_block)
    prefix_list = _prefix_list(backend, destination_prefix_list_id)
    interface_id = interface_id or _primary_interface(backend, instance_id)
    with _one_route_at_a_time:
        if not local:
            table = backend.get_route_table(route_table_id)
            _refuse_other_vpc(backend, table, interface_id)
            _refuse_inside_vpc(
                backend, table, four or six, to_interface=bool(interface_id)
            )
            _refuse_standing(table, four or six or destination_prefix_list_id)
            _refuse_past_quota(table, six=bool(six), prefix_list=prefix_list)
        route = original(
            backend,
            route_table_id,
            four,
            six or destination_prefix_list_id,
            None,
            local=local,
            interface_id=interface_id,
            **named,
        )
        if prefix_list:
            route.destination_ipv6_cidr_block = None
            route.destination_prefix_list = prefix_list
        return route


def _replace_route(
    original: Callable[..., Route],
    backend: Any,
    route_table_id: str,
    destination_cidr_block: str | None,
    destination_ipv6_cidr_block: str | None = None,
    *arguments: Any,
    instance_id: str | None = None,
    interface_id: str | None = None,
    **named: Any,
) -> Route:
    """Change the target only to one that can stand there (API, ReplaceRoute).

    An absent destination is InvalidParameterValue, as moto has it from EC2 itself.
    """
    four, six = _canonical(destination_cidr_block, destination_ipv6_cidr_block)
    interface_id = interface_id or _primary_interface(backend, instance_id)
    with _one_route_at_a_time:
        _refuse_other_vpc(
            backend, backend.get_route_table(route_table_id), interface_id
        )
        return original(
            backend,
            route_table_id,
            four,
            six,
            *arguments,
            interface_id=interface_id,
            **named,
        )


def _delete_route(
    original: Callable[..., Route],
    backend: Any,
    route_table_id: str,
    destination_cidr_block: str | None,
    destination_ipv6_cidr_block: str | None = None,
    destination_prefix_list_id: str | None = None,
) -> Route:
    """Answer InvalidRoute.NotFound, and keep `local` (API, DeleteRoute)."""
    four, six = _canonical(destination_cidr_block, destination_ipv6_cidr_block)
    destination = four or six or destination_prefix_list_id
    with _one_route_at_a_time:
        for route in backend.get_route_table(route_table_id).routes:
            if destination == _destination(route):
                if route.local:
                    raise EC2ClientError(
                        "InvalidParameterValue",
                        f"cannot remove local route {destination} in route table"
                        f" {route_table_id}",
                    )
                return original(
                    backend, route_table_id, four, six, destination_prefix_list_id
                )
    raise InvalidRouteError(route_table_id, str(destination))


def _canonical(four: str | None, six: str | None) -> tuple[str | None, str | None]:
    """Clear host bits and compress; refuse what is no CIDR (API, CreateRoute)."""
    return (
        _network(IPv4Network, four, "destinationCidrBlock"),
        _network(IPv6Network, six, "destinationIpv6CidrBlock"),
    )


def _network(
    family: type[IPv4Network | IPv6Network], text: str | None, parameter: str
) -> str | None:
    if not text:
        return None
    try:
        if re.fullmatch(r"[^/]+/\d+", text):
            network: IPv4Network | IPv6Network = family(text, strict=False)
            return str(network)
    except ValueError:
        pass
    raise EC2ClientError(
        "InvalidParameterValue",
        f"Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR"
        " block.",
    )


def _destination(route: Route) -> str | None:
    destination: str | None = (
        route.destination_cidr_block
        or route.destination_ipv6_cidr_block
        or route.destination_prefix_list_id
    )
    return destination


def _refuse_standing(table: Any, destination: str | None) -> None:
    """Refuse a destination that stands, whatever its target (API, CreateRoute)."""
    if destination in {_destination(route) for route in table.routes}:
        raise RouteAlreadyExistsError(destination)


def _refuse_other_vpc(backend: Any, table: Any, interface_id: str | None) -> None:
    """Refuse an interface of another VPC (API, CreateRoute)."""
    if not interface_id:
        return
    if backend.get_network_interface(interface_id).vpc_id != table.vpc_id:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"route table {table.id} and interface {interface_id} belong to different"
            " networks",
        )


def _refuse_inside_vpc(
    backend: Any, table: Any, destination: str | None, *, to_interface: bool
) -> None:
    """Keep traffic inside the VPC local (VPC, "Subnet route tables").

    A route more specific than the local one needs an interface as its target, and
    the CIDR of a subnet as its destination. A table of a gateway takes no others (VPC,
    "Gateway route tables").
    """
    if not destination:
        return
    network = ip_network(destination)
    vpc = backend.get_vpc(table.vpc_id)
    blocks = [
        ip_network(block["cidr_block"])
        for six in (False, True)
        for block in vpc.get_cidr_block_association_set(ipv6=six)
    ]
    if not any(
        network.version == block.version and network.subnet_of(block)  # type: ignore[arg-type]
        for block in blocks
    ):
        if any("GatewayId" in each for each in table.associations):
            raise EC2ClientError(
                "InvalidParameterValue",
                f"The destination CIDR block {destination} is not in this VPC, and"
                f" route table {table.id} is associated with a gateway.",
            )
        return
    reason = ""
    if not to_interface:
        reason = "This route can target only an interface or an instance."
    elif network not in blocks and network not in _subnets(backend, vpc.id):
        reason = "It must match the CIDR block of a subnet."
    if reason:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The destination CIDR block {destination} is equal to or more specific"
            f" than one of this VPC's CIDR blocks. {reason}",
        )


def _subnets(backend: Any, vpc_id: str) -> set[IPv4Network | IPv6Network]:
    found = [s for s in backend.describe_subnets() if s.vpc_id == vpc_id]
    six = [a for s in found for a in s.ipv6_cidr_block_associations.values()]
    cidrs = [s.cidr_block for s in found] + [a["ipv6CidrBlock"] for a in six]
    return {ip_network(cidr) for cidr in cidrs}


def _refuse_past_quota(table: Any, *, six: bool, prefix_list: Any) -> None:
    """Count static routes, by IP family (VPC, "Amazon VPC quotas").

    A prefix list counts as its maximum number of entries, one of AWS's own as its
    weight (VPC, "AWS-managed prefix lists").
    """
    family = prefix_list.address_family if prefix_list else "IPv6" if six else "IPv4"
    static = [route for route in table.routes if not route.local]
    used = sum(
        _weight(route.destination_prefix_list)
        for route in static
        if _family(route) == family
    )
    if used + _weight(prefix_list) > quota:
        raise EC2ClientError(
            "RouteLimitExceeded", "The maximum number of routes has been reached."
        )


def _weight(prefix_list: Any) -> int:
    name = getattr(prefix_list, "prefix_list_name", None) or ""  # a change clears it
    managed = next((w for end, w in _WEIGHTS.items() if name.endswith(end)), 1)
    return int(getattr(prefix_list, "max_entries", None) or managed)


def _family(route: Route) -> str:
    if route.destination_prefix_list:
        return str(route.destination_prefix_list.address_family)
    return "IPv6" if route.destination_ipv6_cidr_block else "IPv4"


def _prefix_list(backend: Any, prefix_list_id: str | None) -> Any:
    """Find the prefix list that a route names (API, "Error codes")."""
    if not prefix_list_id:
        return None
    if prefix_list_id not in backend.managed_prefix_lists:
        raise EC2ClientError(
            "InvalidPrefixListID.NotFound",
            f"The prefix list ID '{prefix_list_id}' does not exist",
        )
    return backend.managed_prefix_lists[prefix_list_id]


def _primary_interface(backend: Any, instance_id: str | None) -> str | None:
    """Turn an instance target into its interface (API, CreateRoute).

    An instance with several needs to be named by one of them.
    """
    if not instance_id:
        return None
    interfaces = backend.get_instance(instance_id).nics
    if len(interfaces) != 1:
        raise EC2ClientError(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{instance_id}'."
            " Please specify an interface ID for the operation instead.",
        )
    return str(interfaces[0].id)


def _state(route: Route) -> str:
    """Tell a blackhole: the target is gone, detached, or does not run.

    VPC, "Route tables": the state is `blackhole` when the target is not available.
    """
    interface = route.interface
    if not interface:
        return "active"
    attached = interface.id in interface.ec2_backend.enis and interface.instance
    runs = attached and interface.instance.state in {"pending", "running"}
    return "active" if runs else "blackhole"


def _instance_id(route: Route) -> str | None:
    """Show the instance behind an interface, whichever of the two made the route."""
    interface = route.interface
    return interface.instance.id if interface and interface.instance else None


def _instance_owner_id(route: Route) -> str | None:
    return route.interface.owner_id if _instance_id(route) else None


def _launch(
    original: Callable[..., None], instance: Any, *args: Any, **named: Any
) -> None:
    original(instance, *args, **named)
    instance.launch_time -= timedelta(seconds=launched)


def _prep_nics(
    original: Callable[..., None], instance: Any, *args: Any, **named: Any
) -> None:
    """Delete the primary interface on termination (EC2, "Elastic network interfaces").

    That is the default for an interface that the launch itself makes.
    """
    specified = args[0] if args else named.get("nic_spec")
    original(instance, *args, **named)
    for nic in instance.nics.values():
        if not specified and isinstance(nic, NetworkInterface):
            nic.delete_on_termination = True


def _terminate(original: Callable[..., Any], instance: Any) -> Any:
    """Detach every interface; those to be deleted are gone (EC2, "Terminate")."""
    previous = original(instance)
    for interface in instance.nics.values():
        interface.instance = interface.attachment_id = None
        interface.status = "available"
        if interface.delete_on_termination:
            instance.ec2_backend.enis.pop(interface.id, None)
    return previous


def _start(original: Callable[..., Any], instance: Any) -> Any:
    """Set "the time that the instance was last launched" (API, "Instance").

    One that runs already goes on as it was. EC2 tells whole seconds, and takes more
    than one to stop an instance; here a stop takes no time.
    """
    if instance.state == "stopped":
        instance.launch_time = max(
            utcnow() - timedelta(seconds=launched),
            instance.launch_time + timedelta(seconds=1),
        )
    return original(instance)


def _modify_instance_attribute(
    original: Callable[..., Any], backend: Any, instance_id: str, key: str, value: Any
) -> Any:
    """Refuse other user data for an instance that is not stopped.

    "Some instance attributes, such as user data, can only be modified if the instance
    is in a 'stopped' state" (API, "Error codes", IncorrectInstanceState).
    """
    state = backend.get_instance(instance_id).state
    if key == "user_data" and state != "stopped":
        raise EC2ClientError(
            "IncorrectInstanceState",
            f"The instance '{instance_id}' is not in the 'stopped' state.",
        )
    return original(backend, instance_id, key, value)


def _network_interfaces(instance: Any) -> list[NetworkInterface]:
    """List none for an instance that is terminated, though itself still listed."""
    return [nic for nic in instance.nics.values() if nic.instance]


def _source_dest_check(instance: Any) -> bool:
    """Share one attribute with the primary interface (VPC, "NAT instances")."""
    nics = instance.__dict__.get("nics", {})
    return bool(nics[0].source_dest_check) if 0 in nics else True


def _set_source_dest_check(instance: Any, value: Any) -> None:
    nics = instance.__dict__.get("nics", {})
    if 0 in nics:
        nics[0].source_dest_check = str(value).lower() == "true"


def _security_groups(instance: Any) -> Any:
    """Share one set with the primary interface, of which a new one takes the place.

    "The new set of groups you specify replaces the current set" (API,
    ModifyNetworkInterfaceAttribute).
    """
    values = instance.__dict__
    nics = values.get("nics", {})
    return nics[0]._group_set if 0 in nics else values["launch_groups"]  # noqa: SLF001


def _set_security_groups(instance: Any, groups: Any) -> None:
    instance.__dict__["launch_groups"] = groups
    nics = instance.__dict__.get("nics", {})
    if 0 in nics:
        nics[0]._group_set = groups  # noqa: SLF001


def _user_data(value: str | bytes | None) -> Any:
    """Keep user data as it was sent, also when it is changed later.

    The request's parser has decoded that once already (API, ModifyInstanceAttribute).
    """
    if not value:
        return None
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    return moto.ec2.utils.parse_user_data(value)


def _filters(original: Callable[..., dict[str, Any]], response: Any) -> dict[str, Any]:
    """Refuse more than 50 filters, or 200 values of them all, in one call.

    "You can specify up to 50 filters" (EC2, "Find your resources"); gjbae1212/gossm,
    issue 47 on the values.
    """
    filters = original(response)
    if len(filters) > _FILTERS:
        raise EC2ClientError(
            "FilterLimitExceeded",
            f"The maximum number of filters specified on a single call is {_FILTERS}",
        )
    if sum(map(len, filters.values())) > _FILTER_VALUES:
        raise EC2ClientError(
            "FilterLimitExceeded",
            "The maximum number of filter values specified on a single call is"
            f" {_FILTER_VALUES}",
        )
    return filters


def _is_filter_matching(thing: Any, name: str, wanted: Iterable[str | None]) -> bool:
    """Match; moto itself asks for the table of no subnet, to give one to a gateway."""
    return _matches(thing.get_filter_value(name), [each for each in wanted if each])


def _tag_matches(thing: Any, name: str, wanted: Iterable[str]) -> bool:
    tags = {tag["key"]: tag["value"] for tag in thing.get_tags()}
    if name == "tag-key":
        return _matches(list(tags), wanted)
    return _matches(tags.get(name.removeprefix("tag:")), wanted)


def _matches(found: Any, wanted: Iterable[str]) -> bool:
    """Tell whether any value matches any wanted one (EC2, "Find your resources")."""
    several = not isinstance(found, str) and isinstance(found, Iterable)
    return any(
        _pattern(value).fullmatch(_text(one))
        for one in (found if several else [found])
        if one is not None
        for value in wanted
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=4096)
def _pattern(value: str) -> re.Pattern[str]:
    r"""Give `*` and `?` their meaning, and `\` its own (EC2, "Find your resources").

    "An asterisk (*) matches zero or more characters, and a question mark (?) matches
    zero or one character."
    """
    parts = re.findall(r"\\.|.", value, re.DOTALL)
    wildcards = {"*": ".*", "?": ".?"}
    translated = (wildcards.get(part, re.escape(part[-1])) for part in parts)
    return re.compile("".join(translated), re.DOTALL)


def _describe_route_tables(
    original: Callable[..., ActionResult], response: Any
) -> ActionResult:
    """Answer in pages where MaxResults asks for them (API, DescribeRouteTables)."""
    answer = original(response)
    size, token = (response.data.get(name) for name in ("MaxResults", "NextToken"))
    if not size:
        return answer
    found: Any = answer.result
    start = int(token[0]) if token else 0
    end = start + int(size[0])
    tables = found["RouteTables"]
    left = str(end) if end < len(tables) else None
    return ActionResult({"RouteTables": tables[start:end], "NextToken": left})
