"""Packets between pods: sent all at once, and each arrives and is answered, or not."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from sandbox.wires.kernel import Namespace

_AT_ONCE: Final = 400
"""Sockets that are open at once, under the usual limit of 1,024 files."""
_ECHO: Final = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
"""The ICMP types of a request and a reply, by address family."""
_RESET: Final = struct.pack("ii", 1, 0)


class Probe(NamedTuple):
    """One connection, or one echo request, from a pod to a pod.

    Attributes:
        source, target: the indices of the pods' workers.
        port: the TCP port; 0 for ICMP.
        source_port: any, where it is 0.
    """

    source: int
    source_address: str
    target: int
    target_address: str
    port: int = 0
    source_port: int = 0


def send(
    pods: Sequence[Namespace], probes: Sequence[Probe], seconds: float
) -> list[bool]:
    """Return which probes were answered, within so many seconds."""
    arrived: list[bool] = []
    with contextlib.ExitStack() as stack:
        for pod, port in {(probe.target, probe.port) for probe in probes if probe.port}:
            pods[pod].enter()
            both = socket.create_server(
                ("::", port),
                family=socket.AF_INET6,
                backlog=4096,
                reuse_port=True,
                dualstack_ipv6=True,
            )
            stack.enter_context(both)
        for start in range(0, len(probes), _AT_ONCE):
            arrived += _exchange(pods, probes[start : start + _AT_ONCE], seconds)
    return arrived


def _exchange(
    pods: Sequence[Namespace], probes: Sequence[Probe], seconds: float
) -> list[bool]:
    """Start every probe, then wait until all are answered or time is up."""
    waiting: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()
    try:
        for number in sorted(range(len(probes)), key=lambda n: probes[n].source):
            pods[probes[number].source].enter()
            begun = _begin(probes[number])
            waiting[begun.fileno()] = number, begun
            poll.register(
                begun,
                select.POLLOUT if begun.type == socket.SOCK_STREAM else select.POLLIN,
            )
        arrived = [False] * len(probes)
        end = time.monotonic() + seconds
        # On a busy machine time may be up before anybody looks: look once more.
        while waiting and (came := poll.poll(1000 * max(0, end - time.monotonic()))):
            for file, _ in came:
                number, begun = waiting.pop(file)
                arrived[number] = _is_answered(begun)
                poll.unregister(file)
                begun.close()
        return arrived
    finally:
        for _, begun in waiting.values():
            begun.close()


def _begin(probe: Probe) -> socket.socket:
    family = socket.AF_INET6 if ":" in probe.target_address else socket.AF_INET
    if probe.port:
        begun = socket.socket(family, socket.SOCK_STREAM)
        begun.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        begun.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        begun.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    else:
        protocol = (
            socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        )
        begun = socket.socket(family, socket.SOCK_DGRAM, protocol)
    begun.settimeout(0)
    begun.bind((probe.source_address, probe.source_port))
    with contextlib.suppress(BlockingIOError):
        begun.connect((probe.target_address, probe.port))
    if not probe.port:
        begun.send(struct.pack("!BBHHH", _ECHO[family][0], 0, 0, 0, 1))
    return begun


def _is_answered(begun: socket.socket) -> bool:
    if begun.type == socket.SOCK_DGRAM:
        with contextlib.suppress(OSError):
            return begun.recv(64)[0] == _ECHO[begun.family][1]
        return False
    return begun.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
