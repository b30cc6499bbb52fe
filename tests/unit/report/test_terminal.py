"""A verification in a terminal, and as annotations."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from routes.errors import RoutesError
from routes.report import github
from routes.report.html import MAX_LINES, render
from routes.report.summary import Summary
from routes.report.terminal import conclude, report_console, show, show_trace
from routes.verify.header_space import Traffic
from routes.verify.planned import after_update
from routes.verify.snapshot import Snapshot
from routes.verify.trace import find_endpoint
from routes.verify.verification import CAVEAT, Outcome, verify
from tests import builders
from tests.snapshots import (
    UPDATE,
    Change,
    all_of,
    group_rule,
    lab,
    with_group,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)
from tests.unit.verify.blockers import UNMANAGED_PART

BROKEN = all_of(
    without_routes("10.200.1.0/24"), with_interface(2, source_dest_check=True)
)


def shown(snapshot: Snapshot, **options: object) -> str:
    text = StringIO()
    show(verify(snapshot, Traffic()), report_console(text, width=80, **options))
    return text.getvalue().replace("\u00a0", " ")


def test_each_entry_of_the_route_table_has_a_worker_and_a_status() -> None:
    lines = [line.split() for line in shown(BROKEN(lab())).splitlines()]

    assert ["10.200.0.0/24", "eni-0", "active", "worker-0", "in", "place"] in lines
    assert ["10.200.1.0/24", "-", "-", "worker-1", "missing"] in lines
    assert ["10.0.0.0/16", "local", "active", "-", "other"] in lines


def test_the_matrix_has_the_letter_of_each_failing_pairs_cause() -> None:
    lines = [line.split() for line in shown(BROKEN(lab(4))).splitlines()]

    assert ["0", "worker-0", "·", "B", "A", "ok"] in lines
    assert ["3", "worker-3", "ok", "B", "A", "·"] in lines


@pytest.mark.parametrize("count", [3, 20, 21, 100])
@pytest.mark.parametrize(
    "change",
    [pytest.param(lambda s: s, id="healthy"), pytest.param(BROKEN, id="broken")],
)
def test_nothing_but_a_command_is_wider_than_80_columns(
    count: int, change: Change
) -> None:
    text = shown(change(lab(count)))

    lines = [line.partition(" Next: ")[0].rstrip() for line in text.splitlines()]
    wide = [line for line in lines if len(line) > 80]
    assert all(line.lstrip().startswith(("aws ", "pulumi ")) for line in wide)


def test_with_more_than_20_workers_only_failing_rows_are_shown() -> None:
    lines = [line.split() for line in shown(BROKEN(lab(21))).splitlines()]

    assert ["20", "routes", "are", "in", "place."] in lines
    assert any(line[:4] == ["worker-1", "0", "of", "20"] for line in lines)
    assert not any(line[:2] == ["0", "worker-0"] for line in lines)


def test_many_pairs_with_one_cause_are_one_entry() -> None:
    (cause,) = Summary(verify(with_group(1)(lab(9)), Traffic())).causes

    assert cause.pairs == 3 * 8
    assert shown(with_group(1)(lab(9))).count("has no inbound rule") == 1


def test_a_long_cause_stays_beside_its_letter() -> None:
    lines = shown(with_group(1, group_rule(1, "peer", "sg-0"))(lab())).splitlines()

    (first,) = (n for n, line in enumerate(lines) if line.startswith(" B security"))
    assert lines[first + 1].startswith("   only; EC2 documents that")


def test_the_caveat_is_printed_once() -> None:
    text = " ".join(shown(lab()).split())

    assert text.count(CAVEAT) == 1
    assert text.endswith("PASS: 6 of 6 pairs.")


def test_the_last_line_has_the_next_command_and_is_all_that_quiet_prints() -> None:
    text = StringIO()
    summary = Summary(verify(without_routes("10.200.1.0/24")(lab()), Traffic()))

    console = Console(file=text, width=80)
    conclude(Outcome.FAIL, summary.headline, summary.next, console)

    line = f"FAIL: 2 of 6 pairs, 1 cause. Next: {UPDATE}\n"
    assert text.getvalue() == line
    assert shown(without_routes("10.200.1.0/24")(lab())).endswith(line)


def test_an_entry_that_a_cause_covers_is_not_repeated_and_others_are_listed() -> None:
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_routes(builders.route("10.200.77.0/24", "eni-77", state="blackhole")),
    )
    text = shown(change(lab()))

    assert text.count("10.200.1.0/24") == 2  # the table, the cause
    assert "Also wrong\n rtb-1: 1 route stale:\n   10.200.77.0/24  the interf" in text
    assert "FAIL: 2 of 6 pairs, 1 cause." in text


def test_unevaluated_workers_are_listed_and_are_no_failure() -> None:
    text = shown(lab(unmatched=("worker-8", "worker-9")))

    assert "Pods reach pods: 6 of 20 pairs of workers" in text
    assert "worker-8, worker-9 could not be evaluated." in text
    assert text.endswith("UNKNOWN: 6 of 20 pairs, 2 workers not evaluated.\n")


def trace_of(
    snapshot: Snapshot, source: str, target: str, *, quiet: bool = False
) -> tuple[Outcome, list[str]]:
    """Return the outcome, and the lines of the trace."""
    text = StringIO()
    ends = find_endpoint(snapshot, source), find_endpoint(snapshot, target)
    console = report_console(text, width=80)
    outcome = show_trace(verify(snapshot, Traffic()), *ends, console, quiet=quiet)
    return outcome, text.getvalue().splitlines()


def test_the_trace_lists_each_hop_and_marks_those_that_block_packets() -> None:
    change = all_of(
        BROKEN, with_group(1), with_worker(1, availability_zone="us-east-1b")
    )

    outcome, lines = trace_of(change(lab()), "worker-0", "i-1")

    assert outcome is Outcome.FAIL
    assert (
        lines
        == """\
worker-0 (i-0) to worker-1 (i-1); all protocols.
us-east-1a to us-east-1b, between availability zones; read 2026-11-25 09:30 UTC.

IPv4
ok instance                 i-0 is running
ok source/destination check eni-0: off
ok security group           sg-0 outbound
ok network ACL              acl-1 of subnet-1, outbound
 B route                    rtb-1 has no route to the pod CIDR
   pulumi up --refresh --stack dev
 · network ACL              acl-2 of subnet-2, inbound
 C security group           sg-1 has no inbound rule
   aws ec2 authorize-security-group-ingress --group-id sg-1 --ip-permissions \
'[{"IpProtocol":"-1","IpRanges":[{"CidrIp":"10.200.0.0/16"}]}]' --region us-east-1
 · source/destination check eni-1: off
 · instance                 i-1 is running

IPv4, the reply
 · network ACL              acl-2 of subnet-2, outbound
 · route                    rtb-1: 10.200.0.0/24 to eni-0
 · network ACL              acl-1 of subnet-1, inbound

· no packet gets this far; it would pass.
FAIL: worker-0 does not reach worker-1, 2 causes. Next: \
pulumi up --refresh --stack dev""".splitlines()
    )


def test_the_first_line_of_a_planned_trace_says_so() -> None:
    first = all_of(
        without_routes(*(f"10.200.{n}.0/24" for n in range(3))),
        lambda s: replace(s, managed={}),
    )
    snapshot = after_update(first(lab()))

    outcome, lines = trace_of(snapshot, "worker-0", "i-1")

    assert outcome is Outcome.PASS
    assert " ".join(lines[:2]).startswith(
        "worker-0 (i-0) to worker-1 (i-1), as an update would leave it; all protocols."
    )


PEERED = with_routes(builders.route("10.200.1.0/25", "pcx-1"))


def test_a_hop_without_a_command_has_a_hint_and_nothing_is_next() -> None:
    _, lines = trace_of(PEERED(lab()), "worker-0", "i-1")

    assert UNMANAGED_PART in " ".join(line.strip() for line in lines)
    assert lines[-1] == "FAIL: worker-0 does not reach worker-1, 1 cause."


def test_a_report_without_a_command_suggests_none() -> None:
    verification = verify(PEERED(lab()), Traffic())

    text, page = shown(PEERED(lab())), render(verification)
    annotations = github.render(verification)

    for report in (text, annotations):
        assert UNMANAGED_PART in " ".join(report.replace("%0A", " ").split())
    assert UNMANAGED_PART.replace("'", "&#39;") in page
    assert text.endswith("FAIL: 2 of 6 pairs, 1 cause.\n")
    assert annotations.endswith("FAIL: 2 of 6 pairs, 1 cause.")
    assert "<pre>" not in page
    for report in (text, page, annotations):
        assert "Next" not in report


def test_a_quiet_trace_is_its_last_line() -> None:
    whole = trace_of(BROKEN(lab()), "worker-0", "worker-1")

    quiet = trace_of(BROKEN(lab()), "worker-0", "worker-1", quiet=True)

    assert quiet == (whole[0], whole[1][-1:])


def test_a_blocker_of_one_ip_family_leaves_the_other_alone() -> None:
    both = all_of(
        with_worker(0, pod_cidrs=builders.networks("10.200.0.0/24", "fd00:200::/64")),
        with_worker(
            1, pod_cidrs=builders.networks("10.200.1.0/24", "fd00:200:0:1::/64")
        ),
        without_routes("10.200.1.0/24"),
    )

    _, lines = trace_of(both(lab()), "worker-0", "worker-1")

    start = lines.index("IPv6")
    assert " · instance" in "\n".join(lines[:start])
    assert "ok source/destination check" in "\n".join(lines[start : start + 2])


def test_no_line_ends_with_blanks() -> None:
    lines = [
        *shown(BROKEN(lab())).splitlines(),
        *trace_of(BROKEN(lab()), "worker-0", "worker-1")[1],
    ]

    assert [line for line in lines if line != line.rstrip()] == []


def test_a_stopped_worker_is_reported_once() -> None:
    stopped = all_of(
        with_worker(1, state="stopped"),
        with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
    )

    text = shown(stopped(lab()))

    assert "10.200.1.0/24  eni-1   blackhole  worker-1  blackhole" in text
    assert (
        text.count("aws ec2 start-instances") == 2
    )  # the cause's, and the next command


def test_inside_one_subnet_no_network_acl_is_on_the_path() -> None:
    outcome, lines = trace_of(lab(), "worker-0", "worker-2")

    assert outcome is Outcome.PASS
    assert lines[1].startswith("us-east-1a to us-east-1a; read ")
    assert not any("network ACL" in line for line in lines)
    assert lines[-1] == "PASS: worker-0 reaches worker-2."


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        pytest.param(
            lambda s: s,
            "worker-11",
            "No worker is called worker-11; the nearest names: worker-1, ",
            id="no such name",
        ),
        pytest.param(
            with_worker(0, name="worker-1"),
            "worker-1",
            "2 workers are called worker-1; use an id: i-0, i-1.",
            id="two with one name",
        ),
        pytest.param(
            with_worker(1, pod_cidrs=()),
            "worker-1",
            "worker-1 (i-1) has no pod CIDR to send from or to.",
            id="no pod CIDR",
        ),
    ],
)
def test_a_name_must_be_that_of_one_worker_with_a_pod_cidr(
    change: Change, name: str, message: str
) -> None:
    with pytest.raises(RoutesError) as caught:
        find_endpoint(change(lab()), name)

    assert str(caught.value).startswith(message)


def test_each_finding_is_an_annotation_of_one_line() -> None:
    """See GitHub Docs, "Workflow commands", on annotations and escapes."""
    note = with_group(0, group_rule(0, "peer", "sg-1"), group_rule(0, "two", "sg-2"))
    change = all_of(without_routes("10.200.1.0/24"), note)
    verification = verify(change(lab()), Traffic())

    lines = github.render(verification).replace("\u00a0", " ").splitlines()

    assert lines[0] == (
        "::error title=pod-routes::A route: rtb-1 has no route to the pod CIDR"
        f" (4 pairs)%0A  10.200.1.0/24 of worker-1%0A  {UPDATE}"
    )
    assert lines[1].startswith("::notice title=pod-routes::B security group: sgr-0-")
    assert lines[-1] == "FAIL: 2 of 6 pairs, 1 cause."


def test_a_terminal_gets_colours_and_a_file_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = {"force_terminal": True, "color_system": "standard"}
    assert "\x1b[" not in shown(lab())
    assert "\x1b[32m" in shown(lab(), **terminal)

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in shown(lab(), **terminal)


def test_names_from_aws_are_text_in_the_page_and_in_the_terminal() -> None:
    snapshot = lab()
    hostile = replace(snapshot.workers[0], name="[bold]<script>alert(1)</script>")
    snapshot = replace(snapshot, workers=(hostile, *snapshot.workers[1:]))

    assert "<script>alert" not in render(verify(snapshot, Traffic()))
    assert "[bold]<script" in shown(with_routes(builders.route("0.0.0.0/1"))(snapshot))


def test_a_large_page_groups_workers_and_stays_small() -> None:
    page = render(verify(BROKEN(lab(MAX_LINES + 100)), Traffic()))

    assert page.count('role="gridcell"') <= 60 * 60
    assert len(page) < 1_000_000
