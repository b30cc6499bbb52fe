"""Laws of the commands that are printed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes import settings as settings_module
from routes.errors import Finding, SettingsError
from routes.model import Selector, Vpc
from routes.planning import plan
from tests.builders import LAB_CONFIG, discovery, networks, settings, table, worker

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).map(
    str.strip
)
ENTRIES = st.lists(
    NAMES.filter(bool) | st.sampled_from(["a,b", "-x", "[a]", "{a}", "w-*", "i-1"]),
    min_size=1,
    max_size=4,
    unique=True,
)


def lists_set(findings: Iterable[Finding]) -> Iterator[tuple[str, list[str]]]:
    """Yield each list that a printed command would set, as the program will read it."""
    for finding in findings:
        for line in (*finding.rows, finding.command):
            argv = shlex.split(line) if " config set " in line else []
            if argv and argv[3] in {"pod-routes:workers", "pod-routes:routeTables"}:
                assert argv[5:] == ["--stack", "dev"]
                read = settings(workers=argv[4]).workers
                yield argv[3], [entry.text for entry in read]


@given(ENTRIES, ENTRIES, st.data())
def test_no_remedy_takes_away_an_entry_that_had_no_fault(
    workers: list[str], tables: list[str], data: st.DataObject
) -> None:
    counts = st.integers(0, 3)
    wanted = settings(workers=json.dumps(workers), routeTables=json.dumps(tables))
    found = discovery(
        workers={
            entry: tuple(
                worker(10 * at + n, name=entry.text) for n in range(data.draw(counts))
            )
            for at, entry in enumerate(wanted.workers)
        },
        tables={
            entry: tuple(
                table(id=f"rtb-{at}{n}", name=entry.text)
                for n in range(data.draw(counts))
            )
            for at, entry in enumerate(wanted.route_tables)
        },
        vpcs=(Vpc(id="vpc-1", cidrs=networks("10.0.0.0/16")),),
    )
    sound = {
        "pod-routes:workers": {
            entry.text for entry, w in found.workers.items() if is_one(entry, len(w))
        },
        "pod-routes:routeTables": {
            entry.text for entry, t in found.tables.items() if len(t) == 1
        },
    }

    for key, entries in lists_set(plan.draft(wanted, found).faults):
        assert sound[key] <= set(entries)
        assert len(entries) == len(sound[key] | set(entries))


def is_one(entry: Selector, count: int) -> bool:
    return count == 1 or (count > 1 and entry.is_pattern)


@given(ENTRIES, st.sampled_from(["workers", "routeTables"]))
def test_no_remedy_for_a_key_takes_away_an_entry(entries: list[str], key: str) -> None:
    config = {f"pod-routes:{key}": json.dumps([*entries, 1])}

    with pytest.raises(SettingsError) as caught:
        settings_module.load(LAB_CONFIG | config, "dev")

    (fault,) = caught.value.faults
    assert (
        fault.command == f"pulumi config set pod-routes:{key} '<corrected>' --stack dev"
    )
