"""EC2's rules that moto leaves out, each with the page that states it.

Pages are of the VPC User Guide (VPC), the EC2 User Guide (EC2) and the EC2 API
Reference (API).
"""

from __future__ import annotations

import base64
import inspect
import re
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache, wraps
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, TypeAlias

import moto.ec2.responses.instances
import moto.ec2.utils
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, RouteAlreadyExistsError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.route_tables import Route, RouteBackend
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.responses.route_tables import RouteTables

Arguments: TypeAlias = dict[str, Any]
"""The arguments of one call, by name."""
Method: TypeAlias = Callable[[], Any]
"""Moto's method; it takes the arguments as the rule leaves them."""

DEFAULT_QUOTA: Final = 500
"""Routes per route table (VPC, "Amazon VPC quotas")."""

quota = DEFAULT_QUOTA
"""The current quota; the server's control sets it."""

LAUNCHED: Final = 3600.0
"""Seconds, because most tests aren't about an instance's first minute."""

launched = LAUNCHED
"""The age of an instance when it is launched; the server's control sets it."""

_CIDRS: Final = {
    "destination_cidr_block": (IPv4Network, "destinationCidrBlock"),
    "destination_ipv6_cidr_block": (IPv6Network, "destinationIpv6CidrBlock"),
}
_WEIGHTS: Final = {".cloudfront.origin-facing": 55, ".groundstation": 5}
_TARGETS: Final = {
    "gateway_id",
    "nat_gateway_id",
    "egress_only_igw_id",
    "transit_gateway_id",
    "instance_id",
    "interface_id",
    "vpc_peering_connection_id",
    "carrier_gateway_id",
    "vpc_endpoint_id",
}
_FILTERS: Final = 50
_FILTER_VALUES: Final = 200
_one_route_at_a_time = threading.RLock()


def apply() -> None:
    """Patch moto with every rule, for this process."""
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


def _around(
    owner: type, name: str, rule: Callable[[Method, Any, Arguments], Any]
) -> None:
    """Replace a method by `rule(method, self, arguments)`."""
    original = getattr(owner, name)
    signature = inspect.signature(original)

    @wraps(original)
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        call = signature.bind(self, *arguments, **named)
        call.apply_defaults()
        return rule(lambda: original(*call.args, **call.kwargs), self, call.arguments)

    setattr(owner, name, method)


def _create_route(create: Method, backend: Any, given: Arguments) -> Route:
    """Refuse what EC2 refuses, with its messages (API, CreateRoute)."""
    destination = _canonicalize(given)
    if not given["local"]:
        _refuse_without_target(given)
    prefix_list = _prefix_list(backend, given["destination_prefix_list_id"])
    _resolve_instance(backend, given)
    with _one_route_at_a_time:
        if not given["local"]:
            table = backend.get_route_table(given["route_table_id"])
            _refuse_other_vpc(backend, table, given["interface_id"])
            if destination and not prefix_list:
                _refuse_inside_vpc(backend, table, destination, given["interface_id"])
            if destination in map(_destination, table.routes):
                raise RouteAlreadyExistsError(destination)
            _refuse_past_quota(table, prefix_list, given["destination_ipv6_cidr_block"])
        if prefix_list:  # moto loses the prefix list of a route to an interface
            given["destination_ipv6_cidr_block"] = prefix_list.id
        route = create()
        if prefix_list:
            route.destination_ipv6_cidr_block = None
            route.destination_prefix_list = prefix_list
        return route


def _refuse_without_target(given: Arguments) -> None:
    """Refuse a route to nothing.

    "You must also specify exactly one of the resources from the parameter list" (API,
    CreateRoute and ReplaceRoute).
    """
    if not any(given.get(name) for name in _TARGETS):
        raise EC2ClientError("MissingParameter", "The request must contain a target.")


def _replace_route(replace: Method, backend: Any, given: Arguments) -> Route:
    """Refuse what can't be a target (API, ReplaceRoute).

    An absent destination is InvalidParameterValue, as moto has it from EC2 itself.
    """
    _canonicalize(given)
    _refuse_without_target(given)
    _resolve_instance(backend, given)
    with _one_route_at_a_time:
        table = backend.get_route_table(given["route_table_id"])
        _refuse_other_vpc(backend, table, given["interface_id"])
        return replace()


def _delete_route(delete: Method, backend: Any, given: Arguments) -> Route:
    """Refuse to delete `local` (API, DeleteRoute)."""
    destination = _canonicalize(given)
    with _one_route_at_a_time:
        table = backend.get_route_table(given["route_table_id"])
        if any(r.local and _destination(r) == destination for r in table.routes):
            raise _invalid(
                f"cannot remove local route {destination} in route table {table.id}"
            )
        return delete()


def _canonicalize(given: Arguments) -> str | None:
    """Clear host bits, compress, and return the destination (API, CreateRoute)."""
    for name, (family, parameter) in _CIDRS.items():
        text = given[name]
        if not text:
            continue
        try:
            network = re.fullmatch(r"[^/]+/\d+", text) and family(text, strict=False)
        except ValueError:
            network = None
        if network is None:
            raise _invalid(
                f"Value ({text}) for parameter {parameter} is invalid. This is not a"
                " valid CIDR block."
            )
        given[name] = str(network)
    names = (*_CIDRS, "destination_prefix_list_id")
    return next(filter(None, map(given.get, names)), None)


def _invalid(message: str) -> EC2ClientError:
    return EC2ClientError("InvalidParameterValue", message)


def _destination(route: Route) -> str | None:
    destination: str | None = (
        route.destination_cidr_block
        or route.destination_ipv6_cidr_block
        or route.destination_prefix_list_id
    )
    return destination


def _refuse_other_vpc(backend: Any, table: Any, interface_id: str | None) -> None:
    """Refuse an interface of another VPC (API, CreateRoute)."""
    if not interface_id:
        return
    if backend.get_network_interface(interface_id).vpc_id != table.vpc_id:
        raise _invalid(
            f"route table {table.id} and interface {interface_id} belong to different"
            " networks"
        )


def _refuse_inside_vpc(
    backend: Any, table: Any, destination: str, interface_id: str | None
) -> None:
    """Keep traffic inside the VPC local (VPC, "Subnet route tables").

    A route more specific than the local one needs an interface as its target, and
    the CIDR of a subnet as its destination. A table of a gateway takes no others (VPC,
    "Gateway route tables").
    """
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
            raise _invalid(
                f"The destination CIDR block {destination} is not in this VPC, and"
                f" route table {table.id} is associated with a gateway."
            )
        return
    reason = ""
    if not interface_id:
        reason = "This route can target only an interface or an instance."
    elif network not in blocks and network not in _subnets(backend, vpc.id):
        reason = "It must match the CIDR block of a subnet."
    if reason:
        raise _invalid(
            f"The destination CIDR block {destination} is equal to or more specific"
            f" than one of this VPC's CIDR blocks. {reason}"
        )


def _subnets(backend: Any, vpc_id: str) -> set[IPv4Network | IPv6Network]:
    subnets = [s for s in backend.describe_subnets() if s.vpc_id == vpc_id]
    six = [a for s in subnets for a in s.ipv6_cidr_block_associations.values()]
    cidrs = [s.cidr_block for s in subnets] + [a["ipv6CidrBlock"] for a in six]
    return {ip_network(cidr) for cidr in cidrs}


def _refuse_past_quota(table: Any, prefix_list: Any, six: str | None) -> None:
    """Count static routes, by IP family (VPC, "Amazon VPC quotas").

    A prefix list counts as its maximum number of entries, one of AWS's own as its
    weight (VPC, "AWS-managed prefix lists").
    """
    family = _family(prefix_list, six)
    used = sum(
        _weight(route.destination_prefix_list)
        for route in table.routes
        if not route.local
        and _family(route.destination_prefix_list, route.destination_ipv6_cidr_block)
        == family
    )
    if used + _weight(prefix_list) > quota:
        raise EC2ClientError(
            "RouteLimitExceeded", "The maximum number of routes has been reached."
        )


def _weight(prefix_list: Any) -> int:
    name = getattr(prefix_list, "prefix_list_name", None) or ""  # a change clears it
    managed = next((w for end, w in _WEIGHTS.items() if name.endswith(end)), 1)
    return int(getattr(prefix_list, "max_entries", None) or managed)


def _family(prefix_list: Any, six: str | None) -> str:
    if prefix_list:
        return str(prefix_list.address_family)
    return "IPv6" if six else "IPv4"


def _prefix_list(backend: Any, prefix_list_id: str | None) -> Any:
    """Return the prefix list that a route names (API, "Error codes")."""
    if prefix_list_id and prefix_list_id not in backend.managed_prefix_lists:
        raise EC2ClientError(
            "InvalidPrefixListID.NotFound",
            f"The prefix list ID '{prefix_list_id}' does not exist",
        )
    return backend.managed_prefix_lists.get(prefix_list_id)


def _resolve_instance(backend: Any, given: Arguments) -> None:
    """Replace an instance as the target by its interface (API, CreateRoute).

    If it has several, the caller must name one of them.
    """
    instance_id = given["instance_id"]
    given["instance_id"] = None
    if given["interface_id"] or not instance_id:
        return
    interfaces = backend.get_instance(instance_id).nics
    if len(interfaces) != 1:
        raise EC2ClientError(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{instance_id}'."
            " Please specify an interface ID for the operation instead.",
        )
    given["interface_id"] = interfaces[0].id


def _state(route: Route) -> str:
    """Return `blackhole` if the target is deleted, detached or not running.

    VPC, "Route tables": the state is `blackhole` when the target is not available.
    """
    interface = route.interface
    if not interface:
        return "active"
    attached = interface.id in interface.ec2_backend.enis and interface.instance
    runs = attached and interface.instance.state in {"pending", "running"}
    return "active" if runs else "blackhole"


def _instance_id(route: Route) -> str | None:
    """Show the instance of an interface, whichever of the two the caller named."""
    interface = route.interface
    return interface.instance.id if interface and interface.instance else None


def _instance_owner_id(route: Route) -> str | None:
    return route.interface.owner_id if _instance_id(route) else None


def _launch(initialize: Method, instance: Any, _: Arguments) -> None:
    initialize()
    instance.launch_time -= timedelta(seconds=launched)


def _prep_nics(prepare: Method, instance: Any, given: Arguments) -> None:
    """Delete the primary interface on termination (EC2, "Elastic network interfaces").

    That is the default for an interface that the launch itself creates.
    """
    prepare()
    for nic in instance.nics.values():
        if not given["nic_spec"] and isinstance(nic, NetworkInterface):
            nic.delete_on_termination = True


def _terminate(terminate: Method, instance: Any, _: Arguments) -> Any:
    """Detach every interface, and delete those marked so (EC2, "Terminate").

    "This operation is idempotent; if you terminate an instance more than once, each
    call succeeds" (EC2 API Reference, "TerminateInstances").
    """
    if instance.state == "terminated":
        return instance._state  # noqa: SLF001 - as moto returns it
    previous = terminate()
    for interface in instance.nics.values():
        interface.instance = interface.attachment_id = None
        interface.status = "available"
        if interface.delete_on_termination:
            instance.ec2_backend.enis.pop(interface.id, None)
    return previous


def _start(start: Method, instance: Any, _: Arguments) -> Any:
    """Set "the time that the instance was last launched" (API, "Instance").

    A running instance keeps its time. EC2 reports whole seconds, and takes more than
    one to stop an instance; here a stop takes no time.
    """
    if instance.state == "stopped":
        instance.launch_time = max(
            utcnow() - timedelta(seconds=launched),
            instance.launch_time + timedelta(seconds=1),
        )
    return start()


def _modify_instance_attribute(modify: Method, backend: Any, given: Arguments) -> Any:
    """Refuse to change the user data of an instance that is not stopped.

    "Some instance attributes, such as user data, can only be modified if the instance
    is in a 'stopped' state" (API, "Error codes", IncorrectInstanceState).
    """
    instance_id = given["instance_id"]
    state = backend.get_instance(instance_id).state
    if given["key"] == "user_data" and state != "stopped":
        raise EC2ClientError(
            "IncorrectInstanceState",
            f"The instance '{instance_id}' is not in the 'stopped' state.",
        )
    return modify()


def _network_interfaces(instance: Any) -> list[NetworkInterface]:
    """List none for a terminated instance, although EC2 still lists the instance."""
    return [nic for nic in instance.nics.values() if nic.instance]


def _primary(instance: Any) -> Any:
    """Return the primary interface, None while moto still creates the instance."""
    return instance.__dict__.get("nics", {}).get(0)


def _source_dest_check(instance: Any) -> bool:
    """Share one attribute with the primary interface (VPC, "NAT instances")."""
    primary = _primary(instance)
    return bool(primary.source_dest_check) if primary else True


def _set_source_dest_check(instance: Any, value: Any) -> None:
    if primary := _primary(instance):
        primary.source_dest_check = str(value).lower() == "true"


def _security_groups(instance: Any) -> Any:
    """Share one set with the primary interface, which a new set replaces.

    "The new set of groups you specify replaces the current set" (API,
    ModifyNetworkInterfaceAttribute).
    """
    primary = _primary(instance)
    return primary._group_set if primary else instance.__dict__["launch_groups"]  # noqa: SLF001


def _set_security_groups(instance: Any, groups: Any) -> None:
    instance.__dict__["launch_groups"] = groups
    if primary := _primary(instance):
        primary._group_set = groups  # noqa: SLF001


def _user_data(value: str | bytes | None) -> Any:
    """Keep user data as it was sent, at launch and when it is changed.

    On a change the parser has already decoded it (API, ModifyInstanceAttribute).
    """
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    return moto.ec2.utils.parse_user_data(value) if value else None


def _filters(read: Method, _: Any, __: Arguments) -> dict[str, Any]:
    """Refuse more than 50 filters, or 200 values of them all, in one call.

    "You can specify up to 50 filters" (EC2, "Find your resources"); gjbae1212/gossm,
    issue 47 on the values.
    """
    filters: dict[str, Any] = read()
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


def _is_filter_matching(thing: Any, name: str, values: Iterable[str | None]) -> bool:
    """Match one filter; moto's own filter for a gateway has the subnet id None."""
    return _matches(thing.get_filter_value(name), [each for each in values if each])


def _tag_matches(thing: Any, name: str, values: Iterable[str]) -> bool:
    tags = {tag["key"]: tag["value"] for tag in thing.get_tags()}
    if name == "tag-key":
        return _matches(list(tags), values)
    return _matches(tags.get(name.removeprefix("tag:")), values)


def _matches(actual: Any, patterns: Iterable[str]) -> bool:
    """Return whether any value matches any pattern (EC2, "Find your resources")."""
    is_one = isinstance(actual, str) or not isinstance(actual, Iterable)
    return any(
        _pattern(pattern).fullmatch(_text(value))
        for value in ([actual] if is_one else actual)
        if value is not None
        for pattern in patterns
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=4096)
def _pattern(value: str) -> re.Pattern[str]:
    r"""Translate `*`, `?` and `\` of a filter (EC2, "Find your resources").

    "An asterisk (*) matches zero or more characters, and a question mark (?) matches
    zero or one character."
    """
    parts = re.findall(r"\\.|.", value, re.DOTALL)
    wildcards = {"*": ".*", "?": ".?"}
    translated = (wildcards.get(part, re.escape(part[-1])) for part in parts)
    return re.compile("".join(translated), re.DOTALL)


def _describe_route_tables(
    describe: Method, response: Any, _: Arguments
) -> ActionResult:
    """Answer in pages if MaxResults is given (API, DescribeRouteTables)."""
    answer = describe()
    size, token = (response.data.get(name) for name in ("MaxResults", "NextToken"))
    if not size:
        return answer
    tables = answer.result["RouteTables"]
    start = int(token[0]) if token else 0
    end = start + int(size[0])
    following = str(end) if end < len(tables) else None
    return ActionResult({"RouteTables": tables[start:end], "NextToken": following})
