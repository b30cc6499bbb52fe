"""A thousand workers, a million pairs: within 5 s and 500 MB, whatever is broken."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sandbox import TOP

CODE = """
import resource, time
from dataclasses import replace
from routes.verify.packets import Question
from routes.report.html import render
from routes.verify.verification import verify
from tests.snapshots import lab, pod_cidr, with_group, without_routes

def with_check(one):
    return replace(one, interface=replace(one.interface, source_dest_check=True))

snapshot = {change}(lab(1000, subnets=3))
start = time.process_time()
found = verify(snapshot, Question())
seconds = time.process_time() - start
page = render(found)
assert sum(found.reachability.pairs) == 1000 * 999
assert found.is_well == {well}
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(page))
"""


@pytest.mark.parametrize(
    ("change", "well"),
    [
        pytest.param("(lambda s: s)", True, id="all is well"),
        pytest.param("with_group(0)", False, id="a group lets no pod in"),
        pytest.param(
            "without_routes(*[str(pod_cidr(n)) for n in range(1000)])",
            False,
            id="no route stands",
        ),
        pytest.param(
            "(lambda s: replace(s, workers=tuple(map(with_check, s.workers))))",
            False,
            id="every check is on, so no two workers are alike",
        ),
    ],
)
def test_a_million_pairs_are_judged_in_time(change: str, *, well: bool) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", CODE.format(change=change, well=well)],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, megabytes, page = map(float, answer.stdout.split())

    assert seconds < 5
    assert megabytes < 500
    assert page < 5_000_000
