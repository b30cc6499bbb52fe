"""EC2's request throttling: a token bucket for each action.

Sizes and refills are those of the EC2 Developer Guide, "Request throttling".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Bucket:
    """The tokens that a bucket holds, and those that it gains each second."""

    size: float
    refill: float


_NON_MUTATING: Final = Bucket(100, 20)
_MUTATING: Final = Bucket(50, 5)
_UNFILTERED: Final = Bucket(50, 10)
_OFTEN_UNFILTERED: Final = {
    "DescribeInstanceStatus",
    "DescribeInstances",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSnapshots",
    "DescribeSpotInstanceRequests",
    "DescribeVolumes",
}
"""Actions with a smaller bucket for requests without a filter and MaxResults."""
_OWN: Final = {
    "CreateNetworkInterface": Bucket(100, 5),
    "CreateTags": Bucket(100, 10),
    "DeleteNetworkInterface": Bucket(100, 5),
    "DeleteTags": Bucket(100, 10),
    "ModifyNetworkInterfaceAttribute": Bucket(100, 5),
    "RunInstances": Bucket(5, 2),
    "StartInstances": Bucket(5, 2),
    "TerminateInstances": Bucket(100, 5),
}
"""The "uncategorized" actions that tests and the lab use."""


class Throttle:
    """The buckets of one account in one region, full at first."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, Bucket], tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, action: str, parameters: Iterable[str]) -> bool:
        """Take a token for one request; return False if there is none."""
        bucket = _bucket(action, parameters)
        now = time.monotonic()
        with self._lock:
            left, since = self._left.get((action, bucket), (bucket.size, now))
            left = min(bucket.size, left + (now - since) * bucket.refill)
            granted = left >= 1
            self._left[action, bucket] = (left - granted, now)
        return granted


def _bucket(action: str, parameters: Iterable[str]) -> Bucket:
    if action in _OWN:
        return _OWN[action]
    if not action.startswith(("Describe", "Get", "List", "Search")):
        return _MUTATING
    limited = any(name.startswith(("Filter.", "MaxResults")) for name in parameters)
    if action in _OFTEN_UNFILTERED and not limited:
        return _UNFILTERED
    return _NON_MUTATING
