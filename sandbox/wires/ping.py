"""`python -m sandbox ping`: whose pods reach whose, as a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import permutations
from typing import TYPE_CHECKING, Final, TypeAlias

import click

from sandbox.wires.account import Account, Worker, read
from sandbox.wires.client import NoWiresError, Wires
from sandbox.wires.packets import Probe

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

PORT: Final = 8080
"""Where the pods listen."""
_SECONDS: Final = 1.0
"""What is not answered by then never is: every hop is on this machine."""
_POD: Final = 2
"""Which address of its CIDR the pod has that is asked."""
_NAME: Final = 16
_CELLS: Final = 57
"""The columns of 80 that are left for the matrix beside numbers and names."""

Arrivals: TypeAlias = Mapping[tuple[str, str], str]
"""What arrives and is answered, for each ordered pair of instance ids.

"ok" for ICMP and TCP, in every IP family that both have; "icmp" or "tcp" for one of
them; "no" for neither.
"""


def ping(ec2: EC2Client) -> int:
    """Send packets between the pods of all workers, print a matrix, return a code.

    0: everything arrived; 1: not everything; 2: nothing could be sent, and why.
    """
    account = read(ec2)
    try:
        with Wires() as wires:
            found = arrivals(wires, account)
    except NoWiresError as error:
        click.echo(f"No packets were sent: {error}")
        return 2
    click.echo("\n".join(_matrix(account.workers, found)))
    if not wires.filters:
        click.echo(
            "Checks, network ACLs and security groups were left out: they need nft,"
            "\nof Debian's and Ubuntu's package nftables."
        )
    return 0 if set(found.values()) <= {"ok"} else 1


def arrivals(wires: Wires, account: Account) -> Arrivals:
    """Lay an account, and send from a pod on each worker to a pod on each other one."""
    wires.lay(account)
    pairs = list(permutations(range(len(account.workers)), 2))
    probes = [
        Probe(source, here, target, there, port)
        for source, target in pairs
        for here, there in _addresses(account.workers[source], account.workers[target])
        for port in (0, PORT)
    ]
    answered = wires.send(probes, _SECONDS)
    got: dict[tuple[int, int, int], bool] = {}
    for probe, came in zip(probes, answered, strict=True):
        key = probe.source, probe.target, probe.port
        got[key] = got.get(key, True) and came
    words = {(True, True): "ok", (True, False): "icmp", (False, True): "tcp"}
    return {
        (account.workers[a].id, account.workers[b].id): words.get(
            (got.get((a, b, 0), False), got.get((a, b, PORT), False)), "no"
        )
        for a, b in pairs
    }


def _addresses(one: Worker, other: Worker) -> Iterator[tuple[str, str]]:
    """Yield the address of a pod on each, for every IP family that both have."""
    for here in map(ip_network, one.pods):
        for there in map(ip_network, other.pods):
            if here.version == there.version:
                yield str(here[_POD]), str(there[_POD])


def _matrix(workers: Sequence[Worker], found: Arrivals) -> Iterator[str]:
    """Yield lines: rows send, columns receive; side by side as far as there is room."""
    width = 3 if 3 * len(workers) <= _CELLS else 1
    marks = {"ok": "ok", "icmp": "i", "tcp": "t", "no": "-"}
    yield "Packets from a pod on each worker to a pod on each other one:"
    for start in range(0, len(workers), _CELLS // width):
        columns = list(enumerate(workers))[start : start + _CELLS // width]
        numbers = "".join(f"{str(number)[-width:]:>{width}}" for number, _ in columns)
        yield f"{'from / to':>{_NAME + 3}} {numbers}"
        for row, one in enumerate(workers):
            cells = "".join(
                f"{marks[found[one.id, other.id]][:width]:>{width}}"
                if one is not other
                else f"{'·':>{width}}"
                for _, other in columns
            )
            yield f"{row:>3} {one.name[: _NAME - 1]:{_NAME}}{cells}"
    arrived = sum(each == "ok" for each in found.values())
    yield f"Arrived and answered, ICMP and TCP: {arrived} of {len(found)} pairs."
    if {"icmp", "tcp"} & set(found.values()):
        yield "i: only ICMP. t: only TCP."
