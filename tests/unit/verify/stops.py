"""What stops the first worker's packets to the second, for tests."""

from __future__ import annotations

from dataclasses import dataclass

from routes.verify.journey import Cause, Step
from routes.verify.packets import Question
from routes.verify.snapshot import Snapshot
from routes.verify.verification import verify

POD_1 = "10.200.1.0/24 of worker-1"
TURN = (
    "aws ec2 replace-route --route-table-id rtb-1 --destination-cidr-block"
    " 10.200.1.0/24 --network-interface-id eni-1 --region us-east-1"
)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What is said of the first worker's packets to the second."""

    step: Step
    resource: str
    problem: str
    command: str
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
