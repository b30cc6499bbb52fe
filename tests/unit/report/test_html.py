"""What the page says; tests/page opens it in a browser."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from routes.model import Worker
from routes.report.html import ONE_BY_ONE, render
from routes.verify.packets import Question
from routes.verify.planned import after_update
from routes.verify.snapshot import Snapshot
from routes.verify.verification import verify
from tests import builders
from tests.snapshots import lab, with_routes, with_worker, without_routes

OPAQUE = with_routes(builders.route("10.200.1.0/24", "tgw-1"))
"""worker-1's pods are behind a transit gateway, which is not followed."""
SOURCE = Worker(
    **{
        **vars(lab().workers[0]),
        "name": "api",
        "instance_id": "i-9",
        "pod_cidrs": builders.networks("10.0.0.9/32"),
    }
)


def page(snapshot: Snapshot) -> str:
    return render(verify(snapshot, Question())).replace("\u00a0", " ")


def legends(text: str) -> list[list[str]]:
    """Return what each legend explains: of the matrix, of the topology."""
    lists = re.findall(r'<ul class="legend">(.*?)</ul>', text, re.DOTALL)
    return [re.findall(r'<i class="(\w+)">', each) for each in lists]


def test_what_nobody_can_tell_is_never_called_reachable() -> None:
    text = page(OPAQUE(lab()))

    label = "worker-0 to worker-1: unknown because of the route, A"
    assert re.search(rf'class="unknown"[^>]* aria-label="{label}">A</td>', text)
    assert legends(text)[0] == ["ok", "unknown"]


@pytest.mark.parametrize("opened", [0, 1])
def test_the_topology_tells_a_worker_that_fails_from_one_that_is_not_known(
    opened: int,
) -> None:
    change = [without_routes("10.200.1.0/24"), OPAQUE][opened]

    assert legends(page(change(lab(2))))[1] == [["stop"], ["unknown"]][opened]


def test_a_worker_that_was_not_judged_is_not_called_cut_off() -> None:
    text = page(with_worker(1, pod_cidrs=())(lab()))

    assert '<li class="unknown" title="worker-1 no pod CIDR">' in text
    assert "<p>Not judged: worker-1.</p>" in text
    rows = re.findall(r'<th scope="row">(\S+)&ensp;', text)
    assert rows == ["worker-0", "worker-2", "worker-1"]
    for pair in ("worker-0 to worker-1", "worker-1 to worker-2"):
        assert f'aria-label="{pair}: not judged">?</td>' in text


def test_many_workers_that_were_not_judged_share_a_line() -> None:
    names = tuple(f"gone-{number}" for number in range(ONE_BY_ONE))

    rows = re.findall(r'<th scope="row">([^&]+)', page(lab(3, undecided=names)))

    assert rows == ["worker-0", "worker-1", "worker-2", f"{ONE_BY_ONE} not judged"]


def test_pairs_in_bulk_are_unknown_only_if_none_is_stopped() -> None:
    text = page(OPAQUE(lab(ONE_BY_ONE + 1)))

    assert re.search(
        r'class="unknown"[^>]* aria-label="[^"]* pairs are not well;', text
    )
    assert 'class="stop"' not in text


def test_the_page_says_whether_it_is_of_now_or_of_what_an_update_would_leave() -> None:
    said = ", as an update would leave them</h1>"

    assert said not in page(lab())
    assert said in page(after_update(without_routes("10.200.1.0/24")(lab())))


def test_the_page_says_how_the_packets_of_other_sources_fare() -> None:
    change = without_routes("10.200.0.0/24")

    assert "Others reach pods" not in page(lab())
    assert "<li>api (i-9): 3 of 3 workers</li>" in page(lab(sources=(SOURCE,)))
    text = page(replace(change(lab()), sources=(SOURCE,)))
    assert "<li>api (i-9): 2 of 3 workers; stopped by A</li>" in text
    text = page(replace(OPAQUE(lab()), sources=(SOURCE,)))
    assert "<li>api (i-9): 2 of 3 workers; unknown because of A</li>" in text
