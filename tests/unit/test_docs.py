"""The pages agree: with each other, with the code, and with the files they name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from routes.errors import Fault
from routes.packets import Question
from routes.snapshot import Snapshot
from routes.summary import document
from routes.verify import verify
from sandbox import TOP
from tests import snapshots
from tests.pages import BLOCK

ENGLISH = (TOP / "README.md").read_text()
PORTUGUESE = (TOP / "README.pt.md").read_text()
PAGES = sorted([*TOP.glob("*.md"), *TOP.glob("docs/*.md")])
LINK = re.compile(r"\]\(([^)]+)\)")
CODE = re.compile(r"`([^`]+)`")


def prose(text: str) -> str:
    """Leave out the fenced blocks, in which `#` and `](` mean something else."""
    return BLOCK.sub("", text)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ .*$", prose(text), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of this page ends in, as GitHub makes it."""
    names = (heading.lstrip("# ").lower() for heading in headings(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", name).replace(" ", "-") for name in names}


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of every table, without their heads."""
    lines = re.findall(r"^\|(.*)\|$", prose(text), re.MULTILINE)
    found = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    heads = {number - 1 for number, row in enumerate(found) if row[0].startswith("-")}
    return [
        row
        for number, row in enumerate(found)
        if number not in heads and not row[0].startswith("-")
    ]


def keys(text: str, section: str) -> set[str]:
    """Return the keys of the table in one section."""
    body = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return {key for row in rows(body) for key in CODE.findall(row[0])}


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(
            lambda text: [heading.count("#") for heading in headings(text)],
            id="headings",
        ),
        pytest.param(
            lambda text: [match[0] for match in BLOCK.finditer(text)], id="blocks"
        ),
        pytest.param(
            lambda text: re.findall(r"^    .*$", prose(text), re.MULTILINE),
            id="indented blocks",
        ),
        pytest.param(
            lambda text: [
                (row[0], row[1].replace("obrigatória", "required"))
                for row in rows(text)
                if "`" in row[0]
            ],
            id="keys and defaults",
        ),
        pytest.param(
            lambda text: [each for each in LINK.findall(text) if "README" not in each],
            id="links",
        ),
        pytest.param(lambda text: sorted(CODE.findall(prose(text))), id="code"),
        pytest.param(
            lambda text: len(re.findall(r"^- ", text, re.MULTILINE)), id="items"
        ),
    ],
)
def test_the_portuguese_readme_says_what_the_english_one_says(of: Any) -> None:  # noqa: ANN401
    assert of(PORTUGUESE) == of(ENGLISH)


def test_each_readme_links_to_the_other() -> None:
    assert "(README.pt.md)" in ENGLISH
    assert "(README.md)" in PORTUGUESE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_has_every_key_of_the_configuration() -> None:
    declared = yaml.safe_load((TOP / "Pulumi.yaml").read_text())["config"]

    found = [CODE.findall(row[0])[0] for row in rows(ENGLISH)]

    assert [f"pod-routes:{key}" for key in found] == list(declared)


def test_every_policy_is_named_in_the_readme() -> None:
    named = set(re.findall(r"`(policies/\w+\.json)`", ENGLISH))

    assert named == {f"policies/{file.name}" for file in TOP.glob("policies/*.json")}


def test_every_key_of_the_json_is_explained() -> None:
    broken = snapshots.all_of(
        snapshots.without_routes("10.200.1.0/24"),
        snapshots.with_worker(2, state="stopped"),
    )(snapshots.lab(faults=(Fault(where="worker-9", problem="is missing."),)))
    explained = keys((TOP / "docs/verify.md").read_text(), "JSON")

    found = set(paths(document(verify(broken, Question()))))

    assert found == explained - {"verdicts"}


def paths(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of every key; those inside `notes` and `remarks` are not asked."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from paths(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        yield f"{path}[]"
        for one in value:
            yield from paths(one, f"{path}[]")
    else:
        yield path


def test_every_key_of_a_snapshot_is_explained() -> None:
    explained = keys((TOP / "docs/verify.md").read_text(), "Snapshots")

    assert explained == {field.name for field in dataclasses.fields(Snapshot)}
