"""Create namespaces, links, addresses and routes with netlink."""

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

from sandbox.netns.account import Worker
from sandbox.netns.filters import port
from sandbox.netns.layout import LOCAL, Layout

_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET; os.unshare is new in Python 3.12
_NO_DAD: Final = 0x02  # IFA_F_NODAD: IPv6 addresses work at once
_HOST: Final = 254  # RT_SCOPE_HOST
_LOCAL_TABLE: Final = 255  # RT_TABLE_LOCAL
_NEAR: Final = "02:00:00:00:00:01"
_FAR: Final = "02:00:00:00:00:02"
"""The MAC addresses of a link's ends; fixed, so that no neighbour is looked up."""
_DELIVERY: Final = 999
"""The router's table of the workers' own addresses, for routes to `local`."""
_FIRST_TABLE: Final = 1000
_PODS: Final = 100
"""A worker's table for packets from the VPC."""
_SETTINGS: Final = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/ip_nonlocal_bind": "1",  # a pod sends from every address of its CIDR
    "ipv4/ping_group_range": "0 0",
}


class _Hops(NamedTuple):
    """The addresses of one IP family for the links themselves."""

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
    """A network namespace, which exists until it is closed."""

    def __init__(self) -> None:
        """Create and enter a namespace that forwards packets."""
        if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "can't create a network namespace")
        for name, value in _SETTINGS.items():
            Path("/proc/sys/net", name).write_text(value)
        self.file = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._netlink = IPRoute()
        self.set_up("lo")

    def close(self) -> None:
        """Delete it, with everything in it."""
        self._netlink.close()
        os.close(self.file)

    def enter(self) -> None:
        """Make it the namespace of the sockets and commands that follow."""
        netns.setns(self.file)

    def _index(self, link: str) -> int:
        self.enter()
        return socket.if_nametoindex(link)

    def connect(self, link: str, other: Namespace, far: str) -> None:
        """Add a link to another namespace, where it is named `far`."""
        peer = {"ifname": far, "net_ns_fd": other.file, "address": _FAR}
        self._netlink.link("add", ifname=link, kind="veth", address=_NEAR, peer=peer)

    def move(self, link: str, other: Namespace) -> None:
        """Move an end of a link; there it is down and has no address."""
        self._netlink.link("set", index=self._index(link), net_ns_fd=other.file)

    def add_bridge(self, link: str, port: str) -> None:
        """Add a bridge with one port."""
        self._netlink.link("add", ifname=link, kind="bridge")
        self._netlink.link("set", index=self._index(port), master=self._index(link))

    def set_up(self, *links: str) -> None:
        """Set links up."""
        for link in links:
            self._netlink.link("set", index=self._index(link), state="up")

    def wait_up(self, link: str) -> None:
        """Wait until a link is ready, shortly after its other end is set up.

        Raises:
            TimeoutError: it isn't after ten seconds.
        """
        self._netlink.poll(
            self._netlink.link, "dump", interval=0.001, ifname=link, operstate="UP"
        )

    def add_address(self, link: str, address: str, length: int = 0) -> None:
        """Add an address to a link; without a length, that address only."""
        family = _family(address)
        self._netlink.addr(
            "add",
            index=self._index(link),
            family=family,
            address=address,
            prefixlen=length or (32 if family == socket.AF_INET else 128),
            flags=_NO_DAD if family == socket.AF_INET6 else 0,
        )

    def add_route(self, to: str, link: str = "", via: str = "", **more: Any) -> None:  # noqa: ANN401
        """Add a route through a link, or one with a `type`.

        The next hop becomes a permanent neighbour. Otherwise the kernel would look it
        up, and after a failure, such as that of a stopped worker, packets would wait
        a second for the next try.
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

    def add_rule(self, table: int, priority: int, **more: str) -> None:
        """Route packets by a table, in both IP families."""
        for family in _HOPS:
            self._netlink.rule(
                "add", family=family, table=table, priority=priority, **more
            )


class Vpc:
    """The implicit router, the workers, and on each a pod with all pod addresses."""

    def __init__(self) -> None:
        """Create a router without workers."""
        self.pods: list[Namespace] = []
        self._workers: list[Namespace] = []
        self._router = Namespace()
        self._created: list[tuple[Sequence[str], Sequence[str]]] = []

    def create(self, layout: Layout) -> None:
        """Create the network of a layout, in place of the last one.

        The router is always a new one, without rules and connections of the last.
        Workers with the same addresses and pod CIDRs are moved to it.

        Raises:
            subprocess.CalledProcessError: nft refuses the ruleset; it prints why.
        """
        router = Namespace()
        addresses = [(worker.addresses, worker.pod_cidrs) for worker in layout.workers]
        if addresses == self._created:
            for number in range(len(addresses)):
                self._router.move(port(number), router)
        else:
            for namespace in (*self._workers, *self.pods):
                namespace.close()
            self._workers = [Namespace() for _ in addresses]
            self.pods = [Namespace() for _ in addresses]
            for number, worker in enumerate(layout.workers):
                router.connect(port(number), self._workers[number], "eth0")
                _set_up_worker(self._workers[number], self.pods[number], worker)
        self._router.close()
        self._router, self._created = router, addresses
        _set_up_router(router, layout)
        if shutil.which("nft"):
            router.enter()
            subprocess.run(["nft", "-f-"], input=layout.ruleset, text=True, check=True)
        for number, worker in enumerate(layout.workers):
            self.pods[number].wait_up("eth0")
            if worker.is_running:
                self._workers[number].wait_up("eth0")


def _set_up_router(router: Namespace, layout: Layout) -> None:
    """Route each worker's packets by its table, then those to the VPC's addresses."""
    router.add_rule(_DELIVERY, priority=2)
    for hops in _HOPS.values():
        router.add_route(hops.everything, type="blackhole", table=_DELIVERY)
    for number, worker in enumerate(layout.workers):
        table = _FIRST_TABLE + layout.table_of[number]
        router.add_rule(table, priority=1, iifname=port(number))
        if worker.is_running:
            router.set_up(port(number))
        for hops in _HOPS.values():
            router.add_address(port(number), hops.router, hops.length)
        for address in worker.addresses if worker.is_running else ():
            _add_route(router, address, number, table=_DELIVERY)
    for number, routes in enumerate(layout.tables, _FIRST_TABLE):
        for destination, metric, target in routes:
            _add_route(router, destination, target, table=number, priority=metric)


def _add_route(router: Namespace, to: str, target: int, **more: Any) -> None:  # noqa: ANN401
    if target >= 0:
        router.add_route(to, port(target), _HOPS[_family(to)].worker, **more)
    else:
        kind = "throw" if target == LOCAL else "blackhole"
        router.add_route(to, type=kind, **more)


def _set_up_worker(namespace: Namespace, pod: Namespace, worker: Worker) -> None:
    """Set up a worker and its pod.

    It forwards only its own pods' packets. EC2 decides which packets reach it; what a
    worker does with others' packets is not EC2's behaviour.
    """
    namespace.connect("pod0", pod, "eth0")
    namespace.add_bridge("cbr0", "pod0")
    namespace.set_up("eth0", "pod0", "cbr0")
    pod.set_up("eth0")
    namespace.add_rule(_PODS, priority=1, iifname="eth0")
    for hops in _HOPS.values():
        namespace.add_address("eth0", hops.worker, hops.length)
        namespace.add_address("cbr0", hops.bridge, hops.length)
        pod.add_address("eth0", hops.pod, hops.length)
        namespace.add_route(hops.everything, "eth0", hops.router)
        namespace.add_route(hops.everything, type="blackhole", table=_PODS)
        pod.add_route(hops.everything, "eth0", hops.bridge)
    for address in worker.addresses:
        namespace.add_address("eth0", address)
    for cidr in worker.pod_cidrs:
        namespace.add_route(cidr, "cbr0", _HOPS[_family(cidr)].pod, table=_PODS)
        pod.add_route(cidr, "lo", type="local", table=_LOCAL_TABLE, scope=_HOST)
