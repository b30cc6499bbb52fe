"""Suggested commands, as they are pasted."""

from __future__ import annotations

import pytest

from routes import remedies


@pytest.mark.parametrize(("protect", "word"), [(True, "true"), (False, "false")])
def test_an_import_protects_as_the_stack_does(word: str, *, protect: bool) -> None:
    """`pulumi import` protects what it imports, by default."""
    assert f" --protect={word}" in remedies.import_routes("dev", protect=protect)
