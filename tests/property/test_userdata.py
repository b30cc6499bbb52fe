"""Laws of user data: what is parsed, as the seed does, and what never leaks."""

from __future__ import annotations

import base64
import gzip
import os
import re
import shutil
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from routes.aws import userdata
from routes.errors import UserDataError
from routes.networks import Network, parse_network
from tests import strategies
from tests.strategies import KEY

TOO_LARGE = (
    "its user data is gzip that is cut short, or larger than 1 MiB once decompressed."
)
PIPELINE = """base64 --decode | tr "|" "\\n" | grep "^pod-cidr" | cut -d'=' -f2"""
MAX_EXAMPLES = 100_000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 500


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def as_mime(data: bytes) -> bytes:
    message = MIMEMultipart(boundary="=b=")
    message.attach(MIMEText("#!/bin/sh\n"))
    message.attach(MIMEText(data.decode()))
    return message.as_bytes()


@given(
    cidrs=strategies.pod_cidrs,
    before=st.lists(strategies.other_fields, max_size=4),
    after=st.lists(strategies.other_fields, max_size=4),
    separator=st.sampled_from(["|", "\n", "\r\n", " | "]),
    space=st.sampled_from(["", " ", "\t"]),
    form=st.sampled_from(
        [bytes, gzip.compress, as_mime, lambda data: gzip.compress(as_mime(data))]
    ),
)
def test_a_written_field_is_read_in_every_form(  # noqa: PLR0913
    *,
    cidrs: tuple[Network, ...],
    before: list[str],
    after: list[str],
    separator: str,
    space: str,
    form: Callable[[bytes], bytes],
) -> None:
    value = f"{space},{space}".join(map(str, cidrs))
    fields = [*before, f"{space}{KEY}{space}={space}{value}{space}", *after]
    data = form(separator.join(fields).encode())

    assert userdata.from_user_data(encoded(data), KEY) == cidrs


@given(strategies.pod_cidrs)
def test_a_tag_is_read_as_user_data_is(cidrs: tuple[Network, ...]) -> None:
    assert userdata.from_tag(",".join(map(str, reversed(cidrs))), KEY) == cidrs


def seeds_reading(data: bytes) -> str:
    """Return the line, or the lines, that the seed's pipeline prints."""
    result = subprocess.run(
        ["bash", "-c", PIPELINE],
        input=encoded(data).encode(),
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    return result.stdout.decode(errors="replace").removesuffix("\n")


def is_seeds_key(data: bytes) -> bool:
    """Return whether a field has exactly that key, not a longer one."""
    return any(
        field.partition(b"=")[0] == KEY.encode() for field in re.split(rb"[|\n]", data)
    )


def is_hidden_from_the_seed(data: bytes) -> bool:
    """Return whether a base64 part contains the key, perhaps for a second time."""
    return any(
        part["Content-Transfer-Encoding"] == "base64"
        and KEY.encode() in part.get_payload(decode=True)
        for part in message_from_bytes(data).walk()
    )


def read_correctly(data: bytes) -> Network | None:
    """Return the seed's result if it is one network of the right key."""
    if (
        data.startswith(b"\x1f\x8b")
        or not is_seeds_key(data)
        or is_hidden_from_the_seed(data)
    ):
        return None
    try:
        return parse_network(seeds_reading(data))
    except ValueError:
        return None


@pytest.mark.skipif(not shutil.which("bash"), reason="the pipeline needs bash")
@given(st.one_of(strategies.seeds_user_data(), strategies.user_data))
@example(b"name=worker-0|pod-cidr=10.200.0.0/24")
@example(b"name=worker-0\npod-cidr=10.200.0.0/24\n")
@example(b"pod-cidr=10.200.0.0/24=x")
@example(b" pod-cidr=10.9.0.0/24\npod-cidr=10.200.0.0/24")
@example(as_mime(b"pod-cidr=10.200.0.0/24\n"))
@example(as_mime(b"\n") + b"pod-cidr=10.200.0.0/24\n")
@example(b"Content-Type: text/plain\n\npod-cidr=10.200.0.0/24")
@example(
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n--b\n"
    b"pod-cidr=10.200.0.0/24\n"
)
def test_what_the_seeds_pipeline_reads_correctly_is_read_the_same(data: bytes) -> None:
    network = read_correctly(data)
    event("read by the seed" if network else "not read by the seed")

    if network:
        assert userdata.from_user_data(encoded(data), KEY) == (network,)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, its cause and its context."""
    while error:
        yield error
        yield from chain(error.__cause__)
        error = error.__context__


def is_known_message(text: str) -> bool:
    """Return whether a message is one of a fixed set, except for one network."""
    template = re.sub(r"its network is [0-9a-f.:]+/\d+\.?$", "its network is N.", text)
    template = re.sub(r"\d+ times", "N times", template)
    return template in {
        "its user data is not valid base64.",
        "it has no user data.",
        f"its user data holds {KEY} N times.",
        "its user data is not UTF-8 text.",
        f"its user data holds no {KEY}=.",
        "its user data is not valid gzip.",  # whose cause is zlib's "Error -3 ..."
        TOO_LARGE,
        f"it has no tag {KEY}.",
        f"the value of {KEY} is empty.",
        f"the value of {KEY} is not a CIDR such as 10.200.0.0/24.",
        f"the value of {KEY} has host bits set; its network is N.",
        f"the value of {KEY} holds two CIDRs of one IP family.",
        "is not a CIDR such as 10.200.0.0/24",
        "has host bits set; its network is N.",
    } or text.startswith("Error -")


@settings(max_examples=MAX_EXAMPLES)
@given(strategies.hostile_user_data)
def test_arbitrary_bytes_are_networks_or_one_error_that_quotes_no_other_byte(
    data: bytes,
) -> None:
    try:
        read = userdata.from_user_data(encoded(data), KEY)
    except UserDataError as error:
        event(str(error).partition("N")[0][:40])
        for one in chain(error):
            assert is_known_message(str(one)), one
            assert not vars(one)
    else:
        assert 1 <= len(read) <= 2


@settings(max_examples=MAX_EXAMPLES)
@given(st.text())
def test_arbitrary_text_in_place_of_base64_is_not_quoted_either(text: str) -> None:
    for parse in (userdata.from_user_data, userdata.from_tag):
        try:
            parse(text, KEY)
        except UserDataError as error:
            for one in chain(error):
                assert is_known_message(str(one)), one


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(b"\0", id="zeros"),
        pytest.param(b"pod-cidr=\n", id="the key"),
        pytest.param(b"=", id="equals signs"),
        pytest.param(b"|", id="separators"),
        pytest.param(b"pod-cidr=10.0.0.0/8,", id="networks"),
        pytest.param(b"\nContent-Type: multipart/mixed; boundary=b\n--b", id="MIME"),
    ],
)
def test_a_bomb_costs_bounded_time_and_memory(pattern: bytes) -> None:
    bomb = encoded(gzip.compress(pattern * (50_000_000 // len(pattern))))
    tracemalloc.start()
    start = time.process_time()

    with pytest.raises(UserDataError):
        userdata.from_user_data(bomb, KEY)

    assert time.process_time() - start < 2
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
