"""Laws of the suggested commands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routes import settings as settings_module
from routes.errors import Finding, SettingsError
from routes.model import Route, Selector, Vpc
from routes.planning import adoption, plan, warnings
from routes.report import github
from routes.report.document import document
from routes.report.html import render
from routes.verify.header_space import Traffic
from routes.verify.planned import after_update
from routes.verify.snapshot import Snapshot
from routes.verify.verification import verify
from tests.builders import (
    LAB_CONFIG,
    discovery,
    key,
    networks,
    settings,
    stack,
    table,
    worker,
)
from tests.snapshots import lab, rule, with_acl, with_routes

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
    """Yield each list that a suggested command sets, as the program will read it."""
    for finding in findings:
        for line in (*finding.details, finding.command):
            argv = shlex.split(line) if " config set " in line else []
            if argv and argv[3] in {"pod-routes:workers", "pod-routes:routeTables"}:
                assert argv[5:] == ["--stack", "dev"]
                read = settings(workers=argv[4]).workers
                yield argv[3], [entry.text for entry in read]


@given(ENTRIES, ENTRIES, st.data())
def test_no_command_removes_an_entry_without_a_fault(
    workers: list[str], tables: list[str], data: st.DataObject
) -> None:
    counts = st.integers(0, 3)
    configured = settings(workers=json.dumps(workers), routeTables=json.dumps(tables))
    lookup = discovery(
        workers={
            entry: tuple(
                worker(10 * at + n, name=entry.text) for n in range(data.draw(counts))
            )
            for at, entry in enumerate(configured.workers)
        },
        tables={
            entry: tuple(
                table(id=f"rtb-{at}{n}", name=entry.text)
                for n in range(data.draw(counts))
            )
            for at, entry in enumerate(configured.route_tables)
        },
        vpcs=(Vpc(id="vpc-1", cidrs=networks("10.0.0.0/16")),),
    )
    valid = {
        "pod-routes:workers": {
            entry.text for entry, w in lookup.workers.items() if is_valid(entry, len(w))
        },
        "pod-routes:routeTables": {
            entry.text for entry, t in lookup.tables.items() if len(t) == 1
        },
    }

    for name, entries in lists_set(plan.draft(configured, lookup).faults):
        assert valid[name] <= set(entries)
        assert len(entries) == len(valid[name] | set(entries))


def is_valid(entry: Selector, count: int) -> bool:
    return count == 1 or (count > 1 and entry.is_pattern)


@given(ENTRIES, st.sampled_from(["workers", "routeTables"]))
def test_no_command_for_an_invalid_key_removes_an_entry(
    entries: list[str], name: str
) -> None:
    config = {f"pod-routes:{name}": json.dumps([*entries, 1])}

    with pytest.raises(SettingsError) as caught:
        settings_module.load(LAB_CONFIG | config, "dev")

    (fault,) = caught.value.faults
    command = f"pulumi config set pod-routes:{name} '<corrected>' --stack dev"
    assert fault.command == command


OTHER_ROUTES = st.builds(
    Route,
    destination=st.sampled_from(
        [
            *networks("10.200.1.0/24", "10.200.1.0/25", "10.200.1.7/32"),
            *networks("10.200.9.0/24", "0.0.0.0/0"),
            "pl-1",
        ]
    ),
    target=st.sampled_from(["eni-8", "eni-8", "eni-0", "eni-9", "pcx-1", "vgw-1", ""]),
    instance_id=st.sampled_from([None, "i-9"]),
    state=st.sampled_from(["active", "blackhole"]),
    origin=st.sampled_from(
        ["CreateRoute", "CreateRoute", "EnableVgwRoutePropagation", "Advertisement"]
    ),
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Return a lab with other owners' routes in its table, some in the state."""
    routes = draw(
        st.lists(
            OTHER_ROUTES,
            min_size=2,
            unique_by=lambda one: (one.destination, one.is_static),
        )
    )
    change = with_routes(*routes)
    snapshot = change(lab(3))
    snapshot = with_acl(1, *(rule(n, egress=True, allow=False) for n in (1, 2)))(
        snapshot
    )
    managed = draw(
        st.dictionaries(
            st.sampled_from([*(snapshot.managed or {}), key("10.200.9.0/24")]),
            st.sampled_from(["eni-0", "eni-1", "eni-8", ""]),
        )
    )
    return replace(
        snapshot,
        managed=managed,
        attachments={**snapshot.attachments, "eni-9": draw(st.none() | st.just("i-9"))},
        prefix_lists={"pl-1": networks("10.200.1.16/28")},
        route_table_ids=draw(st.sampled_from([("rtb-1",), ()])),
    )


REFUSED = re.compile(
    "aws ec2 (?:replace-route|disable-vgw-route-propagation"
    "|delete-network-acl-entry|revoke-|terminate-)"
)
DELETION = re.compile(r"aws ec2 delete-route .*?--destination-\S+ (\S+) ")


def texts(snapshot: Snapshot) -> Iterator[str]:
    """Yield the reports of a snapshot, and the findings of a plan for its tables."""
    for each in (snapshot, after_update(snapshot)):
        verification = verify(each, Traffic())
        yield document(verification).model_dump_json(by_alias=True)
        yield github.render(verification)
        yield render(verification)
    existing = snapshot.existing
    desired = {route.key: route for route in snapshot.desired}
    managed = stack(snapshot.managed).managed
    _, conflicting = adoption.unmanaged_routes(desired, existing, managed)
    findings = [
        *adoption.conflicts(conflicting, desired, existing),
        *warnings.of_workers(settings(), snapshot.region, snapshot.workers),
        *warnings.of_blackholes(
            settings(), snapshot.region, desired, existing, snapshot.workers
        ),
    ]
    yield "\n".join(map(str, findings))


@given(snapshots())
def test_no_command_deletes_or_retargets_another_owners_route(
    snapshot: Snapshot,
) -> None:
    """Neither a propagated route, nor an unmanaged one whose target may come back."""
    static = {
        str(route.destination): route
        for route in snapshot.tables[0].routes
        if route.is_static
    }
    for text in texts(snapshot):
        assert not REFUSED.search(text)
        for destination in DELETION.findall(text):
            route = static[destination]
            assert route.state == "blackhole"
            assert route.is_to_interface
            assert route.target not in snapshot.attachments
            assert not route.instance_id
            assert key(destination) not in (snapshot.managed or {})
