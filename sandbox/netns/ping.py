"""`python -m sandbox ping`: which workers' pods reach which, as a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import permutations
from typing import TYPE_CHECKING, Final, TypeAlias

import click

from sandbox.netns.account import Account, Worker, read
from sandbox.netns.client import Network, NoNamespacesError
from sandbox.netns.packets import Probe

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

PORT: Final = 8080
"""The port on which the pods listen."""
_SECONDS: Final = 1.0
"""Enough, because every hop is on this machine."""
_POD: Final = 2
"""The index of the pod's address in its CIDR."""
_NAME: Final = 16
_CELLS: Final = 57
"""The columns of 80 that are left for the matrix beside numbers and names."""
_MARKS: Final = {"ok": "ok", "icmp": "i", "tcp": "t", "no": "-"}

Arrivals: TypeAlias = Mapping[tuple[str, str], str]
"""The result of each ordered pair of instance ids.

"ok" if ICMP and TCP are answered in every IP family that both have; "icmp" or "tcp" if
only one of them is; "no" if neither is.
"""


def ping(ec2: EC2Client) -> int:
    """Send packets between the pods of all workers, print a matrix, return a code.

    0: all pairs answer; 1: some don't; 2: this machine can't send packets.
    """
    account = read(ec2)
    try:
        with Network() as network:
            results = arrivals(network, account)
    except NoNamespacesError as error:
        click.echo(f"No packets were sent: {error}")
        return 2
    click.echo("\n".join(_matrix(account.workers, results)))
    if not network.has_filters:
        click.echo(
            "Without nft, checks, network ACLs and security groups are left out."
            "\nInstall nftables (Debian, Ubuntu) to include them."
        )
    return 0 if set(results.values()) <= {"ok"} else 1


def arrivals(network: Network, account: Account) -> Arrivals:
    """Create the network, and send from a pod on each worker to one on each other."""
    network.create(account)
    pairs = list(permutations(range(len(account.workers)), 2))
    probes = [
        Probe(source, here, target, there, port)
        for source, target in pairs
        for here, there in _addresses(account.workers[source], account.workers[target])
        for port in (0, PORT)
    ]
    all_answered: dict[tuple[int, int, int], bool] = {}
    for probe, answered in zip(probes, network.send(probes, _SECONDS), strict=True):
        key = probe.source, probe.target, probe.port
        all_answered[key] = all_answered.get(key, True) and answered
    words = {(True, True): "ok", (True, False): "icmp", (False, True): "tcp"}
    return {
        (account.workers[a].id, account.workers[b].id): words.get(
            (all_answered.get((a, b, 0), False), all_answered.get((a, b, PORT), False)),
            "no",
        )
        for a, b in pairs
    }


def _addresses(source: Worker, target: Worker) -> Iterator[tuple[str, str]]:
    """Yield the address of a pod on each, for every IP family that both have."""
    for here in map(ip_network, source.pod_cidrs):
        for there in map(ip_network, target.pod_cidrs):
            if here.version == there.version:
                yield str(here[_POD]), str(there[_POD])


def _matrix(workers: Sequence[Worker], results: Arrivals) -> Iterator[str]:
    """Yield lines, rows for sources; columns that don't fit follow below."""
    width = 3 if 3 * len(workers) <= _CELLS else 1
    yield "Packets from a pod on each worker to a pod on each other worker:"
    for start in range(0, len(workers), _CELLS // width):
        columns = list(enumerate(workers))[start : start + _CELLS // width]
        numbers = "".join(f"{str(number)[-width:]:>{width}}" for number, _ in columns)
        yield f"{'from / to':>{_NAME + 3}} {numbers}"
        for row, source in enumerate(workers):
            cells = "".join(
                f"{_MARKS[results[source.id, target.id]][:width]:>{width}}"
                if source is not target
                else f"{'·':>{width}}"
                for _, target in columns
            )
            yield f"{row:>3} {source.name[: _NAME - 1]:{_NAME}}{cells}"
    ok = sum(result == "ok" for result in results.values())
    yield f"Answered over ICMP and TCP: {ok} of {len(results)} pairs."
    if {"icmp", "tcp"} & set(results.values()):
        yield "i: only ICMP. t: only TCP."
