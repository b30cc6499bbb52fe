"""Denied packets: of protocols that pods seldom use, or to single ports."""

from __future__ import annotations

import pytest

from routes.verify.filters import (
    DeniedPackets,
    FilterResult,
    filter_by_acl,
    filter_by_groups,
)
from routes.verify.header_space import Traffic, matching
from tests import builders
from tests.snapshots import acl, group_rule, rule

(PODS,) = builders.networks("10.200.1.0/24")
EVERYTHING = Traffic().forward(PODS)
GRE = matching(47, None, PODS)
COMMON = (1, 6, 17)


def test_an_acl_that_denies_only_other_protocols_names_the_first_rule() -> None:
    denies = (
        rule(number, egress=False, allow=False, protocol=protocol)
        for number, protocol in ((10, 47), (20, 50))
    )

    denied = filter_by_acl(acl(1, *denies), EVERYTHING, egress=False)

    assert denied == DeniedPackets(GRE, is_usual=False, rule=10)


def test_groups_that_allow_the_common_protocols_deny_nothing_common() -> None:
    rules = [
        group_rule(1, str(number), "0.0.0.0/0", protocol=number) for number in COMMON
    ]

    denied = filter_by_groups(rules, EVERYTHING, (), {}).denied

    assert denied
    assert denied.is_usual is False
    assert not denied.packets.is_usual


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        pytest.param(
            8080, FilterResult(None, "sgr-1-named"), id="of the traffic's port"
        ),
        pytest.param(
            443,
            FilterResult(
                DeniedPackets(Traffic("tcp", 8080).forward(PODS), is_usual=True)
            ),
            id="of another port",
        ),
    ],
)
def test_a_rule_that_names_a_group_counts_for_its_own_ports_only(
    port: int, expected: FilterResult
) -> None:
    named = group_rule(1, "named", "sg-2", protocol=6, ports=(port, port))
    packets = Traffic("tcp", 8080).forward(PODS)

    assert filter_by_groups([named], packets, ["sg-2"], {}) == expected


def test_of_several_denying_rules_the_first_is_named() -> None:
    """A rule that allows before the second one would not allow the first's packets."""
    denies = (
        rule(number, egress=False, allow=False, protocol=protocol)
        for number, protocol in ((50, 6), (40, 17))
    )

    denied = filter_by_acl(acl(1, *denies), EVERYTHING, egress=False)

    assert denied
    assert (denied.rule, denied.packets.kind) == (40, "udp")
