"""The content of the page; tests/page opens it in a browser."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from routes.model import Worker
from routes.report.html import MAX_LINES, render
from routes.verify.header_space import Traffic
from routes.verify.planned import after_update
from routes.verify.snapshot import Snapshot
from routes.verify.verification import verify
from tests import builders
from tests.snapshots import Change, lab, with_routes, with_worker, without_routes

OPAQUE = with_routes(builders.route("10.200.1.0/24", "tgw-1"))
"""worker-1's pods are behind a transit gateway, which isn't followed."""
SOURCE = Worker(
    **{
        **vars(lab().workers[0]),
        "name": "api",
        "instance_id": "i-9",
        "pod_cidrs": builders.networks("10.0.0.9/32"),
    }
)


def page(snapshot: Snapshot) -> str:
    return render(verify(snapshot, Traffic())).replace("\u00a0", " ")


def legends(text: str) -> list[list[str]]:
    """Return the tones in each legend: the matrix's, then the topology's."""
    lists = re.findall(r'<ul class="legend">(.*?)</ul>', text, re.DOTALL)
    return [re.findall(r'<i class="(\w+)">', each) for each in lists]


def test_an_unknown_pair_is_never_called_reachable() -> None:
    text = page(OPAQUE(lab()))

    label = "worker-0 to worker-1: unknown because of the route, A"
    assert re.search(rf'class="unknown"[^>]* aria-label="{label}">A</td>', text)
    assert legends(text)[0] == ["ok", "unknown"]


@pytest.mark.parametrize(
    ("change", "tone"),
    [(without_routes("10.200.1.0/24"), "blocked"), (OPAQUE, "unknown")],
    ids=["blocked", "unknown"],
)
def test_the_topology_has_different_tones_for_blocked_and_unknown(
    change: Change, tone: str
) -> None:
    assert legends(page(change(lab(2))))[1] == [tone]


def test_an_unevaluated_worker_is_not_called_cut_off() -> None:
    text = page(with_worker(1, pod_cidrs=())(lab()))

    assert '<li class="unknown" title="worker-1 no pod CIDR">' in text
    assert "<p>Not evaluated: worker-1.</p>" in text
    rows = re.findall(r'<th scope="row">(\S+)&ensp;', text)
    assert rows == ["worker-0", "worker-2", "worker-1"]
    for pair in ("worker-0 to worker-1", "worker-1 to worker-2"):
        assert f'aria-label="{pair}: not evaluated">?</td>' in text


def test_many_unevaluated_workers_share_a_line() -> None:
    names = tuple(f"missing-{number}" for number in range(MAX_LINES))

    rows = re.findall(r'<th scope="row">([^&]+)', page(lab(3, unmatched=names)))

    assert rows == ["worker-0", "worker-1", "worker-2", f"{MAX_LINES} not evaluated"]


def test_a_cell_of_many_pairs_is_unknown_only_if_none_is_blocked() -> None:
    text = page(OPAQUE(lab(MAX_LINES + 1)))

    assert re.search(
        r'class="unknown"[^>]* aria-label="[^"]* pairs are not reachable;', text
    )
    assert 'class="blocked"' not in text


def test_the_headline_of_a_planned_page_says_so() -> None:
    planned = ", as an update would leave them</h1>"

    assert planned not in page(lab())
    assert planned in page(after_update(without_routes("10.200.1.0/24")(lab())))


def test_the_page_has_the_result_of_each_other_source() -> None:
    change = without_routes("10.200.0.0/24")

    assert "Other sources reach pods" not in page(lab())
    assert "<li>api (i-9): 3 of 3 workers</li>" in page(lab(sources=(SOURCE,)))
    text = page(replace(change(lab()), sources=(SOURCE,)))
    assert "<li>api (i-9): 2 of 3 workers; blocked by A</li>" in text
    text = page(replace(OPAQUE(lab()), sources=(SOURCE,)))
    assert "<li>api (i-9): 2 of 3 workers; unknown because of A</li>" in text
