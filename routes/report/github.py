"""A verification as annotations of a GitHub workflow's run."""

from __future__ import annotations

from typing import Final

from routes.errors import Severity
from routes.report.summary import Summary
from routes.verify.verification import Verification

_COMMANDS: Final = {
    Severity.ERROR: "error",
    Severity.UNKNOWN: "warning",
    Severity.WARNING: "warning",
    Severity.INFO: "notice",
}
"""See GitHub Docs, "Workflow commands for GitHub Actions"."""


def render(verification: Verification) -> str:
    """Return a line for each finding, and the headline."""
    summary = Summary(verification)
    lines = [
        f"::{_COMMANDS[finding.severity]} title=pod-routes::{_escaped(str(finding))}"
        for findings in summary.sections.values()
        for finding in findings
    ]
    return "\n".join([*lines, f"{summary.headline}."])


def _escaped(text: str) -> str:
    """Escape a message of several lines as GitHub's own toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
