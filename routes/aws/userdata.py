"""EC2 user data to pod CIDRs. Nothing else of user data leaves this module."""

from __future__ import annotations

import base64
import re
import zlib
from email import message_from_bytes
from typing import Final

from routes.errors import UserDataError
from routes.networks import Network, in_address_order, parse_network

_GZIP: Final = b"\x1f\x8b"
_SIZE_LIMIT: Final = 1 << 20
"""Bytes after decompression. Before it EC2 takes 16 KB (EC2 User Guide, "Run commands
when you launch an EC2 instance with user data input")."""
_MIME: Final = re.compile(rb"(?:content-type|mime-version)\s*:", re.IGNORECASE)
_BOUNDARY: Final = re.compile(rb"[\r\n]--")
_CONTENT_TYPE: Final = re.compile(
    rb"(?:^|[\r\n])content-type:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE
)
_BOUNDARY_LIMIT: Final = 1000
_HEADER_LIMIT: Final = 998
"""Bytes (RFC 5322, 2.1.1)."""
_NESTING_LIMIT: Final = 8
"""MIME entities that hold others; cloud-init's own tools write one."""


def from_user_data(value: str, key: str) -> tuple[Network, ...]:
    """Return the pod CIDRs in what DescribeInstanceAttribute answers, base64 text.

    Plain text, gzip, and MIME multipart with parts of either kind are read; fields are
    `key=value`, separated by `|` or newlines. What parts hold wins over the text around
    them, and a field at the start of its line over one with space before its name.

    Raises:
        UserDataError: there is not exactly one usable field of that name.
    """
    data = _decoded(value)
    if data is None:
        raise UserDataError("its user data is not valid base64.")
    if not data.strip():
        raise UserDataError("it has no user data.")
    text = _decompressed(data, _SIZE_LIMIT)
    parts = _parts(text.lstrip())
    readings = (
        _values(texts, key, indented=indented)
        for indented in (False, True)
        for texts in (parts, [text])
    )
    values = next(filter(None, readings), [])
    if len(values) > 1:
        raise UserDataError(f"its user data holds {key} {len(values)} times.")
    if not values and not _is_utf8(text):
        raise UserDataError("its user data is not UTF-8 text.")
    if not values:
        raise UserDataError(f"its user data holds no {key}=.")
    return _from_value(values[0].decode("ascii", "replace"), key)


def from_tag(value: str | None, key: str) -> tuple[Network, ...]:
    """Return the pod CIDRs in the value of an instance's tag, None where it has none.

    Raises:
        UserDataError: the tag is missing, empty, or not one or two CIDRs.
    """
    if value is None:
        raise UserDataError(f"it has no tag {key}.")
    return _from_value(value, key)


def _decoded(value: str) -> bytes | None:
    """Return None where the text is not base64: an exception would quote it."""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return None


def _parts(text: bytes) -> list[bytes]:
    """Return the body of each MIME part; none where the text is not sane MIME.

    The email package takes quadratic time over long headers and deep nesting, and
    raises exceptions of many kinds over broken ones.
    """
    types = _CONTENT_TYPE.findall(text)
    holders = [kind for kind in types if re.search(rb"(?i)(multipart|message)/", kind)]
    if (
        not _MIME.match(text)
        or len(holders) > _NESTING_LIMIT
        or max(map(len, types), default=0) > _HEADER_LIMIT
        or len(_BOUNDARY.findall(text)) > _BOUNDARY_LIMIT
    ):
        return []
    bodies: list[bytes] = []
    try:
        for part in message_from_bytes(text).walk():
            body = part.get_payload(decode=True)
            if isinstance(body, bytes):
                left = _SIZE_LIMIT - sum(map(len, bodies))
                bodies.append(_decompressed(body, left))
    except Exception:  # noqa: BLE001 - the email package has no base class of its own
        return []
    return bodies


def _decompressed(data: bytes, limit: int) -> bytes:
    if not data.startswith(_GZIP):
        return data
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = stream.decompress(data, max(limit, 1))
    except zlib.error:
        raise UserDataError("its user data is not valid gzip.") from None
    if not stream.eof:
        raise UserDataError(
            f"its user data is gzip that is cut short, or larger than"
            f" {_SIZE_LIMIT >> 20} MiB once decompressed."
        )
    return text


def _values(texts: list[bytes], key: str, *, indented: bool) -> list[bytes]:
    """Return the values of the fields of that name, each up to a second `=`.

    Args:
        texts: what to look in.
        key: the name, matched whole.
        indented: whether fields with space before their name count as well.
    """
    wanted = key.encode()
    fields = [
        field.split(b"=", 2)
        for text in texts
        for field in re.split(rb"[|\n]", text)
        if b"=" in field
    ]
    return [
        value
        for name, value, *_ in fields
        if name.strip() == wanted and (indented or name.startswith(wanted))
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
