"""Which packets a question asks for, and which a rule of EC2 matches."""

from __future__ import annotations

import pytest

from routes.verify.packets import EPHEMERAL, PORTS, PROTOCOLS, Question, Span, matched
from tests import builders

(PODS,) = builders.networks("10.200.1.0/24")
(PODS6,) = builders.networks("fd00:200::/64")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (Question(), "all protocols"),
        (Question("tcp"), "tcp"),
        (Question("udp", 53), "udp 53"),
    ],
)
def test_a_question_is_told_in_the_words_of_its_options(
    question: Question, text: str
) -> None:
    assert str(question) == text


@pytest.mark.parametrize(
    ("question", "protocols", "there", "back"),
    [
        pytest.param(Question(), PROTOCOLS, PORTS, PORTS, id="everything"),
        pytest.param(Question("tcp"), Span(6, 6), PORTS, EPHEMERAL, id="tcp"),
        pytest.param(
            Question("udp", 53), Span(17, 17), Span(53, 53), EPHEMERAL, id="a port"
        ),
        pytest.param(Question("icmp"), Span(1, 1), PORTS, PORTS, id="icmp"),
    ],
)
def test_replies_go_to_ephemeral_ports_where_there_are_ports(
    question: Question, protocols: Span, there: Span, back: Span
) -> None:
    forward, reply = question.forward(PODS), question.reply(PODS)

    assert (forward.protocols, forward.ports) == (protocols, there)
    assert (reply.protocols, reply.ports) == (protocols, back)


def test_icmp_has_another_number_among_ipv6_packets() -> None:
    assert Question("icmp").forward(PODS6).protocols == Span(58, 58)


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
def test_a_rule_matches_what_ec2_means_by_its_numbers(
    protocol: int, ports: tuple[int, int] | None, protocols: Span, numbers: Span
) -> None:
    packets = matched(protocol, ports, PODS)

    assert (packets.protocols, packets.ports) == (protocols, numbers)
