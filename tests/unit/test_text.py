"""Text of others, as it is shown."""

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
from routes.errors import Finding
from routes.remedies import set_key
from routes.report import github, html, terminal
from routes.report.document import document
from routes.text import quoted, visible
from routes.verify import snapshot
from routes.verify.packets import Question
from routes.verify.verification import verify
from tests.snapshots import all_of, lab, with_worker, without_routes

HOSTILE = "a\nb\r\x1b[2Jc\x9bd\u2028e\u202ef\u200bg\x7f::add-mask::h"
SHOWN = r"a\nb\r\x1b[2Jc\u009bd\u2028e\u202ef\u200bg\x7f::add-mask::h"


def hidden(text: str) -> set[str]:
    """Return the characters that nobody sees, beside the end of a line."""
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return {each for each in text if unicodedata.category(each) in kinds} - {"\n"}


def test_what_nobody_sees_is_escaped_and_nothing_else() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("Köln 東京 🦊 a\\nb") == "Köln 東京 🦊 a\\nb"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@example(HOSTILE)
@example("it's \\n\n")
@settings(max_examples=50)
def test_a_word_on_one_line_is_the_word_for_a_shell(word: str) -> None:
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
        where=HOSTILE,
        problem=HOSTILE,
        rows=(HOSTILE,),
        remedy=HOSTILE,
        command=set_key("dev", "pod-routes:workers", HOSTILE),
    )

    assert not hidden(str(finding))
    assert len(str(finding).splitlines()) <= 6


@pytest.mark.parametrize("shape", ["worker", "instance", "subnet"])
def test_a_name_tag_is_escaped_where_it_is_read(shape: str) -> None:
    tags = [{"Key": "Name", "Value": HOSTILE}]
    answer = {
        "InstanceId": "i-1",
        "SubnetId": "subnet-1",
        "State": {"Name": "running"},
        "LaunchTime": "2026-11-01",
        "Tags": tags,
    }

    assert getattr(answers, shape)(answer).name == SHOWN


def test_whatever_a_snapshot_holds_forges_no_line(tmp_path: Path) -> None:
    """Somebody else may have saved it."""
    change = all_of(
        without_routes("10.200.1.0/24"),
        with_worker(0, name=HOSTILE, instance_id=HOSTILE),
        lambda s: replace(
            s, stack=HOSTILE, region=HOSTILE, route_table_entries=(HOSTILE,)
        ),
    )
    file = tmp_path / "moment.json"
    snapshot.save(change(lab()), file)

    found = verify(snapshot.load(file), Question())

    page = io.StringIO()
    console = terminal.trimmed(page, width=80)
    terminal.show(found, console)
    workers = found.snapshot.workers
    terminal.show_way(found, workers[0], workers[1], console)
    for text in (
        page.getvalue(),
        html.render(found),
        github.render(found),
        document(found).model_dump_json(indent=2),
    ):
        assert hidden(text) == set()
    assert "\n::add-mask" not in github.render(found)
