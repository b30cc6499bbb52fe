"""The pages agree: with each other, with the code, and with the files they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from routes.settings import Settings
from sandbox import TOP
from tests.pages import BLOCK

ENGLISH = (TOP / "README.md").read_text()
PORTUGUESE = (TOP / "README.pt.md").read_text()
CONFIGURATION = (TOP / "docs/configuration.md").read_text()
PAGES = sorted([*TOP.glob("*.md"), *TOP.glob("docs/*.md")])
LINK = re.compile(r"\]\(([^)]+)\)")
CODE = re.compile(r"`([^`]+)`")


def prose(text: str) -> str:
    """Leave out the fenced blocks, in which `#` and `](` mean something else."""
    return BLOCK.sub("", text)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ .*$", prose(text), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return what a link into this page can end in: GitHub's and explicit anchors."""
    text = page.read_text()
    names = (heading.lstrip("# ").lower() for heading in headings(text))
    made = {re.sub(r"[^\w\- ]", "", name).replace(" ", "-") for name in names}
    return made | set(re.findall(r'^<a id="([^"]+)"></a>$', prose(text), re.MULTILINE))


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


def test_every_key_of_the_configuration_is_explained_with_its_default() -> None:
    messages = {
        CODE.findall(row[0])[0]: row[1].strip("`")
        for row in rows(CONFIGURATION)
        if len(row) == 3
    }

    assert messages == {
        str(field.alias): "required"
        if field.is_required()
        else str(field.default).replace("False", "false")
        for field in Settings.model_fields.values()
    }


def test_every_page_can_be_found_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(ENGLISH)}

    assert {f"docs/{page.name}" for page in TOP.glob("docs/*.md")} <= linked


def test_every_policy_is_named_in_the_readme() -> None:
    named = set(re.findall(r"`(policies/\w+\.json)`", ENGLISH))

    assert named == {f"policies/{file.name}" for file in TOP.glob("policies/*.json")}
