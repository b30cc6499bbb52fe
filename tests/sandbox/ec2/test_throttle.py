"""The sizes of EC2's token buckets."""

from __future__ import annotations

import pytest

from sandbox.ec2.throttle import Throttle


@pytest.mark.parametrize(
    ("action", "parameters", "size"),
    [
        pytest.param("DescribeRouteTables", [], 100, id="non-mutating"),
        pytest.param(
            "DescribeInstanceAttribute", ["InstanceId"], 100, id="for one instance"
        ),
        pytest.param("DescribeInstances", [], 50, id="without filter and page size"),
        pytest.param("DescribeInstances", ["Filter.1.Name"], 100, id="filtered"),
        pytest.param("DescribeInstances", ["MaxResults"], 100, id="in pages"),
        pytest.param("CreateRoute", ["RouteTableId"], 50, id="mutating"),
        pytest.param("RunInstances", [], 5, id="with a bucket of its own"),
    ],
)
def test_a_burst_is_as_large_as_the_bucket(
    monkeypatch: pytest.MonkeyPatch, action: str, parameters: list[str], size: int
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    throttle = Throttle()

    granted = [throttle.take(action, parameters) for _ in range(150)]

    assert granted == [True] * size + [False] * (150 - size)


def test_tokens_come_back_at_the_refill_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    throttle = Throttle()
    for _ in range(60):
        throttle.take("CreateRoute", [])

    now = 2.0
    granted = [throttle.take("CreateRoute", []) for _ in range(20)]

    assert granted.count(True) == 10
