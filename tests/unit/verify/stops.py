"""What stops the first worker's packets to the second, for tests."""

from __future__ import annotations

from dataclasses import dataclass

from routes.verify.journey import Cause, Step
from routes.verify.packets import Question
from routes.verify.snapshot import Snapshot
from routes.verify.verification import verify

POD_1 = "10.200.1.0/24 of worker-1"
SHOW = (
    "aws ec2 describe-network-interfaces --network-interface-ids eni-1"
    " --region us-east-1"
)
UNMANAGED = (
    "It was created by hand or by another program; it isn't in this stack's state."
)
OR_MOVE = " Otherwise the worker needs another pod CIDR."
NOT_OURS = f"{UNMANAGED} If nobody needs it, its owner has to delete it."
IN_THE_WAY = (
    f"{UNMANAGED} If it is yours, delete it, or retarget it to the worker's interface"
    f" and adopt it with import-file.{OR_MOVE}"
)
HANDED_OVER = (
    "This stack's state has it, but somebody retargeted it. If nobody needs it like"
    " that, delete it, then update."
)
OF_A_GATEWAY = (
    "A virtual private gateway propagates it from a VPN or Direct Connect connection."
    " Whoever runs that connection has to stop announcing it."
)
OF_A_ROUTE_SERVER = (
    "A VPC route server installed it. Whoever runs the route server's peer has to stop"
    " announcing it."
)
DELETED = "Its network interface is deleted, so nobody can use it. To delete it:"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What is said of the first worker's packets to the second."""

    step: Step
    resource: str
    problem: str
    command: str = ""
    remedy: str = ""
    subject: str = ""
    on_reply: bool = False


def assert_stopped(snapshot: Snapshot, question: Question, stop: Stop) -> None:
    """Compare with the first thing that stops them."""
    found = verify(snapshot, question)
    verdict = found.reachability.between("i-0", "i-1")
    assert not found.is_well
    assert verdict.cause == Cause(
        step=stop.step,
        resource=stop.resource,
        problem=stop.problem,
        remedy=stop.remedy,
        command=stop.command,
    )
    assert verdict.on_reply == stop.on_reply
    assert stop.subject in (found.reachability.subjects[verdict.cause] or ("",))


def delete(destination: str) -> str:
    option = "prefix-list-id" if destination.startswith("pl-") else "cidr-block"
    return (
        "aws ec2 delete-route --route-table-id rtb-1"
        f" --destination-{option} {destination} --region us-east-1"
    )
