"""The model: selectors, networks, static routes and their keys."""

from __future__ import annotations

import random

import pytest

from routes.model import RouteKey, Selector, static_routes
from routes.networks import contains, in_address_order, parse_network
from tests.builders import INTERNET, key, networks, pod_route, route, table, worker


@pytest.mark.parametrize(
    ("text", "name", "is_selected"),
    [
        pytest.param("worker-0", "worker-0", True, id="a plain name"),
        pytest.param("worker-0", "worker-01", False, id="a name is matched whole"),
        pytest.param("worker-0", "Worker-0", False, id="case counts"),
        pytest.param("worker-*", "worker-", True, id="a star matches nothing too"),
        pytest.param("worker-*", "worker-a/b.c", True, id="a star matches anything"),
        pytest.param("worker-*", "Worker-0", False, id="case counts in a pattern"),
        pytest.param("worker-?", "worker-0", True, id="a question mark is one"),
        pytest.param("worker-?", "worker-", True, id="a question mark is none as well"),
        pytest.param("worker-?", "worker-10", False, id="a question mark is not two"),
        pytest.param("worker-??", "worker-1", True, id="two may be one"),
        pytest.param("worker-??", "worker-100", False, id="two are not three"),
        pytest.param("?*?", "worker-0", True, id="a star among them takes all"),
        pytest.param("?" * 200 + "x", "w" * 200, False, id="many, in no time"),
        pytest.param("i-*", "i-1", True, id="a name may begin as an id does"),
        pytest.param("i-worker", "i-worker", True, id="without a wildcard too"),
        pytest.param("*", None, False, id="a star needs a name"),
        pytest.param("w[ab]*", "wa1", False, id="brackets are no wildcard"),
        pytest.param("w[ab]*", "w[ab]1", True, id="brackets stand for themselves"),
        pytest.param("w[ab]", "w[ab]", True, id="brackets in a plain name"),
        pytest.param("a\\*", "a\\b", True, id="a backslash stands for itself"),
        pytest.param("a\\*", "a*", False, id="a backslash does not escape"),
        pytest.param("w*", "w\n0", True, id="a star matches a line break"),
    ],
)
def test_a_name_selects_as_the_filters_of_ec2_do(
    text: str, name: str | None, *, is_selected: bool
) -> None:
    assert Selector(text).selects(id="i-1", name=name) is is_selected


def test_an_id_selects_one_instance_and_no_name() -> None:
    selector = Selector("i-0a1b2c3d")

    assert selector.is_id
    assert selector.selects(id="i-0a1b2c3d", name="worker-0")
    assert not selector.selects(id="i-00000000", name="i-0a1b2c3d")


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        pytest.param("i-0a1b2c3d", True, id="8 digits"),
        pytest.param("rtb-0a1b2c3d4e5f60718", True, id="17 digits"),
        pytest.param("i-0a1b2c3d4", False, id="9 digits"),
        pytest.param("i-0A1B2C3D", False, id="capitals"),
        pytest.param("i-worker-0", False, id="a name that begins like one"),
        pytest.param("ri-0a1b2c3d", False, id="another beginning"),
        pytest.param("i-0a1b2c3*", False, id="a wildcard"),
    ],
)
def test_an_id_is_8_or_17_hexadecimal_digits(text: str, *, is_id: bool) -> None:
    assert Selector(text).is_id is is_id


def test_a_backslash_is_escaped_for_the_filter_and_wildcards_are_not() -> None:
    assert Selector("a\\b*?").filter_value == "a\\\\b*?"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "is not a CIDR such as 10.200.0.0/24", id="nothing"),
        pytest.param("10.200.0.0", "is not a CIDR", id="no length"),
        pytest.param("10.200.0.0/", "is not a CIDR", id="an empty length"),
        pytest.param("10.200.0.0/33", "is not a CIDR", id="a length past 32"),
        pytest.param("10.200.0.0/+8", "is not a CIDR", id="a signed length"),
        pytest.param("10.200.0.0/255.255.255.0", "is not a CIDR", id="a netmask"),
        pytest.param("10.200.0.0/٢٤", "is not a CIDR", id="digits of another script"),
        pytest.param("10.200.0/24", "is not a CIDR", id="three octets"),
        pytest.param("010.200.0.0/24", "is not a CIDR", id="a leading zero"),
        pytest.param("10.200.0.0/24/8", "is not a CIDR", id="two lengths"),
        pytest.param("fe80::%eth0/64", "is not a CIDR", id="a scope"),
        pytest.param("10.0.0.0/" + "9" * 5000, "is not a CIDR", id="an endless length"),
        pytest.param(
            "10.200.9.77/24",
            "has host bits set; its network is 10.200.9.0/24",
            id="host bits in IPv4",
        ),
        pytest.param(
            "fd00::1/64",
            "has host bits set; its network is fd00::/64",
            id="host bits in IPv6",
        ),
    ],
)
def test_text_that_ec2_would_not_store_is_not_a_network(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}") as caught:
        parse_network(text)

    assert caught.value.__context__ is None


def test_a_network_is_written_as_ec2_writes_it() -> None:
    assert str(parse_network("FD00:0200:0:0::/64")) == "fd00:200::/64"


def test_containment_is_within_one_family() -> None:
    wide, narrow, six, every_six = networks(
        "10.0.0.0/8", "10.1.0.0/16", "fd00::/64", "::/0"
    )

    assert contains(wide, narrow)
    assert contains(wide, wide)
    assert not contains(narrow, wide)
    assert not contains(wide, six)
    assert not contains(every_six, wide)


def test_networks_sort_by_family_address_and_length() -> None:
    ordered = networks(
        "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.0.1.0/24", "::/0", "fd00::/64"
    )
    shuffled = random.Random(1).sample(ordered, len(ordered))  # noqa: S311

    assert tuple(sorted(shuffled, key=in_address_order)) == ordered


def test_keys_sort_by_table_then_by_destination_with_prefix_lists_last() -> None:
    ordered = [
        key("9.0.0.0/8"),
        key("10.200.2.0/24"),
        key("10.200.10.0/24"),
        key("fd00:200::/64"),
        key("fd00:200:0:1::/64"),
        key("pl-1"),
        key("pl-2"),
        key("9.0.0.0/8", "rtb-2"),
    ]
    shuffled = random.Random(1).sample(ordered, len(ordered))  # noqa: S311

    assert sorted(shuffled) == ordered


def test_static_routes_are_those_that_a_create_would_collide_with() -> None:
    first = table(
        route("10.200.0.0/24"),
        route("10.200.1.0/24", "vgw-1", origin="EnableVgwRoutePropagation"),
        route("pl-1", "vpce-1"),
    )
    second = table(id="rtb-2")

    assert static_routes([first, second]) == {
        RouteKey("rtb-1", INTERNET.destination): INTERNET,
        key("10.200.0.0/24"): route("10.200.0.0/24"),
        key("pl-1"): route("pl-1", "vpce-1"),
        RouteKey("rtb-2", INTERNET.destination): INTERNET,
    }


@pytest.mark.parametrize(
    ("cidr", "import_id"),
    [
        pytest.param("10.200.0.0/24", "rtb-1_10.200.0.0/24", id="IPv4"),
        pytest.param("fd00:200::/64", "rtb-1_fd00:200::/64", id="IPv6"),
    ],
)
def test_a_route_is_identified_by_its_table_and_destination(
    cidr: str, import_id: str
) -> None:
    assert pod_route(cidr).key.import_id == import_id


@pytest.mark.parametrize("destination", ["10.200.0.0/24", "fd00:200::/64", "pl-1"])
def test_a_key_is_parsed_from_its_import_id(destination: str) -> None:
    parsed = RouteKey.parse(f"rtb-1_{destination}")

    assert parsed == key(destination)
    assert parsed.import_id == f"rtb-1_{destination}"
    assert str(parsed) == f"rtb-1 {destination}"


def test_the_label_of_a_nameless_worker_is_its_id_alone() -> None:
    assert worker(1).label == "worker-1 (i-1)"
    assert worker(1, name="i-1").label == "i-1"
