"""Namespaces, cables, addresses and routes: a layout, laid by netlink."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pyroute2 import IPRoute, netns

from sandbox.wires.account import Worker
from sandbox.wires.filters import port
from sandbox.wires.layout import LOCAL, Layout

_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET; os.unshare is Python 3.12's
_NO_DAD: Final = 0x02  # IFA_F_NODAD: an IPv6 address is of use at once
_HOST: Final = 254  # RT_SCOPE_HOST
_LOCAL_TABLE: Final = 255  # RT_TABLE_LOCAL
_NEAR: Final = "02:00:00:00:00:01"
_FAR: Final = "02:00:00:00:00:02"
"""The ends of every cable, so that nobody has to ask for his neighbour."""
_DELIVERY: Final = 999
"""The router's table of the workers' own addresses: what `local` leads to."""
_FIRST_TABLE: Final = 1000
_PODS: Final = 100
"""A worker's table for what comes from the VPC."""
_SETTINGS: Final = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/ip_nonlocal_bind": "1",  # a pod sends from every address of its CIDR
    "ipv4/ping_group_range": "0 0",
}


class _Hops(NamedTuple):
    """The addresses of one IP family that the wires themselves need."""

    everything: str
    length: int
    router: str
    worker: str
    bridge: str
    pod: str


_HOPS: Final = {
    socket.AF_INET: _Hops(
        "0.0.0.0/0", 30, "169.254.0.1", "169.254.0.2", "169.254.1.1", "169.254.1.2"
    ),
    socket.AF_INET6: _Hops("::/0", 64, "fe80::1", "fe80::2", "fe80::11", "fe80::12"),
}


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Namespace:
    """A network namespace that lives for as long as it is held open."""

    def __init__(self) -> None:
        """Make it, with forwarding on, and enter it."""
        if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "no network namespace can be made")
        for name, value in _SETTINGS.items():
            Path("/proc/sys/net", name).write_text(value)
        self.file = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._netlink = IPRoute()
        self.up("lo")

    def close(self) -> None:
        """Let it go, with all that is in it."""
        self._netlink.close()
        os.close(self.file)

    def enter(self) -> None:
        """Let what follows happen in it: sockets, commands."""
        netns.setns(self.file)

    def _index(self, link: str) -> int:
        self.enter()
        return socket.if_nametoindex(link)

    def cable(self, link: str, other: Namespace, far: str) -> None:
        """Lay a cable to another namespace."""
        peer = {"ifname": far, "net_ns_fd": other.file, "address": _FAR}
        self._netlink.link("add", ifname=link, kind="veth", address=_NEAR, peer=peer)

    def plug_over(self, link: str, other: Namespace) -> None:
        """Move an end of a cable to another namespace, where it is down and bare."""
        self._netlink.link("set", index=self._index(link), net_ns_fd=other.file)

    def bridge(self, link: str, port: str) -> None:
        """Make a bridge with one port."""
        self._netlink.link("add", ifname=link, kind="bridge")
        self._netlink.link("set", index=self._index(port), master=self._index(link))

    def up(self, *links: str) -> None:
        """Bring links up."""
        for link in links:
            self._netlink.link("set", index=self._index(link), state="up")

    def wait_up(self, link: str) -> None:
        """Wait until a link sends, a while after its cable's other end is up.

        Raises:
            TimeoutError: after ten seconds it does not.
        """
        self._netlink.poll(
            self._netlink.link, "dump", interval=0.001, ifname=link, operstate="UP"
        )

    def address(self, link: str, address: str, length: int = 0) -> None:
        """Give a link an address, alone if its network has no length."""
        family = _family(address)
        self._netlink.addr(
            "add",
            index=self._index(link),
            family=family,
            address=address,
            prefixlen=length or (32 if family == socket.AF_INET else 128),
            flags=_NO_DAD if family == socket.AF_INET6 else 0,
        )

    def route(self, to: str, link: str = "", via: str = "", **more: Any) -> None:  # noqa: ANN401
        """Add a route through a link, or one that has a `type` of its own.

        The neighbour behind it is made known for good. If it had to be asked for and
        no answer came, as where the worker was stopped, packets would wait until it is
        asked again, a second later.
        """
        if link:
            more["oif"] = self._index(link)
        if via:
            more |= {"gateway": via, "flags": ["onlink"]}
            self._netlink.neigh(
                "replace",
                ifindex=more["oif"],
                dst=via,
                lladdr=_NEAR if link == "eth0" else _FAR,
                state="permanent",
            )
        self._netlink.route("add", family=_family(to), dst=to, **more)

    def rule(self, table: int, priority: int, **more: str) -> None:
        """Have packets looked up in a table, in both IP families."""
        for family in _HOPS:
            self._netlink.rule(
                "add", family=family, table=table, priority=priority, **more
            )


class Vpc:
    """The implicit router, the workers, and a pod on each that answers for them all."""

    def __init__(self) -> None:
        """Lay nothing yet."""
        self.pods: list[Namespace] = []
        self._workers: list[Namespace] = []
        self._router = Namespace()
        self._laid: list[tuple[Sequence[str], Sequence[str]]] = []

    def lay(self, wanted: Layout) -> None:
        """Lay this in place of what stood.

        The router is a new one each time, with no rule and no connection of the last.
        The workers are plugged over to it if they are the same.

        Raises:
            subprocess.CalledProcessError: nft refuses the filters; it says why itself.
        """
        router = Namespace()
        same = [(own.addresses, own.pods) for own in wanted.workers]
        if same == self._laid:
            for number in range(len(same)):
                self._router.plug_over(port(number), router)
        else:
            for namespace in (*self._workers, *self.pods):
                namespace.close()
            self._workers = [Namespace() for _ in same]
            self.pods = [Namespace() for _ in same]
            for number, own in enumerate(wanted.workers):
                router.cable(port(number), self._workers[number], "eth0")
                _worker(self._workers[number], self.pods[number], own)
        self._router.close()
        self._router, self._laid = router, same
        _route_all(router, wanted)
        if shutil.which("nft"):
            router.enter()
            subprocess.run(["nft", "-f-"], input=wanted.script, text=True, check=True)
        for worker, pod, own in zip(
            self._workers, self.pods, wanted.workers, strict=True
        ):
            pod.wait_up("eth0")
            if own.runs:
                worker.wait_up("eth0")


def _route_all(router: Namespace, wanted: Layout) -> None:
    """Have each worker's packets follow its routing table, then the VPC's own hosts."""
    router.rule(_DELIVERY, priority=2)
    for hops in _HOPS.values():
        router.route(hops.everything, type="blackhole", table=_DELIVERY)
    for number, own in enumerate(wanted.workers):
        table = _FIRST_TABLE + wanted.homes[number]
        router.rule(table, priority=1, iifname=port(number))
        if own.runs:
            router.up(port(number))
        for hops in _HOPS.values():
            router.address(port(number), hops.router, hops.length)
        for address in own.addresses if own.runs else ():
            _route(router, address, number, table=_DELIVERY)
    for number, routes in enumerate(wanted.tables, _FIRST_TABLE):
        for destination, metric, target in routes:
            _route(router, destination, target, table=number, priority=metric)


def _route(router: Namespace, to: str, target: int, **more: Any) -> None:  # noqa: ANN401
    if target >= 0:
        router.route(to, port(target), _HOPS[_family(to)].worker, **more)
    else:
        kind = "throw" if target == LOCAL else "blackhole"
        router.route(to, type=kind, **more)


def _worker(worker: Namespace, pod: Namespace, own: Worker) -> None:
    """Set up a worker and plug in its pod.

    It carries its own pods' packets and nobody else's: EC2 decides what reaches it, and
    what it would do with others' packets is the worker's own affair.
    """
    worker.cable("pod0", pod, "eth0")
    worker.bridge("cbr0", "pod0")
    worker.up("eth0", "pod0", "cbr0")
    pod.up("eth0")
    worker.rule(_PODS, priority=1, iifname="eth0")
    for hops in _HOPS.values():
        worker.address("eth0", hops.worker, hops.length)
        worker.address("cbr0", hops.bridge, hops.length)
        pod.address("eth0", hops.pod, hops.length)
        worker.route(hops.everything, "eth0", hops.router)
        worker.route(hops.everything, type="blackhole", table=_PODS)
        pod.route(hops.everything, "eth0", hops.bridge)
    for address in own.addresses:
        worker.address("eth0", address)
    for cidr in own.pods:
        worker.route(cidr, "cbr0", _HOPS[_family(cidr)].pod, table=_PODS)
        pod.route(cidr, "lo", type="local", table=_LOCAL_TABLE, scope=_HOST)
