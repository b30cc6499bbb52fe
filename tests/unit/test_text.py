"""Untrusted text is escaped."""

from __future__ import annotations

import io
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from routes.aws import answers
from routes.commands import config_set
from routes.errors import Finding
from routes.report import github, html, terminal
from routes.report.document import document
from routes.text import quoted, visible
from routes.verify import snapshot
from routes.verify.header_space import Traffic
from routes.verify.verification import verify
from tests.snapshots import all_of, lab, with_worker, without_routes

HOSTILE = "a\nb\r\x1b[2Jc\x9bd\u2028e\u202ef\u200bg\x7f::add-mask::h"
SHOWN = r"a\nb\r\x1b[2Jc\u009bd\u2028e\u202ef\u200bg\x7f::add-mask::h"


def hidden(text: str) -> set[str]:
    """Return the invisible characters, except line feeds."""
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return {each for each in text if unicodedata.category(each) in kinds} - {"\n"}


def test_only_invisible_characters_are_escaped() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("Köln 東京 🦊 a\\nb") == "Köln 東京 🦊 a\\nb"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@example(HOSTILE)
@example("it's \\n\n")
@settings(max_examples=50)
def test_a_shell_reads_a_quoted_word_as_it_was(word: str) -> None:
    line = quoted(word)

    assert not hidden(line)
    assert "\n" not in line
    printed = subprocess.run(
        ["bash", "-c", f"printf %s {line}"],
        env={"LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert printed.stdout.decode() == word


def test_a_finding_stays_on_its_lines() -> None:
    finding = Finding(
        resource=HOSTILE,
        problem=HOSTILE,
        details=(HOSTILE,),
        hint=HOSTILE,
        command=config_set("dev", "pod-routes:workers", HOSTILE),
    )

    assert not hidden(str(finding))
    assert len(str(finding).splitlines()) <= 6


@pytest.mark.parametrize("shape", ["worker", "instance", "subnet"])
def test_a_name_tag_is_escaped_when_it_is_read(shape: str) -> None:
    tags = [{"Key": "Name", "Value": HOSTILE}]
    answer = {
        "InstanceId": "i-1",
        "SubnetId": "subnet-1",
        "State": {"Name": "running"},
        "LaunchTime": "2026-11-01",
        "Tags": tags,
    }

    assert getattr(answers, shape)(answer).name == SHOWN


def test_a_snapshot_forges_no_line_of_a_report(tmp_path: Path) -> None:
    """Somebody else may have written it."""
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_worker(0, name=HOSTILE, instance_id=HOSTILE),
        lambda s: replace(
            s, stack=HOSTILE, region=HOSTILE, route_table_entries=(HOSTILE,)
        ),
    )
    file = tmp_path / "snapshot.json"
    snapshot.save(change(lab()), file)

    verification = verify(snapshot.load(file), Traffic())

    report = io.StringIO()
    console = terminal.report_console(report, width=80)
    terminal.show(verification, console)
    workers = verification.snapshot.workers
    terminal.show_trace(verification, workers[0], workers[1], console)
    for text in (
        report.getvalue(),
        html.render(verification),
        github.render(verification),
        document(verification).model_dump_json(indent=2),
    ):
        assert hidden(text) == set()
    assert "\n::add-mask" not in github.render(verification)
