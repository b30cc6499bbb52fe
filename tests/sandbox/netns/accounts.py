"""Random accounts of one form, each a dictionary of its settings.

A VPC with two subnets, four workers, three route tables (the first is the main one), an
ACL for each subnet, two security groups, and a prefix list for each IP family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hypothesis import strategies as st

from sandbox import lab as labs

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

Key: TypeAlias = tuple[Any, ...]
Settings: TypeAlias = Mapping[Key, Any]

PORTS: Final = [80, 8080]
"""The destination ports of the traffic. The low one is no port for replies."""
PODS: Final = (
    ("10.200.0.0/30", "fd00:200::/126"),
    ("10.200.0.4/30", "fd00:200::4/126"),
    ("10.200.0.8/30",),
    ("10.200.0.12/30", "fd00:200::c/126"),
)
"""By worker: so small that every address is tested. The first two share a subnet."""
_SUBNETS: Final = (0, 0, 1, 1)
_WHOLE: Final = ("0.0.0.0/0", "::/0")
_CLUSTER: Final = ("10.200.0.0/16", "fd00:200::/112")
_CIDRS: Final = [
    str(network)
    for pods in PODS
    for cidr in map(ip_network, pods)
    for network in (
        cidr,
        cidr,
        *cidr.subnets(1),
        next(cidr.subnets(2)),
        cidr.supernet(1),
        cidr.supernet(2),
    )
] + [*_WHOLE, *_CLUSTER]
_SPANS: Final = [
    *((port, port) for port in PORTS),
    *((0, port - 1) for port in PORTS),
    *((port + 1, 65535) for port in PORTS),
    (0, 1023),
    (1024, 65535),
    (1024, 32767),
    (32768, 65535),
    (0, 65535),
]


REPLY_PORTS: Final = [(1024, 8079), (8080, 8080), (8081, 32767), (32768, 65535)]
"""No rule of these accounts distinguishes between the ports of one range."""


HEALTHY: Final[Settings] = {
    **{
        ("route", table, cidr): worker
        for table in range(3)
        for worker, pods in enumerate(PODS)
        for cidr in pods
    },
    **{("table of", subnet): subnet + 1 for subnet in range(2)},
    **{
        ("entry", acl, egress, 100 + number): ("allow", cidr, -1, None)
        for acl in range(2)
        for egress in (False, True)
        for number, cidr in enumerate(_WHOLE)
    },
    **{
        ("rule", group, egress, cidr, -1, None): True
        for group, egress, cidrs in (
            (0, False, _CLUSTER),
            (0, True, _WHOLE),
            (1, True, _WHOLE),
        )
        for cidr in cidrs
    },
    **{("groups of", worker): (0,) for worker in range(len(PODS))},
    **{("list", number): () for number in range(2)},
}
"""All packets arrive. The target of a route is a worker's number. The second security
group allows no packets in, and no worker has it."""

_workers = st.integers(0, len(PODS) - 1)
_pairs = st.integers(0, 1)
_cidrs = st.sampled_from(_CIDRS)
_protocols = st.sampled_from([-1, -1, 6, 6, 6, 17, 1])
_targets = st.one_of(_workers, _workers, st.sampled_from(["gateway", "spare", None]))


@st.composite
def _matches(draw: st.DrawFn) -> tuple[int, tuple[int, int] | None]:
    protocol = draw(_protocols)
    spans = {
        6: st.sampled_from(_SPANS),
        17: st.sampled_from(_SPANS),
        1: st.just((8, -1)),
    }
    return protocol, draw(spans[protocol]) if protocol in spans else None


@st.composite
def _entries(draw: st.DrawFn) -> tuple[Key, Any]:
    key = ("entry", draw(_pairs), draw(st.booleans()), draw(st.integers(1, 99)))
    action = draw(st.sampled_from(["allow", "deny", "deny"]))
    return key, (action, draw(_cidrs), *draw(_matches()))


@st.composite
def _rules(draw: st.DrawFn) -> tuple[Key, Any]:
    peer = draw(
        st.one_of(
            _cidrs,
            st.sampled_from([("list", 0), ("list", 1), ("group", 0), ("group", 1)]),
        )
    )
    return ("rule", draw(_pairs), draw(st.booleans()), peer, *draw(_matches())), True


_tables = st.sampled_from([0, 1, 1, 2, 2])
_removals = st.sampled_from(
    [key for key in HEALTHY if key[0] in {"route", "entry", "rule", "table of"}]
)
_changes = st.one_of(
    st.tuples(_removals, st.none()),
    st.tuples(
        st.tuples(st.just("route"), _tables, _cidrs.filter(lambda c: c not in _WHOLE)),
        _targets,
    ),
    st.tuples(st.tuples(st.just("table of"), _pairs), _tables),
    st.tuples(
        st.tuples(st.sampled_from(["check", "stopped"]), _workers), st.just(value=True)
    ),
    st.tuples(
        st.tuples(st.just("groups of"), _workers), st.sampled_from([(0,), (1,), (0, 1)])
    ),
    _entries(),
    _rules(),
)


@st.composite
def accounts(draw: st.DrawFn) -> Settings:
    """Return the healthy account with up to eight changes.

    In half of the accounts, each prefix list has a route, often to a pod CIDR that has
    one already.
    """
    changes = dict(draw(st.lists(_changes, min_size=1, max_size=8)))
    for number, family in enumerate((".", ":")):
        pods = [cidr for each in PODS for cidr in each if family in cidr]
        others = [cidr for cidr in _CIDRS if family in cidr]
        entries = st.one_of(st.sampled_from(pods), st.sampled_from(others))
        changes["list", number] = tuple(
            draw(st.lists(entries, max_size=3, unique=True))
        )
        if draw(st.booleans()):
            changes["route", draw(_tables), ("list", number)] = draw(_targets)
    settings = {**HEALTHY, **changes}
    return {key: value for key, value in settings.items() if value is not None}


class Account:
    """An account whose settings are changed by calls of EC2."""

    def __init__(self, ec2: EC2Client) -> None:
        """Create the resources of every account, in an empty sandbox."""
        self.ec2: Any = ec2
        lab = labs.create_lab(ec2, workers=0)
        main = ec2.describe_route_tables(
            Filters=[
                {"Name": "vpc-id", "Values": [lab.vpc_id]},
                {"Name": "association.main", "Values": ["true"]},
            ]
        )["RouteTables"][0]["RouteTableId"]
        self.tables = [main, lab.table_id, labs.create_table(ec2, lab.vpc_id, "other")]
        self._gateway = lab.gateway_id
        second = ec2.create_subnet(VpcId=lab.vpc_id, CidrBlock="10.0.64.0/18")
        self._subnets = [lab.subnet_id, second["Subnet"]["SubnetId"]]
        self._associations: dict[int, str] = {}
        self._acls = [self._acl(lab.vpc_id, subnet) for subnet in self._subnets]
        self._groups = [lab.security_group_id]
        self._groups.append(
            ec2.create_security_group(
                GroupName="second", Description="-", VpcId=lab.vpc_id
            )["GroupId"]
        )
        ec2.associate_vpc_cidr_block(VpcId=lab.vpc_id, AmazonProvidedIpv6CidrBlock=True)
        self._lists = [
            ec2.create_managed_prefix_list(
                PrefixListName=family, MaxEntries=5, AddressFamily=family
            )["PrefixList"]["PrefixListId"]
            for family in ("IPv4", "IPv6")
        ]
        self.workers = [
            labs.add_worker(
                ec2,
                replace(lab, subnet_id=self._subnets[_SUBNETS[number]]),
                f"worker-{number}",
                address=f"10.0.{64 * _SUBNETS[number]}.{20 + number}",
                user_data=f"pod-cidr={','.join(pods)}",
            )
            for number, pods in enumerate(PODS)
        ]
        self._interfaces = [labs.interface_of(ec2, each) for each in self.workers]
        self._spare = ec2.create_network_interface(SubnetId=lab.subnet_id)[
            "NetworkInterface"
        ]["NetworkInterfaceId"]
        for table in ec2.describe_route_tables()["RouteTables"]:
            for association in table["Associations"]:
                if association.get("SubnetId") == lab.subnet_id:
                    ec2.disassociate_route_table(
                        AssociationId=association["RouteTableAssociationId"]
                    )
        # The settings by the lab, moto and EC2's defaults.
        self._now: dict[Key, Any] = {
            ("rule", 0, False, "10.200.0.0/16", -1, None): True,
            **{("rule", n, True, "0.0.0.0/0", -1, None): True for n in range(2)},
            **{("groups of", worker): (0,) for worker in range(len(PODS))},
            **{("list", number): () for number in range(2)},
        }

    def _acl(self, vpc_id: str, subnet_id: str) -> str:
        """Create a network ACL for a subnet; it denies all packets."""
        ec2 = self.ec2
        (old,) = (
            association["NetworkAclAssociationId"]
            for acl in ec2.describe_network_acls()["NetworkAcls"]
            for association in acl["Associations"]
            if association["SubnetId"] == subnet_id
        )
        acl = ec2.create_network_acl(VpcId=vpc_id)["NetworkAcl"]["NetworkAclId"]
        ec2.replace_network_acl_association(AssociationId=old, NetworkAclId=acl)
        return str(acl)

    def apply(self, settings: Settings) -> None:
        """Change the settings that differ."""
        for key in [*self._now]:
            if key not in settings:
                self._put(key, None)
                del self._now[key]
        for key, value in settings.items():
            if self._now.get(key) != value:
                self._put(key, value)
                self._now[key] = value

    def _put(self, key: Key, value: Any) -> None:
        """Change one setting; None removes it."""
        old = self._now.get(key)
        put = {
            "route": self._put_route,
            "table of": self._put_table_of,
            "check": self._put_check,
            "stopped": self._put_stopped,
            "entry": self._put_entry,
            "rule": self._put_rule,
            "groups of": self._put_groups_of,
            "list": self._put_list,
        }[key[0]]
        put(key[1:], old, value)

    def _put_route(self, key: Key, old: Any, new: Any) -> None:
        table, to = key
        request = {"RouteTableId": self.tables[table]}
        if isinstance(to, tuple):
            request["DestinationPrefixListId"] = self._lists[to[1]]
        else:
            six = "Ipv6" if ":" in to else ""
            request[f"Destination{six}CidrBlock"] = to
        if old is not None:
            self.ec2.delete_route(**request)
        if new == "gateway":
            self.ec2.create_route(**request, GatewayId=self._gateway)
        elif new is not None:
            target = self._spare if new == "spare" else self._interfaces[new]
            self.ec2.create_route(**request, NetworkInterfaceId=target)

    def _put_table_of(self, key: Key, old: Any, new: Any) -> None:
        (subnet,) = key
        if old is not None:
            self.ec2.disassociate_route_table(AssociationId=self._associations[subnet])
        if new is not None:
            self._associations[subnet] = self.ec2.associate_route_table(
                SubnetId=self._subnets[subnet], RouteTableId=self.tables[new]
            )["AssociationId"]

    def _put_check(self, key: Key, _: Any, new: Any) -> None:
        (worker,) = key
        self.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=self._interfaces[worker],
            SourceDestCheck={"Value": bool(new)},
        )

    def _put_stopped(self, key: Key, _: Any, new: Any) -> None:
        (worker,) = key
        put = self.ec2.stop_instances if new else self.ec2.start_instances
        put(InstanceIds=[self.workers[worker]])

    def _put_entry(self, key: Key, old: Any, new: Any) -> None:
        acl, egress, number = key
        request = {
            "NetworkAclId": self._acls[acl],
            "Egress": egress,
            "RuleNumber": number,
        }
        if old is not None:
            self.ec2.delete_network_acl_entry(**request)
        if new is not None:
            action, cidr, protocol, numbers = new
            request["Ipv6CidrBlock" if ":" in cidr else "CidrBlock"] = cidr
            if protocol == 1:
                request["IcmpTypeCode"] = dict(
                    zip(("Type", "Code"), numbers, strict=True)
                )
            elif numbers:
                request["PortRange"] = dict(zip(("From", "To"), numbers, strict=True))
            self.ec2.create_network_acl_entry(
                **request, RuleAction=action, Protocol=str(protocol)
            )

    def _put_rule(self, key: Key, _: Any, new: Any) -> None:
        group, egress, peer, protocol, numbers = key
        names = {-1: "-1", 1: "icmp", 6: "tcp", 17: "udp"}
        rule: dict[str, Any] = {"IpProtocol": names[protocol]}
        if numbers:
            rule |= dict(zip(("FromPort", "ToPort"), numbers, strict=True))
        if isinstance(peer, str) and ":" in peer:
            rule["Ipv6Ranges"] = [{"CidrIpv6": peer}]
        elif isinstance(peer, str):
            rule["IpRanges"] = [{"CidrIp": peer}]
        elif peer[0] == "list":
            rule["PrefixListIds"] = [{"PrefixListId": self._lists[peer[1]]}]
        else:
            rule["UserIdGroupPairs"] = [{"GroupId": self._groups[peer[1]]}]
        verb = "authorize" if new else "revoke"
        direction = "egress" if egress else "ingress"
        put = getattr(self.ec2, f"{verb}_security_group_{direction}")
        put(GroupId=self._groups[group], IpPermissions=[rule])

    def _put_groups_of(self, key: Key, _: Any, new: Any) -> None:
        (worker,) = key
        self.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=self._interfaces[worker],
            Groups=[self._groups[number] for number in new],
        )

    def _put_list(self, key: Key, old: Any, new: Any) -> None:
        (number,) = key
        list_id = self._lists[number]
        answer = self.ec2.describe_managed_prefix_lists(PrefixListIds=[list_id])
        self.ec2.modify_managed_prefix_list(
            PrefixListId=list_id,
            CurrentVersion=answer["PrefixLists"][0]["Version"],
            AddEntries=[{"Cidr": cidr} for cidr in new if cidr not in old],
            RemoveEntries=[{"Cidr": cidr} for cidr in old if cidr not in new],
        )
