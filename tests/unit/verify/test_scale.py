"""A thousand workers, a million pairs: within 5 s and 500 MB, with any fault."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sandbox import TOP

CODE = """
import resource, time
from dataclasses import replace
from routes.report.html import render
from routes.verify.header_space import Traffic
from routes.verify.verification import Outcome, verify
from tests.snapshots import lab, pod_cidr, with_group, without_routes

def with_check(worker):
    interface = replace(worker.interface, source_dest_check=True)
    return replace(worker, interface=interface)

snapshot = {change}(lab(1000, subnets=3))
start = time.process_time()
verification = verify(snapshot, Traffic())
seconds = time.process_time() - start
page = render(verification)
assert sum(verification.reachability.pairs) == 1000 * 999
assert verification.outcome is Outcome.{outcome}
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(page))
"""


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        pytest.param("(lambda s: s)", "PASS", id="nothing is broken"),
        pytest.param("with_group(0)", "FAIL", id="a group allows no pods"),
        pytest.param(
            "without_routes(*[str(pod_cidr(n)) for n in range(1000)])",
            "FAIL",
            id="no route exists",
        ),
        pytest.param(
            "(lambda s: replace(s, workers=tuple(map(with_check, s.workers))))",
            "FAIL",
            id="every check is on, so each worker is a group of its own",
        ),
    ],
)
def test_a_million_pairs_are_evaluated_in_time(change: str, outcome: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", CODE.format(change=change, outcome=outcome)],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, megabytes, page = map(float, answer.stdout.split())

    assert seconds < 5
    assert megabytes < 500
    assert page < 5_000_000
