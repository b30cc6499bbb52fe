"""Strategies: networks, fields, user data, and whole lookups."""

from __future__ import annotations

import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from ipaddress import IPv4Network, IPv6Network, ip_network

from hypothesis import strategies as st

from routes.model import Discovery, RouteTable, Selector, Worker
from routes.networks import Network
from tests.builders import discovery, route, table, worker

KEY = "pod-cidr"


def _network(version: int, address: int, length: int) -> Network:
    bits = 32 if version == 4 else 128
    kind = IPv4Network if version == 4 else IPv6Network
    return kind((address >> (bits - length) << (bits - length), length))


ipv4_networks = st.builds(
    _network, st.just(4), st.integers(0, 2**32 - 1), st.integers(0, 32)
)
ipv6_networks = st.builds(
    _network, st.just(6), st.integers(0, 2**128 - 1), st.integers(0, 128)
)
crowded_networks = st.one_of(
    st.builds(
        _network,
        st.just(4),
        st.integers(0, 255).map(lambda n: int(ip_network("10.200.0.0/24")[n])),
        st.integers(24, 30),
    ),
    st.builds(
        _network,
        st.just(6),
        st.integers(0, 255).map(lambda n: int(ip_network("fd00:200::/120")[n])),
        st.integers(120, 127),
    ),
)
"""Networks of so few addresses that they often overlap."""

pod_cidrs = st.one_of(
    st.tuples(ipv4_networks),
    st.tuples(ipv6_networks),
    st.tuples(ipv4_networks, ipv6_networks),
)

plain_text = st.text(st.characters(blacklist_characters="|\n=", codec="utf-8"))
other_fields = st.one_of(
    plain_text.filter(lambda text: text.strip() != KEY),
    st.tuples(plain_text, plain_text).map("=".join),
).filter(lambda field: field.partition("=")[0].strip() != KEY)

_keys = st.sampled_from(
    [KEY] * 4 + [" pod-cidr", "pod-cidr ", "pod-cidr-v6", "my-pod-cidr", "#pod-cidr"]
)
_values = st.one_of(
    ipv4_networks.map(str),
    ipv6_networks.map(str),
    st.sampled_from(["", " ", "10.200.0.1/24", "10.200.0.0", "\xff", "x y"]),
)
_tails = st.sampled_from([""] * 4 + ["=x", "=", " ", "\r", ",fd00::/64"])
_fields = st.one_of(
    other_fields,
    st.builds("{}={}{}".format, _keys, _values, _tails),
    st.sampled_from(
        [
            KEY,
            "",
            "#!/bin/sh",
            "Content-Type: text/plain",
            "MIME-Version: 1.0",
            "Content-Type: multipart/mixed; boundary=b",
            "Content-Transfer-Encoding: base64",
            "--b",
            "--b--",
        ]
    ),
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """User data in the form of the lab: valid, invalid, and nearly valid."""
    fields = draw(st.lists(_fields, max_size=8))
    separators = draw(
        st.lists(
            st.sampled_from(["|", "\n", "\r\n", " | "]),
            min_size=len(fields),
            max_size=len(fields),
        )
    )
    return "".join(a + b for a, b in zip(fields, separators, strict=True))


@st.composite
def mime(draw: st.DrawFn) -> bytes:
    """MIME multipart: some parts are plain, some are base64."""
    message = MIMEMultipart(boundary="=b=")
    for text in draw(st.lists(texts(), max_size=3)):
        charset = "us-ascii" if text.isascii() and draw(st.booleans()) else "utf-8"
        message.attach(MIMEText(text, _charset=charset))
    if draw(st.booleans()):
        message.preamble = draw(texts()).encode("ascii", "ignore").decode()
    return message.as_bytes()


@st.composite
def seeds_user_data(draw: st.DrawFn) -> bytes:
    """One valid field, in text with no second line for the seed's `grep`."""
    others = st.lists(
        _fields.filter(lambda field: not field.startswith(KEY)), max_size=4
    )
    separator = draw(st.sampled_from(["|", "\n"]))
    field = f"{KEY}={draw(ipv4_networks)}" + draw(st.sampled_from(["", "=x"]))
    return separator.join([*draw(others), field, *draw(others)]).encode()


user_data = st.one_of(
    texts().map(str.encode),
    mime(),
    st.tuples(texts(), st.binary()).map(lambda both: both[0].encode() + both[1]),
)
"""Bytes before base64, never gzip."""

hostile_user_data = st.one_of(
    st.binary(max_size=2000),
    user_data,
    user_data.map(gzip.compress),
    user_data.map(lambda data: gzip.compress(data)[:-5]),
    st.binary().map(lambda data: b"\x1f\x8b" + data),
    st.binary().map(lambda data: b"Content-Type: multipart/mixed; boundary=b\n" + data),
    st.lists(
        st.sampled_from(
            [
                b"Content-Type: multipart/mixed; boundary=b\n",
                b"Content-Type: multipart/digest; boundary=b\n",
                b"Content-Type: message/rfc822\n",
                b"Content-Transfer-Encoding: x-uuencode\n",
                b"Content-Transfer-Encoding: base64\n",
                b"Content-Transfer-Encoding: quoted-printable\n",
                b" boundary*0=b; boundary*=c\n",
                b"begin 666 x\n",
                b"MIME-Version: 1.0\n",
                b"--b\n",
                b"--b--\n",
                b"\n",
                b"pod-cidr=",
                b"pod-cidr=3D10.200.0.0/24\n",
                b"#\xff\xfe\x7f\n",
                b"\r",
                b"end\n",
            ]
        )
    ).map(b"".join),
)


@st.composite
def crowded_workers(draw: st.DrawFn) -> list[Worker]:
    """Workers of one or two networks each, which may or may not overlap."""
    workers = []
    for number, network in enumerate(draw(st.lists(crowded_networks, max_size=12))):
        second = draw(st.one_of(st.none(), crowded_networks))
        both: tuple[Network, ...] = (network,)
        if second and second.version != network.version:
            both = (network, second)
        workers.append(worker(number, pod_cidrs=both))
    return workers


@st.composite
def lookups(draw: st.DrawFn) -> Discovery:
    """Lookups with faults of every kind, by names and by patterns."""
    workers: dict[Selector, tuple[Worker, ...]] = {}
    instances = [
        worker(
            number,
            name=draw(st.sampled_from([f"worker-{number}", "worker"])),
            instance_id=f"i-{number:08}",
            pod_cidrs=(draw(crowded_networks),),
            interface=draw(st.sampled_from([worker(number).interface] * 4 + [None])),
            state=draw(st.sampled_from(["running", "stopped"])),
            launch_time=worker(0).launch_time,
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    for selector in map(
        Selector, ["worker", "worker-0", "worker-1", "w*", "i-00000002"]
    ):
        if draw(st.booleans()):
            workers[selector] = tuple(
                one
                for one in instances
                if selector.selects(id=one.instance_id, name=one.name)
            )
    destinations = draw(st.lists(crowded_networks, max_size=4, unique=True))
    routes = [
        route(
            str(network),
            draw(st.sampled_from(["igw-1", "eni-0", "eni-1", ""])),
            state=draw(st.sampled_from(["active", "blackhole"])),
        )
        for network in destinations
    ]
    tables = [table(*routes, id=f"rtb-{n}") for n in range(draw(st.integers(1, 3)))]
    by_entry: dict[Selector, tuple[RouteTable, ...]] = {
        Selector(one.id): (one,) for one in tables
    }
    if draw(st.booleans()):
        by_entry[Selector("kubernetes")] = tuple(tables)
    return discovery(workers, by_entry)
