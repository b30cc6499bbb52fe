"""Incomplete and outdated answers of EC2, made from the correct ones."""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
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
"""A proxy's answer in place of AWS's; like most HTML, it isn't well-formed XML."""


def leave_out(
    answer: Response, *, unlisted: Collection[str], bare: Collection[str]
) -> None:
    """Remove instances from DescribeInstances' answer, or their interfaces.

    A list may lack rows that a smaller one has: aws/aws-sdk-js, issue 704. "When
    launching large numbers of instances, DescribeInstances may return instances with
    missing PrivateIpAddress" (aws/aws-parallelcluster-node, pull request 692).
    """
    if not unlisted and not bare:
        return
    root = _parsed(answer)
    reservations = _child(root, "reservationSet")
    for reservation in list(reservations):
        instances = _child(reservation, "instancesSet")
        for instance in list(instances):
            instance_id = instance.findtext("{*}instanceId")
            if instance_id in unlisted:
                instances.remove(instance)
            elif instance_id in bare:
                instance.remove(_child(instance, "networkInterfaceSet"))
        if not len(instances):
            reservations.remove(reservation)
    _rewrite(answer, root)


def all_tables(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request for every route table, with the credentials of `environ`."""
    body = urlencode({"Action": "DescribeRouteTables", "Version": _API}).encode()
    return {
        **environ,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
    }


class History:
    """The routes of one region's tables after each change.

    "The Amazon EC2 API follows an eventual consistency model [...]. This means that the
    result of an API command you run that affects your Amazon EC2 resources might not be
    immediately visible to all subsequent commands you run" (EC2 Developer Guide,
    "Eventual consistency in the Amazon EC2 API").

    "CreateRoute was succeeding but the very next DescribeRouteTables was not listing
    the new route" (hashicorp/terraform, pull request 7463).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: deque[tuple[float, Mapping[str, ET.Element]]] = deque()

    def record(self, tables: Response, keep: float) -> None:
        """Record the tables before a change, and keep `keep` seconds of the history."""
        now = time.monotonic()
        with self._lock:
            self._before.append((now, _tables(_parsed(tables))))
            while self._before[0][0] < now - keep:
                self._before.popleft()

    def put_back(self, answer: Response, seconds: float) -> None:
        """Put the routes of `seconds` ago into DescribeRouteTables' answer.

        Tables that did not exist then are left out.
        """
        then = time.monotonic() - seconds
        with self._lock:
            old = next((tables for until, tables in self._before if until > then), None)
        if old is None:
            return
        root = _parsed(answer)
        for table_id, table in _tables(root).items():
            if table_id in old:
                _child(table, "routeSet")[:] = _child(old[table_id], "routeSet")[:]
            else:
                _child(root, "routeTableSet").remove(table)
        _rewrite(answer, root)


def _tables(root: ET.Element) -> dict[str, ET.Element]:
    return {
        table.findtext("{*}routeTableId", ""): table
        for table in root.findall("{*}routeTableSet/{*}item")
    }


def _child(element: ET.Element, name: str) -> ET.Element:
    child = element.find(f"{{*}}{name}")
    if child is None:
        raise LookupError(f"{element.tag} has no {name}")
    return child


def _parsed(answer: Response) -> ET.Element:
    return ET.fromstring(answer.get_data())  # noqa: S314 - moto's own answer


def _rewrite(answer: Response, root: ET.Element) -> None:
    answer.set_data(ET.tostring(root, encoding="utf-8", xml_declaration=True))
