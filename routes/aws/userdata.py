"""Parse pod CIDRs in user data. Nothing else of user data leaves this module."""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata
import zlib
from collections.abc import Sequence
from contextlib import suppress
from email import message_from_bytes
from typing import Final

from routes.errors import UserDataError
from routes.networks import Network, in_address_order, parse_network
from routes.text import visible

_GZIP: Final = b"\x1f\x8b"
_SIZE_LIMIT: Final = 1 << 20
"""Bytes after decompression; EC2 takes 16 KB before it (EC2 User Guide, "Run commands
when you launch an EC2 instance with user data input")."""
_HEADER: Final = rb"[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*"
_MIME: Final = re.compile(
    rb"^(?:" + _HEADER + rb")*mime-version\s*:|\A\s*content-type\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_MIME_HEAD: Final = 4096
"""Bytes in which cloud-init looks for MIME-Version (cloudinit/user_data.py,
`convert_string`); before it may be an envelope, other headers, a byte order mark."""
_BOUNDARY: Final = re.compile(rb"[\r\n]--")
_CONTENT_TYPE: Final = re.compile(
    rb"(?:^|[\r\n])content-type:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE
)
_BOUNDARY_LIMIT: Final = 1000
_HEADER_LIMIT: Final = 998
"""Bytes (RFC 5322, 2.1.1)."""
_UNUSUAL: Final = re.compile(r"[^\n\t -~]")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_SHORTEST_BASE64: Final = 16
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NESTING_LIMIT: Final = 8
"""MIME entities that hold others; cloud-init's own tools write one."""


def from_user_data(value: str, key: str) -> tuple[Network, ...]:
    """Return the pod CIDRs in DescribeInstanceAttribute's answer, base64 text.

    Plain text, gzip, and MIME multipart with parts of either kind are read; fields are
    `key=value`, separated by `|` or newlines. Fields in parts win over the text
    around the parts, and a field at the start of its line over an indented one.

    Raises:
        UserDataError: there is not exactly one usable field of that name.
    """
    data = _decoded(value)
    if data is None:
        raise UserDataError("its user data is not valid base64.")
    if not data.strip():
        raise UserDataError("it has no user data.")
    text = _decompressed(data, _SIZE_LIMIT)
    parts = _parts(text)
    readings = (
        _values(texts, key, indented=indented)
        for indented in (False, True)
        for texts in (parts, [text])
    )
    values = next(filter(None, readings), [])
    if len(values) > 1:
        raise UserDataError(f"its user data holds {key} {len(values)} times.")
    if not values:
        raise UserDataError(_why_none([*parts, text], key))
    value = values[0].decode(errors="replace").strip(" \t\r")
    if unseen := _invisible(value):
        raise UserDataError(
            f"the value of {key} has an invisible character, {_name(unseen)}."
        )
    return _from_value(value, key)


def from_tag(value: str | None, key: str) -> tuple[Network, ...]:
    """Return the pod CIDRs in the value of an instance's tag, None if it has none.

    Raises:
        UserDataError: the tag is missing, empty, or not one or two CIDRs.
    """
    if value is None:
        raise UserDataError(f"it has no tag {key}.")
    return _from_value(value, key)


def _decoded(value: str) -> bytes | None:
    """Return None if the text is not base64: an exception would quote it."""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return None


def _why_none(texts: Sequence[bytes], key: str) -> str:
    """Explain why there is no key, if an editor would not show the reason."""
    for text in texts:
        if _is_utf16(text):
            return "its user data is UTF-16 text; save it as UTF-8."
        if _is_base64(text):
            return (
                "its user data is base64-encoded twice. EC2's tools encode it, so pass"
                " plain text."
            )
        for field in re.split(r"[|\n]", text.decode(errors="replace")):
            unseen = _invisible(field)
            if not unseen:
                continue
            plain = _UNUSUAL.sub(lambda m: "" if _invisible(m[0]) else m[0], field)
            lines = field.split("\r") if unseen == "\r" else [plain]
            if any(each.strip().startswith(f"{key}=") for each in lines):
                return (
                    f"its user data has an invisible character at {key}=,"
                    f" {_name(unseen)}."
                )
    if not all(map(_is_utf8, texts)):
        return "its user data is not UTF-8 text."
    return f"its user data holds no {key}=."


def _invisible(text: str) -> str:
    """Return the first character that an editor does not show, "" if there is none."""
    return next(
        (
            each[0]
            for each in _UNUSUAL.finditer(text)
            if visible(each[0]) != each[0] or each[0].isspace()
        ),
        "",
    )


def _is_utf16(text: bytes) -> bool:
    """Return whether it is UTF-16, where every other byte of ASCII text is null."""
    nulls = len(text) // 4 < text.count(0) < len(text) * 3 // 5
    return len(text) % 2 == 0 and (nulls or text.startswith(_UTF16))


def _is_base64(text: bytes) -> bool:
    """Return whether the whole text is base64 of text or gzip."""
    characters = b"".join(text.split())
    if len(characters) < _SHORTEST_BASE64 or not _BASE64.fullmatch(characters):
        return False
    padded = characters + b"=" * (-len(characters) % 4)
    decoded = _decoded(padded.decode()) or b"\xff"
    return decoded.startswith(_GZIP) or _is_utf8(decoded)


def _name(character: str) -> str:
    name = unicodedata.name(character, "a control character").lower()
    return f"U+{ord(character):04X} ({name})"


def _parts(text: bytes) -> list[bytes]:
    """Return the body of each MIME part; none if the text is not usable MIME.

    cloud-init parses it from its beginning. If that gives no parts, it is parsed from
    the first header on.
    """
    text = text.removeprefix(codecs.BOM_UTF8).lstrip()
    header = _MIME.search(text[:_MIME_HEAD])
    if not header and b"mime-version:" not in text[:_MIME_HEAD].lower():
        return []
    bodies, has_parts = _bodies(text)
    if not has_parts and header:
        bodies, _ = _bodies(text[header.start() :].lstrip())
    return bodies


def _bodies(text: bytes) -> tuple[list[bytes], bool]:
    """Return the bodies of one MIME message, and whether it has several parts.

    The email package takes quadratic time over long headers and deep nesting, and
    raises exceptions of many kinds over broken ones.
    """
    types = _CONTENT_TYPE.findall(text)
    holders = [kind for kind in types if re.search(rb"(?i)(multipart|message)/", kind)]
    if (
        len(holders) > _NESTING_LIMIT
        or max(map(len, types), default=0) > _HEADER_LIMIT
        or len(_BOUNDARY.findall(text)) > _BOUNDARY_LIMIT
    ):
        return [], False
    bodies: list[bytes] = []
    try:
        message = message_from_bytes(text)
        for part in message.walk():
            body = part.get_payload(decode=True)
            if isinstance(body, bytes):
                left = _SIZE_LIMIT - sum(map(len, bodies))
                with suppress(UserDataError):  # the others may have the field
                    bodies.append(_decompressed(body, left))
        return bodies, message.is_multipart()
    except Exception:  # noqa: BLE001 - the email package has no base class of its own
        return [], False


def _decompressed(data: bytes, limit: int) -> bytes:
    if not data.startswith(_GZIP):
        return data
    text = b""
    while data:
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            text += stream.decompress(data, max(limit - len(text), 1))
        except zlib.error:
            raise UserDataError("its user data is not valid gzip.") from None
        if not stream.eof or len(text) > limit:
            raise UserDataError(
                f"its user data is gzip that is cut short, or larger than"
                f" {_SIZE_LIMIT >> 20} MiB once decompressed."
            )
        data = stream.unused_data.lstrip(b"\0")
    return text


def _values(texts: list[bytes], key: str, *, indented: bool) -> list[bytes]:
    """Return the values of the fields of that name, each up to a second `=`.

    Args:
        texts: what to look in.
        key: the name, matched whole.
        indented: whether fields with space before their name count as well.
    """
    expected = key.encode()
    fields = [
        field.split(b"=", 2)
        for text in texts
        for field in re.split(rb"[|\n]", text)
        if b"=" in field
    ]
    return [
        value
        for name, value, *_ in fields
        if name.strip() == expected and (indented or name.startswith(expected))
    ]


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _from_value(value: str, key: str) -> tuple[Network, ...]:
    """Read one IPv4 CIDR, one IPv6 CIDR, or one of each with a comma between them."""
    if not value.strip():
        raise UserDataError(f"the value of {key} is empty.")
    try:
        networks = [parse_network(part.strip()) for part in value.split(",")]
    except ValueError as error:
        raise UserDataError(f"the value of {key} {error}.") from None
    if len({network.version for network in networks}) < len(networks):
        raise UserDataError(f"the value of {key} holds two CIDRs of one IP family.")
    return tuple(sorted(networks, key=in_address_order))
