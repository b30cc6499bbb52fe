"""Suggested commands."""

from __future__ import annotations

import pytest

from routes import commands


@pytest.mark.parametrize(("protect", "word"), [(True, "true"), (False, "false")])
def test_an_import_protects_as_the_stack_does(word: str, *, protect: bool) -> None:
    """`pulumi import` protects what it imports, by default."""
    assert f" --protect={word}" in commands.import_routes("dev", protect=protect)


def test_kubectl_gets_a_path_that_needs_no_shell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    assert commands.kubectl("~/.kube/config", "", "get", "nodes") == (
        "kubectl get nodes --kubeconfig /home/me/.kube/config"
    )
    assert commands.kubectl("", "a b", "get") == "kubectl get --context 'a b'"
