"""What filters stop, of packets that pods seldom send and of single ports."""

from __future__ import annotations

import pytest

from routes.verify.filters import Gap, Passage, acl_gap, passage
from routes.verify.packets import Packets, Question, matched
from tests import builders
from tests.snapshots import acl, group_rule, rule

(PODS,) = builders.networks("10.200.1.0/24")
EVERYTHING = Question().forward(PODS)
GRE, ESP = (matched(number, None, PODS) for number in (47, 50))
COMMON = (1, 6, 17)


def test_an_acl_that_denies_what_pods_seldom_speak_names_the_first_rule() -> None:
    denies = (
        rule(number, egress=False, allow=False, protocol=protocol)
        for number, protocol in ((10, 47), (20, 50))
    )

    gap = acl_gap(acl(1, *denies), EVERYTHING, egress=False)

    assert gap == Gap(GRE, stops=False, rule=10)


def test_groups_that_let_in_what_pods_speak_stop_the_rest_in_name_only() -> None:
    rules = [
        group_rule(1, str(number), "0.0.0.0/0", protocol=number) for number in COMMON
    ]

    gap = passage(rules, EVERYTHING, (), {}).gap

    assert gap
    assert gap.stops is False
    assert not gap.packets.is_common


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        pytest.param(8080, Passage(None, "sgr-1-named"), id="of the port asked for"),
        pytest.param(
            443,
            Passage(Gap(Question("tcp", 8080).forward(PODS), stops=True)),
            id="of another port",
        ),
    ],
)
def test_a_rule_that_names_a_group_counts_for_its_ports_alone(
    port: int, expected: Passage
) -> None:
    named = group_rule(1, "named", "sg-2", protocol=6, ports=(port, port))
    asked: Packets = Question("tcp", 8080).forward(PODS)

    assert passage([named], asked, ["sg-2"], {}) == expected


def test_of_several_rules_that_deny_the_first_is_named() -> None:
    """A rule that allows in front of the other would leave this one's packets out."""
    denies = (
        rule(number, egress=False, allow=False, protocol=protocol)
        for number, protocol in ((50, 6), (40, 17))
    )

    gap = acl_gap(acl(1, *denies), EVERYTHING, egress=False)

    assert gap
    assert (gap.rule, gap.packets.kind) == (40, "udp")
