"""The README's pictures show the current program."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sandbox import pictures


def test_the_pictures_show_the_current_program() -> None:
    assert pictures.STAMP.read_text() == f"{pictures.inputs()}\n", (
        "docs/pictures is out of date: run make pictures, and look at the changes"
    )


def test_the_animation_shows_every_line_at_its_time() -> None:
    svg = pictures.animation([(0.1, "$ a < b"), (60, ""), (0.2, "c & d")])

    root = ET.fromstring(svg)  # noqa: S314 - our own
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["$ a < b", "c & d"]
    assert "animation: film 7.2s" in svg  # 60 seconds of waiting are shortened to 1.5
