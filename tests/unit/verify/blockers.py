"""Blockers of the first worker's packets to the second, for tests."""

from __future__ import annotations

from dataclasses import dataclass

from routes.errors import Finding
from routes.verify.header_space import Traffic
from routes.verify.snapshot import Snapshot
from routes.verify.stages import CheckKind
from routes.verify.verification import Outcome, verify

POD_1 = "10.200.1.0/24 of worker-1"
DESCRIBE_INTERFACE = (
    "aws ec2 describe-network-interfaces --network-interface-ids eni-1"
    " --region us-east-1"
)
_UNMANAGED = (
    "It was created by hand or by another program; it isn't in this stack's state."
)
OTHER_POD_CIDR = "Otherwise the worker needs another pod CIDR."
UNMANAGED = f"{_UNMANAGED} If nobody needs it, its owner has to delete it."
UNMANAGED_PART = f"{UNMANAGED} {OTHER_POD_CIDR}"
IN_THE_WAY = (
    f"{_UNMANAGED} If it is yours, delete it, or retarget it to the worker's interface"
    f" and adopt it with import-file. {OTHER_POD_CIDR}"
)
RETARGETED = (
    "It is in this stack's state, but somebody retargeted it. If nobody needs it like"
    " that, delete it, then update."
)
FROM_GATEWAY = (
    "A virtual private gateway propagates it from a VPN or Direct Connect connection."
    " Whoever runs that connection has to stop announcing it."
)
FROM_ROUTE_SERVER = (
    "A VPC route server installed it. Whoever runs the route server's peer has to stop"
    " announcing it."
)
INTERFACE_DELETED = (
    "Its network interface is deleted, so nobody can use it. To delete it:"
)


@dataclass(frozen=True, kw_only=True)
class Blocker:
    """The expected cause for the first worker's packets to the second."""

    check: CheckKind
    resource: str
    problem: str
    command: str = ""
    hint: str = ""
    affected: str = ""
    on_reply: bool = False


def assert_blocked(snapshot: Snapshot, traffic: Traffic, blocker: Blocker) -> None:
    """Compare with the first cause of the pair."""
    verification = verify(snapshot, traffic)
    result = verification.reachability.between("i-0", "i-1")
    assert verification.outcome is Outcome.FAIL
    assert result.cause == Finding(
        check=blocker.check,
        resource=blocker.resource,
        problem=blocker.problem,
        hint=blocker.hint,
        command=blocker.command,
    )
    assert result.on_reply == blocker.on_reply
    affected = verification.reachability.affected[result.cause]
    assert blocker.affected in (affected or ("",))


def delete(destination: str) -> str:
    option = "prefix-list-id" if destination.startswith("pl-") else "cidr-block"
    return (
        "aws ec2 delete-route --route-table-id rtb-1"
        f" --destination-{option} {destination} --region us-east-1"
    )
