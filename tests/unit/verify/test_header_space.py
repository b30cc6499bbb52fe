"""The packets of some traffic, and the packets that match a rule."""

from __future__ import annotations

import pytest

from routes.verify.header_space import (
    EPHEMERAL,
    PORTS,
    PROTOCOLS,
    Span,
    Traffic,
    matching,
)
from tests import builders

(PODS,) = builders.networks("10.200.1.0/24")
(PODS6,) = builders.networks("fd00:200::/64")


@pytest.mark.parametrize(
    ("traffic", "text"),
    [
        (Traffic(), "all protocols"),
        (Traffic("tcp"), "tcp"),
        (Traffic("udp", 53), "udp 53"),
    ],
)
def test_traffic_is_printed_in_the_words_of_its_options(
    traffic: Traffic, text: str
) -> None:
    assert str(traffic) == text


@pytest.mark.parametrize(
    ("traffic", "protocols", "ports", "reply_ports"),
    [
        pytest.param(Traffic(), PROTOCOLS, PORTS, PORTS, id="everything"),
        pytest.param(Traffic("tcp"), Span(6, 6), PORTS, EPHEMERAL, id="tcp"),
        pytest.param(
            Traffic("udp", 53), Span(17, 17), Span(53, 53), EPHEMERAL, id="a port"
        ),
        pytest.param(Traffic("icmp"), Span(1, 1), PORTS, PORTS, id="icmp"),
    ],
)
def test_replies_go_to_ephemeral_ports_if_the_protocol_has_ports(
    traffic: Traffic, protocols: Span, ports: Span, reply_ports: Span
) -> None:
    forward, reply = traffic.forward(PODS), traffic.reply(PODS)

    assert (forward.protocols, forward.ports) == (protocols, ports)
    assert (reply.protocols, reply.ports) == (protocols, reply_ports)


def test_icmp_has_another_protocol_number_in_ipv6() -> None:
    assert Traffic("icmp").forward(PODS6).protocols == Span(58, 58)


@pytest.mark.parametrize(
    ("protocol", "ports", "protocols", "numbers"),
    [
        pytest.param(-1, None, PROTOCOLS, PORTS, id="every protocol"),
        pytest.param(0, None, Span(0, 0), PORTS, id="protocol 0, a real one"),
        pytest.param(6, (80, 90), Span(6, 6), Span(80, 90), id="tcp ports"),
        pytest.param(47, (80, 90), Span(47, 47), PORTS, id="a protocol without ports"),
        pytest.param(1, (-1, -1), Span(1, 1), PORTS, id="every icmp type"),
        pytest.param(1, (0, -1), Span(1, 1), Span(0, 255), id="icmp type 0"),
        pytest.param(1, (3, 4), Span(1, 1), Span(772, 772), id="an icmp type and code"),
        pytest.param(58, (128, 0), Span(58, 58), Span(32768, 32768), id="icmpv6"),
    ],
)
def test_the_packets_that_match_a_rule_follow_ec2s_notation(
    protocol: int, ports: tuple[int, int] | None, protocols: Span, numbers: Span
) -> None:
    packets = matching(protocol, ports, PODS)

    assert (packets.protocols, packets.ports) == (protocols, numbers)
