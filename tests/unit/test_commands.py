"""Suggested commands."""

from __future__ import annotations

import pytest

from routes import commands


@pytest.mark.parametrize(("protect", "word"), [(True, "true"), (False, "false")])
def test_an_import_protects_as_the_stack_does(word: str, *, protect: bool) -> None:
    """`pulumi import` protects what it imports, by default."""
    assert f" --protect={word}" in commands.import_routes("dev", protect=protect)
