"""The stages of a packet's path from a pod of A to a pod of B, and of the reply.

Reachability Analyzer lists the components of a path in the same order: interface,
security group, network ACL, route table, and at the far end the reverse.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum, auto
from typing import Final, NamedTuple

from routes.errors import Finding


class CheckKind(StrEnum):
    """The kinds of checks, in packet order."""

    POD_CIDR = "pod CIDR"
    INSTANCE = "instance"
    SOURCE_DEST_CHECK = "source/destination check"
    SECURITY_GROUP = "security group"
    NETWORK_ACL = "network ACL"
    ROUTE = "route"


class Stage(IntEnum):
    """Where a packet or its reply can be dropped, in packet order.

    A's interface drops packets of other senders before its security groups are
    evaluated; B's drops packets for other receivers after that. Security groups are
    stateful: replies pass.
    """

    A_FAMILY = auto()
    A_INSTANCE = auto()
    A_SOURCE_DEST_CHECK = auto()
    A_GROUP = auto()
    A_ACL = auto()
    A_ROUTE = auto()
    B_ACL = auto()
    B_GROUP = auto()
    B_SOURCE_DEST_CHECK = auto()
    B_INSTANCE = auto()
    B_REPLY_ACL = auto()
    B_REPLY_ROUTE = auto()
    A_REPLY_ACL = auto()

    @property
    def check(self) -> CheckKind:
        """The kind of check at this stage."""
        return _CHECKS[self.name.rpartition("_")[2]]

    @property
    def is_reply(self) -> bool:
        """Whether the reply is at this stage."""
        return self >= Stage.B_REPLY_ACL


_CHECKS: Final = {
    "FAMILY": CheckKind.POD_CIDR,
    "INSTANCE": CheckKind.INSTANCE,
    "CHECK": CheckKind.SOURCE_DEST_CHECK,
    "GROUP": CheckKind.SECURITY_GROUP,
    "ACL": CheckKind.NETWORK_ACL,
    "ROUTE": CheckKind.ROUTE,
}


class StageFinding(NamedTuple):
    """A finding and the stage of the path that it is about.

    Attributes:
        version: the IP family. All stages of IPv4 come before those of IPv6.
        affected: the worker, pod CIDR or range that it affects; "" for all packets.
    """

    version: int
    stage: Stage
    finding: Finding
    affected: str = ""
