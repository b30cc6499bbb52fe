"""Send packets between pods at the same time, and see which are answered."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from sandbox.netns.kernel import Namespace

_AT_ONCE: Final = 400
"""The number of open sockets, under the usual limit of 1,024 files."""
_ECHO: Final = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
"""The ICMP types of an echo request and its reply, by address family."""
_RESET: Final = struct.pack("ii", 1, 0)


class Probe(NamedTuple):
    """One TCP connection, or one echo request, from a pod to a pod.

    Attributes:
        source, target: the indices of the pods' workers.
        port: the TCP port; 0 for ICMP.
        source_port: 0 for any.
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
    """Return which probes are answered within so many seconds."""
    answered: list[bool] = []
    with contextlib.ExitStack() as stack:
        for pod, port in {(probe.target, probe.port) for probe in probes if probe.port}:
            pods[pod].enter()
            server = socket.create_server(
                ("::", port),
                family=socket.AF_INET6,
                backlog=4096,
                reuse_port=True,
                dualstack_ipv6=True,
            )
            stack.enter_context(server)
        for start in range(0, len(probes), _AT_ONCE):
            answered += _exchange(pods, probes[start : start + _AT_ONCE], seconds)
    return answered


def _exchange(
    pods: Sequence[Namespace], probes: Sequence[Probe], seconds: float
) -> list[bool]:
    """Start every probe, then wait until all are answered or time is up."""
    pending: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()
    try:
        for number in sorted(range(len(probes)), key=lambda n: probes[n].source):
            pods[probes[number].source].enter()
            client = _start(probes[number])
            pending[client.fileno()] = number, client
            is_tcp = client.type == socket.SOCK_STREAM
            poll.register(client, select.POLLOUT if is_tcp else select.POLLIN)
        answered = [False] * len(probes)
        end = time.monotonic() + seconds
        # On a busy machine, time may be up before the first poll: poll once more.
        while pending and (events := poll.poll(1000 * max(0, end - time.monotonic()))):
            for file, _ in events:
                number, client = pending.pop(file)
                answered[number] = _is_answered(client)
                poll.unregister(file)
                client.close()
        return answered
    finally:
        for _, client in pending.values():
            client.close()


def _start(probe: Probe) -> socket.socket:
    is_ipv6 = ":" in probe.target_address
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    if probe.port:
        client = socket.socket(family, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    else:
        protocol = socket.IPPROTO_ICMPV6 if is_ipv6 else socket.IPPROTO_ICMP
        client = socket.socket(family, socket.SOCK_DGRAM, protocol)
    client.settimeout(0)
    client.bind((probe.source_address, probe.source_port))
    with contextlib.suppress(BlockingIOError):
        client.connect((probe.target_address, probe.port))
    if not probe.port:
        client.send(struct.pack("!BBHHH", _ECHO[family][0], 0, 0, 0, 1))
    return client


def _is_answered(client: socket.socket) -> bool:
    if client.type == socket.SOCK_DGRAM:
        with contextlib.suppress(OSError):
            return client.recv(64)[0] == _ECHO[client.family][1]
        return False
    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
