"""The way of a packet from a pod of A to a pod of B, and of its reply, as AWS has it.

Reachability Analyzer lists the parts of a path in the same order: interface, security
group, network ACL, route table, and at the far end the reverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final, NamedTuple


class Step(IntEnum):
    """What can stop a packet."""

    POD_CIDR = auto()
    INSTANCE = auto()
    SOURCE_DEST_CHECK = auto()
    SECURITY_GROUP = auto()
    NETWORK_ACL = auto()
    ROUTE = auto()

    @property
    def label(self) -> str:
        """The step's name for people."""
        return _LABELS[self]


_LABELS: Final = {
    Step.POD_CIDR: "pod CIDR",
    Step.INSTANCE: "instance",
    Step.SOURCE_DEST_CHECK: "source/destination check",
    Step.SECURITY_GROUP: "security group",
    Step.NETWORK_ACL: "network ACL",
    Step.ROUTE: "route",
}


class Position(IntEnum):
    """Every place where a packet or its reply can be stopped, in order.

    A's interface drops what it does not send itself before its groups are asked, and
    B's what is not for it after them. Security groups let replies pass.
    """

    A_FAMILY = auto()
    A_INSTANCE = auto()
    A_CHECK = auto()
    A_GROUP = auto()
    A_ACL = auto()
    A_ROUTE = auto()
    B_ACL = auto()
    B_GROUP = auto()
    B_CHECK = auto()
    B_INSTANCE = auto()
    B_REPLY_ACL = auto()
    B_REPLY_ROUTE = auto()
    A_REPLY_ACL = auto()

    @property
    def step(self) -> Step:
        """What is asked there."""
        return _ASKED[self.name.rpartition("_")[2]]

    @property
    def is_reply(self) -> bool:
        """Whether it is on the way back."""
        return self >= Position.B_REPLY_ACL


_ASKED: Final = {
    "FAMILY": Step.POD_CIDR,
    "INSTANCE": Step.INSTANCE,
    "CHECK": Step.SOURCE_DEST_CHECK,
    "GROUP": Step.SECURITY_GROUP,
    "ACL": Step.NETWORK_ACL,
    "ROUTE": Step.ROUTE,
}


class Effect(IntEnum):
    """What a cause does to packets."""

    STOPS = auto()
    HIDES = auto()
    """Nobody can tell from what was read whether they pass."""
    NOTES = auto()
    """They pass, and it deserves a look."""


@dataclass(frozen=True, kw_only=True, order=True)
class Cause:
    """Why packets stop, why nobody can tell, or what deserves a note.

    Attributes:
        resource: the id of the rule or resource that decides.
        problem: completes "resource ..."; the same for every pair that it concerns.
        remedy: what to do, in prose; the command follows it.
        command: what mends it, "" where no command does.
    """

    step: Step
    resource: str
    problem: str
    remedy: str = ""
    command: str = ""
    effect: Effect = Effect.STOPS

    @property
    def stops(self) -> bool:
        """Whether packets stop, as far as anybody can tell."""
        return self.effect is not Effect.NOTES


class Found(NamedTuple):
    """A cause, and where on the journey it was met.

    Attributes:
        version: the IP family; IPv4 is followed to its end before IPv6.
        subject: which of the resource's packets: a worker, a pod CIDR, a range.
    """

    version: int
    position: Position
    cause: Cause
    subject: str = ""

    @property
    def on_reply(self) -> bool:
        """Whether it is met on the way back."""
        return self.position.is_reply
