"""User data as EC2 returns it, and the message for each mistake in it."""

from __future__ import annotations

import base64
import codecs
import gzip
import hashlib
import textwrap
import time
import zlib
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from ipaddress import ip_network
from pathlib import Path

import pytest

from routes.aws import userdata
from routes.cache import PARSER
from routes.errors import UserDataError
from tests.builders import networks

LAB = b"name=worker-0|pod-cidr=10.200.0.0/24"
EXPECTED = networks("10.200.0.0/24")


def read(data: bytes, key: str = "pod-cidr") -> tuple[object, ...]:
    return userdata.from_user_data(base64.b64encode(data).decode(), key)


def multipart(*parts: MIMEText | MIMEApplication) -> bytes:
    message = MIMEMultipart()
    for part in parts:
        message.attach(part)
    return message.as_bytes()


HIDING = multipart(MIMEText("# é\n" + LAB.decode()))
"""The field is in a base64 part: only a MIME parser can read it."""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(LAB, id="the lab's"),
        pytest.param(LAB + b"\n", id="a line break at the end"),
        pytest.param(b"pod-cidr=10.200.0.0/24|name=worker-0", id="another order"),
        pytest.param(b"name=worker-0\npod-cidr=10.200.0.0/24\n", id="lines"),
        pytest.param(b"name=w\r\npod-cidr=10.200.0.0/24\r\nx=1", id="CRLF"),
        pytest.param(b"name=w | pod-cidr = 10.200.0.0/24 | x", id="spaces around"),
        pytest.param(b"a|\tpod-cidr=10.200.0.0/24\t", id="tabs around"),
        pytest.param(
            b"pod-cidr=10.200.0.0/24|pod-cidr-v6=fd00::/64|my-pod-cidr=10.9.0.0/24",
            id="keys that contain the key",
        ),
        pytest.param(b"#pod-cidr=10.9.0.0/24\n" + LAB, id="a comment beside it"),
        pytest.param(b"pod-cidr\n" + LAB, id="the key without a value beside it"),
        pytest.param(b"Pod-CIDR=10.9.0.0/24\n" + LAB, id="case counts"),
        pytest.param(b"pod-cidr=10.200.0.0/24=x", id="up to a second equals sign"),
        pytest.param(b"pod-cidr=10.200.0.0/24=x=y=z", id="and not to the last one"),
        pytest.param(b"\xff\xfe\x00|" + LAB, id="bytes that aren't text beside it"),
        pytest.param(
            b"  pod-cidr=10.9.0.0/24\n" + LAB, id="an indented one is not counted"
        ),
        pytest.param(gzip.compress(LAB), id="gzip"),
        pytest.param(multipart(MIMEText(LAB.decode())), id="MIME"),
        pytest.param(
            multipart(MIMEText("#!/bin/sh\n"), MIMEText("# é\n" + LAB.decode())),
            id="MIME with base64 in its second part",
        ),
        pytest.param(gzip.compress(multipart(MIMEText(LAB.decode()))), id="MIME in it"),
        pytest.param(
            multipart(MIMEApplication(gzip.compress(LAB), "gzip")), id="gzip in MIME"
        ),
        *(
            pytest.param(before + HIDING, id=f"{what} before MIME")
            for what, before in (
                ("an empty line", b"\n"),
                ("a byte order mark", codecs.BOM_UTF8),
                ("an envelope line", b"From nobody Thu Nov 26 10:00:00 2026\n"),
                ("other headers", b"Subject: workers\nX-Made-By: a tool\n of ours\n"),
                ("a line of anything", b"made by a tool\n"),
                ("a header that names it", b"Subject: mime-version: 1\n"),
            )
        ),
        pytest.param(
            multipart(
                MIMEApplication(b"\x1f\x8bbroken", "gzip"), MIMEText("é" + LAB.decode())
            ),
            id="MIME with a part of broken gzip before the field",
        ),
        pytest.param(
            gzip.compress(b"name=w\n") + gzip.compress(LAB), id="gzip of two members"
        ),
        pytest.param(
            b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n"
            b"pod-cidr=10.200.0.0/24\n\n--b\n\nhello\n--b--\n",
            id="a field among the headers of MIME",
        ),
        pytest.param(
            b"Content-Type: text/plain\npod-cidr=10.200.0.0/24\n\n pod-cidr=10.9.0.0/8",
            id="a field among the headers wins over an indented one",
        ),
        pytest.param(
            b"Content-Type: multipart/mixed; boundary*=a; boundary*0=b\n\n" + LAB,
            id="MIME with broken parameters",
        ),
        pytest.param(
            b"Content-Type: multipart/mixed; boundary*=idna'en'%ffb\n\n" + LAB,
            id="MIME with a boundary that cannot be decoded",
        ),
        pytest.param(
            multipart(MIMEApplication(b"\x1f\x8bbroken", "gzip"))
            + b"\npod-cidr=10.200.0.0/24\n",
            id="MIME with broken gzip beside the field",
        ),
    ],
)
def test_one_field_of_that_name_is_read(data: bytes) -> None:
    assert read(data) == EXPECTED


def test_quoted_printable_is_decoded() -> None:
    message = EmailMessage()
    message.set_content("pod-cidr=10.200.0.0/24\n", cte="quoted-printable")
    message.make_mixed()

    assert b"pod-cidr=3D10" in message.as_bytes()
    assert read(message.as_bytes()) == EXPECTED


def test_base64_may_be_broken_into_lines() -> None:
    text = "\r\n".join(textwrap.wrap(base64.b64encode(LAB).decode(), 16))

    assert userdata.from_user_data(text, "pod-cidr") == EXPECTED


def test_the_stack_configures_the_key() -> None:
    assert read(b"pods=10.200.0.0/24|pod-cidr=10.9.0.0/24", "pods") == EXPECTED


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("10.200.0.0/24,fd00:200::/64", id="IPv4 first"),
        pytest.param("fd00:200::/64 , 10.200.0.0/24", id="IPv6 first, and spaces"),
    ],
)
def test_one_network_per_family_may_be_given(value: str) -> None:
    both = (ip_network("10.200.0.0/24"), ip_network("fd00:200::/64"))

    assert read(f"pod-cidr={value}".encode()) == both
    assert userdata.from_tag(value, "pod-cidr") == both


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "it has no user data.", id="none"),
        pytest.param(b" \n", "it has no user data.", id="only space"),
        pytest.param(
            b"\xff\xfe\x00", "its user data is not UTF-8 text.", id="not text"
        ),
        pytest.param(b"name=w", "its user data holds no pod-cidr=.", id="no such key"),
        pytest.param(
            base64.encodebytes(LAB),
            "its user data is base64-encoded twice. EC2's tools encode it, so pass"
            " plain text.",
            id="base64 in base64",
        ),
        pytest.param(
            base64.b64encode(gzip.compress(LAB)),
            "its user data is base64-encoded twice. EC2's tools encode it, so pass"
            " plain text.",
            id="gzip in base64 in base64",
        ),
        pytest.param(
            LAB.decode().encode("utf-16"),
            "its user data is UTF-16 text; save it as UTF-8.",
            id="UTF-16",
        ),
        pytest.param(
            codecs.BOM_UTF8 + b"pod-cidr=10.200.0.0/24",
            "its user data has an invisible character at pod-cidr=, U+FEFF (zero"
            " width no-break space).",
            id="a byte order mark before the key",
        ),
        pytest.param(
            "pod\u00ad-cidr\u00a0=10.200.0.0/24".encode(),
            "its user data has an invisible character at pod-cidr=, U+00AD (soft"
            " hyphen).",
            id="a soft hyphen in the key",
        ),
        pytest.param(
            LAB.decode().encode("utf-16-le"),
            "its user data is UTF-16 text; save it as UTF-8.",
            id="UTF-16 without a byte order mark",
        ),
        pytest.param(
            base64.b64encode(LAB).rstrip(b"="),
            "its user data is base64-encoded twice. EC2's tools encode it, so pass"
            " plain text.",
            id="base64 in base64 without its padding",
        ),
        pytest.param(
            "name=w|\u200bpod-cidr=10.200.0.0/24".encode(),
            "its user data has an invisible character at pod-cidr=, U+200B (zero"
            " width space).",
            id="a space of no width before the key",
        ),
        pytest.param(
            b"name=w\rpod-cidr=10.200.0.0/24\r",
            "its user data has an invisible character at pod-cidr=, U+000D (a"
            " control character).",
            id="lines that end in carriage returns alone",
        ),
        pytest.param(
            "pod-cidr=10.200.0.0/24\u00a0".encode(),
            "the value of pod-cidr has an invisible character, U+00A0 (no-break"
            " space).",
            id="a no-break space in the value",
        ),
        pytest.param(
            b"pod-cidr-v6=fd00::/64",
            "its user data holds no pod-cidr=.",
            id="a longer key, which grep would match",
        ),
        pytest.param(
            b"pod-cidr", "its user data holds no pod-cidr=.", id="no equals sign"
        ),
        pytest.param(
            LAB + b"|pod-cidr=10.200.0.0/24",
            "its user data holds pod-cidr 2 times.",
            id="the key twice",
        ),
        pytest.param(
            multipart(MIMEText(LAB.decode()), MIMEText("é" + LAB.decode())),
            "its user data holds pod-cidr 2 times.",
            id="the key in two parts",
        ),
        pytest.param(
            b"pod-cidr=|x", "the value of pod-cidr is empty.", id="an empty value"
        ),
        pytest.param(
            b"pod-cidr= \r\n", "the value of pod-cidr is empty.", id="a blank value"
        ),
        pytest.param(
            b"pod-cidr=later",
            "the value of pod-cidr is not a CIDR such as 10.200.0.0/24.",
            id="not a CIDR",
        ),
        pytest.param(
            b"pod-cidr=10.200.0.0/24\xff",
            "the value of pod-cidr is not a CIDR such as 10.200.0.0/24.",
            id="bytes that aren't text in the value",
        ),
        pytest.param(
            b"pod-cidr=10.200.0.0/24,",
            "the value of pod-cidr is not a CIDR such as 10.200.0.0/24.",
            id="an extra comma",
        ),
        pytest.param(
            b"pod-cidr=10.200.9.77/24",
            "the value of pod-cidr has host bits set; its network is 10.200.9.0/24.",
            id="host bits",
        ),
        pytest.param(
            b"pod-cidr=10.200.0.0/24,10.200.1.0/24",
            "the value of pod-cidr holds two CIDRs of one IP family.",
            id="two of one family",
        ),
        pytest.param(
            multipart(
                MIMEApplication(gzip.compress(bytes(600_000))),
                MIMEApplication(gzip.compress(bytes(600_000) + b"\n" + LAB)),
            ),
            "its user data holds no pod-cidr=.",
            id="MIME whose parts grow too large together",
        ),
        pytest.param(
            b"\x1f\x8bno gzip", "its user data is not valid gzip.", id="broken gzip"
        ),
        pytest.param(
            gzip.compress(LAB * 99)[:-9],
            "its user data is gzip that is cut short, or larger than 1 MiB once"
            " decompressed.",
            id="gzip that is cut short",
        ),
        pytest.param(
            gzip.compress(bytes((1 << 20) + 1) + LAB),
            "its user data is gzip that is cut short, or larger than 1 MiB once"
            " decompressed.",
            id="gzip that grows too large",
        ),
    ],
)
def test_each_mistake_has_its_own_message(data: bytes, reason: str) -> None:
    with pytest.raises(UserDataError) as caught:
        read(data)

    assert str(caught.value) == reason


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("%%%", id="no base64 character"),
        pytest.param("cG9k=LWNpZHI", id="padding inside"),
        pytest.param("cG9kL", id="cut short"),
        pytest.param("cG9kÄ", id="not ASCII"),
    ],
)
def test_invalid_base64_is_reported_as_such(value: str) -> None:
    with pytest.raises(UserDataError, match=r"^its user data is not valid base64\.$"):
        userdata.from_user_data(value, "pod-cidr")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "it has no tag pod-cidr.", id="no tag"),
        pytest.param("", "the value of pod-cidr is empty.", id="an empty tag"),
        pytest.param(
            "pod-cidr=10.200.0.0/24",
            "the value of pod-cidr is not a CIDR such as 10.200.0.0/24.",
            id="the form of user data",
        ),
        pytest.param(
            "10.200.0.1/24",
            "the value of pod-cidr has host bits set; its network is 10.200.0.0/24.",
            id="host bits",
        ),
    ],
)
def test_a_tag_goes_through_the_same_parser(value: str | None, reason: str) -> None:
    with pytest.raises(UserDataError) as caught:
        userdata.from_tag(value, "pod-cidr")

    assert str(caught.value) == reason


HEAD = b'Content-Type: multipart/mixed; boundary="x"'


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEAD + b';"' + b";" * 900_000, id="a header of many parameters"),
        pytest.param(HEAD + b"\n\n" + b"--x\n\n" * 180_000, id="many parts"),
        pytest.param(
            b"".join(
                b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n)
                for n in range(150)
            )
            + b"\n" * 900_000,
            id="many nested parts",
        ),
        pytest.param(HEAD + b"\n\n" + b"\r" * 900_000, id="many empty lines"),
        pytest.param(HEAD + b"\n" + b"a:b\n" * 220_000, id="many headers"),
    ],
)
def test_hostile_mime_is_parsed_in_bounded_time(data: bytes) -> None:
    bomb = gzip.compress(data, zlib.Z_BEST_SPEED)

    start = time.process_time()
    with pytest.raises(UserDataError, match=r"holds no pod-cidr=\.$"):
        read(bomb)

    assert time.process_time() - start < 5


def test_a_parser_with_other_results_is_another_version() -> None:
    """Stacks cache the results of a version.

    After a change that parses any user data differently, raise PARSER; then, as after
    any other change, set the digest.
    """
    digest = hashlib.sha256(Path(userdata.__file__).read_bytes()).hexdigest()

    assert (PARSER, digest[:12]) == (2, "3782ccb859b3")


def test_many_invisible_characters_are_parsed_in_bounded_time() -> None:
    every = [chr(n) for n in (*range(1, 32), *range(127, 160), *range(0x200B, 0x2070))]
    bomb = gzip.compress(("x".join(every) * 9_000)[:500_000].encode())

    start = time.process_time()
    with pytest.raises(UserDataError, match="holds no pod-cidr="):
        read(bomb)

    assert time.process_time() - start < 5
