"""What people and machines read of a verification."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from routes.errors import RoutesError
from routes.report import github
from routes.report.html import ONE_BY_ONE, render
from routes.report.summary import Summary
from routes.report.terminal import conclude, show, show_way, trimmed
from routes.verify.packets import Question
from routes.verify.planned import after_update
from routes.verify.snapshot import Snapshot
from routes.verify.verification import CAVEAT, Outcome, verify
from routes.verify.way import end_called
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
from tests.unit.verify.stops import NOT_OURS, OR_MOVE

BROKEN = all_of(
    without_routes("10.200.1.0/24"), with_interface(2, source_dest_check=True)
)


def shown(snapshot: Snapshot, **options: object) -> str:
    text = StringIO()
    show(verify(snapshot, Question()), trimmed(text, width=80, **options))
    return text.getvalue().replace("\u00a0", " ")


def test_the_route_table_has_a_worker_and_a_verdict_for_each_entry() -> None:
    lines = [line.split() for line in shown(BROKEN(lab())).splitlines()]

    assert ["10.200.0.0/24", "eni-0", "active", "worker-0", "in", "place"] in lines
    assert ["10.200.1.0/24", "-", "-", "worker-1", "missing"] in lines
    assert ["10.0.0.0/16", "local", "active", "-", "-"] in lines


def test_the_matrix_points_at_the_cause_of_each_failing_pair() -> None:
    lines = [line.split() for line in shown(BROKEN(lab(4))).splitlines()]

    assert ["0", "worker-0", "·", "B", "A", "ok"] in lines
    assert ["3", "worker-3", "ok", "B", "A", "·"] in lines


@pytest.mark.parametrize("count", [3, 20, 21, 100])
@pytest.mark.parametrize(
    "change", [pytest.param(lambda s: s, id="well"), pytest.param(BROKEN, id="broken")]
)
def test_nothing_but_a_command_is_wider_than_80_columns(
    count: int, change: Change
) -> None:
    text = shown(change(lab(count)))

    said = [line.partition(" Next: ")[0].rstrip() for line in text.splitlines()]
    wide = [line for line in said if len(line) > 80]
    assert all(line.lstrip().startswith(("aws ", "pulumi ")) for line in wide)


def test_beyond_20_workers_only_failing_rows_are_shown() -> None:
    lines = [line.split() for line in shown(BROKEN(lab(21))).splitlines()]

    assert ["20", "routes", "are", "in", "place."] in lines
    assert any(line[:4] == ["worker-1", "0", "of", "20"] for line in lines)
    assert not any(line[:2] == ["0", "worker-0"] for line in lines)


def test_many_pairs_with_one_cause_are_one_entry() -> None:
    found = verify(with_group(1)(lab(9)), Question())
    (cause,) = Summary(found).lettered

    assert cause.pairs == 3 * 8
    assert shown(with_group(1)(lab(9))).count("has no inbound rule") == 1


def test_a_long_cause_stays_beside_its_letter() -> None:
    lines = shown(with_group(1, group_rule(1, "peer", "sg-0"))(lab())).splitlines()

    (first,) = (n for n, line in enumerate(lines) if line.startswith(" B security"))
    assert lines[first + 1].startswith("   only; EC2 documents that")


def test_what_ec2_cannot_tell_is_said_once() -> None:
    text = " ".join(shown(lab()).split())

    assert text.count(CAVEAT) == 1
    assert text.endswith("WELL: 6 of 6 pairs.")


def test_the_last_line_says_what_to_do_next_and_is_all_that_quiet_prints() -> None:
    text = StringIO()
    summary = Summary(verify(without_routes("10.200.1.0/24")(lab()), Question()))

    console = Console(file=text, width=80)
    conclude(Outcome.WRONG, summary.headline, summary.next, console)

    line = f"NOT WELL: 2 of 6 pairs, 1 cause. Next: {UPDATE}\n"
    assert text.getvalue() == line
    assert shown(without_routes("10.200.1.0/24")(lab())).endswith(line)


def test_what_a_cause_covers_is_told_once_and_what_none_covers_is_told() -> None:
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_routes(builders.route("10.200.77.0/24", "eni-77", state="blackhole")),
    )
    text = shown(change(lab()))

    assert text.count("10.200.1.0/24") == 2  # the table, the cause
    assert "Also wrong\n rtb-1: 1 route stale:\n   10.200.77.0/24  the interf" in text
    assert "NOT WELL: 2 of 6 pairs, 1 cause." in text


def test_workers_that_could_not_be_judged_are_named_and_not_called_wrong() -> None:
    text = shown(lab(undecided=("worker-8", "worker-9")))

    assert "Pods reach pods: 6 of 20 pairs of workers" in text
    assert "worker-8, worker-9 could not be judged." in text
    assert text.endswith("UNDECIDED: 6 of 20 pairs, 2 workers not judged.\n")


def way_of(
    snapshot: Snapshot, source: str, target: str, *, quiet: bool = False
) -> tuple[Outcome, list[str]]:
    """Return how it went, and the lines of the way."""
    text = StringIO()
    ends = end_called(snapshot, source), end_called(snapshot, target)
    console = trimmed(text, width=80)
    outcome = show_way(verify(snapshot, Question()), *ends, console, quiet=quiet)
    return outcome, text.getvalue().splitlines()


def test_the_way_names_each_step_and_marks_those_that_stop_packets() -> None:
    change = all_of(
        BROKEN, with_group(1), with_worker(1, availability_zone="us-east-1b")
    )

    outcome, lines = way_of(change(lab()), "worker-0", "i-1")

    assert outcome is Outcome.WRONG
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

· no packet comes this far; it would pass.
NOT WELL: worker-0 does not reach worker-1, 2 causes. Next: \
pulumi up --refresh --stack dev""".splitlines()
    )


def test_a_way_that_an_update_would_make_is_told_from_one_that_stands() -> None:
    first = all_of(
        without_routes(*(f"10.200.{n}.0/24" for n in range(3))),
        lambda s: replace(s, held={}),
    )
    snapshot = after_update(first(lab()))

    outcome, lines = way_of(snapshot, "worker-0", "i-1")

    assert outcome is Outcome.WELL
    assert " ".join(lines[:2]).startswith(
        "worker-0 (i-0) to worker-1 (i-1), as an update would leave it; all protocols."
    )


PEERED = with_routes(builders.route("10.200.1.0/25", "pcx-1"))


def test_a_step_without_a_command_is_explained_and_nothing_is_next() -> None:
    _, lines = way_of(PEERED(lab()), "worker-0", "i-1")

    assert NOT_OURS + OR_MOVE in " ".join(line.strip() for line in lines)
    assert lines[-1] == "NOT WELL: worker-0 does not reach worker-1, 1 cause."


def test_a_report_without_a_command_names_none() -> None:
    found = verify(PEERED(lab()), Question())

    text, page, notes = shown(PEERED(lab())), render(found), github.render(found)

    for report in (text, notes):
        assert NOT_OURS + OR_MOVE in " ".join(report.replace("%0A", " ").split())
    assert (NOT_OURS + OR_MOVE).replace("'", "&#39;") in page
    assert text.endswith("NOT WELL: 2 of 6 pairs, 1 cause.\n")
    assert notes.endswith("NOT WELL: 2 of 6 pairs, 1 cause.")
    assert "<pre>" not in page
    for report in (text, page, notes):
        assert "Next" not in report


def test_a_quiet_way_is_its_last_line() -> None:
    whole = way_of(BROKEN(lab()), "worker-0", "worker-1")

    quiet = way_of(BROKEN(lab()), "worker-0", "worker-1", quiet=True)

    assert quiet == (whole[0], whole[1][-1:])


def test_what_stops_one_ip_family_leaves_the_other_its_way() -> None:
    both = all_of(
        with_worker(0, pod_cidrs=builders.networks("10.200.0.0/24", "fd00:200::/64")),
        with_worker(
            1, pod_cidrs=builders.networks("10.200.1.0/24", "fd00:200:0:1::/64")
        ),
        without_routes("10.200.1.0/24"),
    )

    _, lines = way_of(both(lab()), "worker-0", "worker-1")

    six = lines.index("IPv6")
    assert " · instance" in "\n".join(lines[:six])
    assert "ok source/destination check" in "\n".join(lines[six : six + 2])


def test_no_line_ends_with_blanks() -> None:
    lines = [
        *shown(BROKEN(lab())).splitlines(),
        *way_of(BROKEN(lab()), "worker-0", "worker-1")[1],
    ]

    assert [line for line in lines if line != line.rstrip()] == []


def test_a_stopped_worker_is_told_once() -> None:
    stopped = all_of(
        with_worker(1, state="stopped"),
        with_routes(builders.route("10.200.1.0/24", "eni-1", state="blackhole")),
    )

    text = shown(stopped(lab()))

    assert "10.200.1.0/24  eni-1   blackhole  worker-1  blackhole" in text
    assert text.count("aws ec2 start-instances") == 2  # the cause's, and what is next


def test_inside_one_subnet_no_network_acl_is_on_the_way() -> None:
    outcome, lines = way_of(lab(), "worker-0", "worker-2")

    assert outcome is Outcome.WELL
    assert lines[1].startswith("us-east-1a to us-east-1a; read ")
    assert not any("network ACL" in line for line in lines)
    assert lines[-1] == "WELL: worker-0 reaches worker-2."


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        pytest.param(
            lambda s: s,
            "worker-11",
            "No worker is called worker-11; the nearest: worker-1, ",
            id="nobody",
        ),
        pytest.param(
            with_worker(0, name="worker-1"),
            "worker-1",
            "2 workers are called worker-1; say which: i-0, i-1.",
            id="namesakes",
        ),
        pytest.param(
            with_worker(1, pod_cidrs=()),
            "worker-1",
            "worker-1 (i-1) has no pod CIDR to send from or to.",
            id="no pod CIDR",
        ),
    ],
)
def test_an_end_that_is_not_one_worker_is_refused(
    change: Change, name: str, message: str
) -> None:
    with pytest.raises(RoutesError) as caught:
        end_called(change(lab()), name)

    assert str(caught.value).startswith(message)


def test_annotations_are_one_line_for_each_thing_told() -> None:
    """See GitHub Docs, "Workflow commands", on annotations and escapes."""
    note = with_group(0, group_rule(0, "peer", "sg-1"), group_rule(0, "two", "sg-2"))
    found = verify(all_of(without_routes("10.200.1.0/24"), note)(lab()), Question())

    lines = github.render(found).replace("\u00a0", " ").splitlines()

    assert lines[0] == (
        "::error title=pod-routes::A route: rtb-1 has no route to the pod CIDR"
        f" (4 pairs)%0A  10.200.1.0/24 of worker-1%0A  {UPDATE}"
    )
    assert lines[1].startswith("::notice title=pod-routes::B security group: sgr-0-")
    assert lines[-1] == "NOT WELL: 2 of 6 pairs, 1 cause."


def test_a_file_gets_no_colours_and_a_terminal_does(
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
    evil = "[bold]<script>alert(1)</script>"
    named = replace(
        snapshot,
        workers=(replace(snapshot.workers[0], name=evil), *snapshot.workers[1:]),
    )

    assert "<script>alert" not in render(verify(named, Question()))
    assert "[bold]<script" in shown(with_routes(builders.route("0.0.0.0/1"))(named))


def test_a_large_page_groups_workers_and_stays_small() -> None:
    page = render(verify(BROKEN(lab(ONE_BY_ONE + 100)), Question()))

    assert page.count('role="gridcell"') <= 60 * 60
    assert len(page) < 1_000_000
