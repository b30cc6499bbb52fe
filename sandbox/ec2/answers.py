"""Answers of EC2 that are not the truth, made from the true ones.

"The Amazon EC2 API follows an eventual consistency model [...]. This means that the
result of an API command you run that affects your Amazon EC2 resources might not be
immediately visible to all subsequent commands you run" (EC2 Developer Guide, "Eventual
consistency in the Amazon EC2 API").
"""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from werkzeug import Response

_API: Final = "2016-11-15"
_XMLNS: Final = f"http://ec2.amazonaws.com/doc/{_API}/"
ET.register_namespace("", _XMLNS)

LOGIN_PAGE: Final = """\
<!DOCTYPE html>
<html><head><title>Sign in</title><meta charset="utf-8"></head>
<body><h1>Sign in to use the network</h1><form method="post"><input name="user"><br>
<input name="password" type="password"></form></body></html>
"""
"""What a proxy answers in AWS's place; like most HTML, it is no well-formed XML."""


def leave_out(
    answer: Response, *, unlisted: Collection[str], bare: Collection[str]
) -> None:
    """Drop rows from DescribeInstances' answer, or network interfaces from rows.

    A list misses rows that a smaller one has: aws/aws-sdk-js, issue 704. "When
    launching large numbers of instances, DescribeInstances may return instances with
    missing PrivateIpAddress" (aws/aws-parallelcluster-node, pull request 692).
    """
    if not unlisted and not bare:
        return
    root = _parsed(answer)
    reservations = _child(root, "reservationSet")
    for reservation in list(reservations):
        rows = _child(reservation, "instancesSet")
        for row in list(rows):
            instance = row.findtext("{*}instanceId")
            if instance in unlisted:
                rows.remove(row)
            elif instance in bare:
                row.remove(_child(row, "networkInterfaceSet"))
        if not len(rows):
            reservations.remove(reservation)
    answer.set_data(_text(root))


def all_tables(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request for every route table, as the caller of `environ`."""
    body = urlencode({"Action": "DescribeRouteTables", "Version": _API}).encode()
    return {
        **environ,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
    }


class Past:
    """The routes of one region's tables, as they were after each change.

    "CreateRoute was succeeding but the very next DescribeRouteTables was not listing
    the new route" (hashicorp/terraform, pull request 7463).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, Mapping[str, ET.Element]]] = deque()

    def begin(self, tables: Callable[[], Response]) -> None:
        """Record what there is, if nothing is recorded yet."""
        with self._lock:
            if not self._seen:
                self._record(tables)

    def record(self, tables: Callable[[], Response], keep: float) -> None:
        """Record what a change has led to; forget what is older than `keep` seconds."""
        with self._lock:
            self._record(tables)
            while len(self._seen) > 1 and self._seen[1][0] <= time.monotonic() - keep:
                self._seen.popleft()

    def _record(self, tables: Callable[[], Response]) -> None:
        root = _parsed(tables())
        self._seen.append((time.monotonic(), _tables(root)))

    def put_back(self, answer: Response, seconds: float) -> None:
        """Give DescribeRouteTables' answer the routes of so many seconds ago.

        Tables that did not exist then are left out.
        """
        with self._lock:
            then = time.monotonic() - seconds
            known = [tables for since, tables in self._seen if since <= then]
            before = known[-1] if known else self._seen[0][1]
        root = _parsed(answer)
        for name, table in _tables(root).items():
            if name in before:
                _child(table, "routeSet")[:] = _child(before[name], "routeSet")[:]
            else:
                _child(root, "routeTableSet").remove(table)
        answer.set_data(_text(root))


def _tables(root: ET.Element) -> dict[str, ET.Element]:
    return {
        table.findtext("{*}routeTableId", ""): table
        for table in root.findall("{*}routeTableSet/{*}item")
    }


def _child(element: ET.Element, name: str) -> ET.Element:
    found = element.find(f"{{*}}{name}")
    if found is None:
        raise LookupError(f"expected a {name} in {element.tag}, found none")
    return found


def _parsed(answer: Response) -> ET.Element:
    return ET.fromstring(answer.get_data())  # noqa: S314 - moto's answer, no stranger's


def _text(root: ET.Element) -> bytes:
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text
