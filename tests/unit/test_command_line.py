"""How `python -m routes` ends."""

from __future__ import annotations

import pytest

from routes import __main__ as command_line
from routes.errors import RoutesError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RoutesError("no such stack"), "error: no such stack\n"),
        (PermissionError(13, "Permission denied", "x"), "Permission denied: 'x'\n"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug\n"),
    ],
)
def test_whatever_fails_ends_with_two_and_not_as_a_verdict(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(command_line, "main", fail)

    with pytest.raises(SystemExit) as caught:
        command_line.run()

    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith(said)
