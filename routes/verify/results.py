"""The results of a check: its findings, and the packets that each affects."""

from __future__ import annotations

from typing import TypeAlias

from routes.errors import Finding, Severity
from routes.verify.snapshot import Snapshot
from routes.verify.stages import CheckKind

CheckFindings: TypeAlias = list[tuple[Finding, str]]
"""Findings, each with a worker, a pod CIDR or a range that it affects; "" for all."""


def denied(snapshot: Snapshot, action: str, check: CheckKind) -> CheckFindings:
    """Report a denied action, which is UNKNOWN_RESOURCE in Reachability Analyzer."""
    if action not in snapshot.denied:
        return []
    return [(unknown(check, f"ec2:{action}", "was denied"), "")]


def unknown(check: CheckKind, resource: str, problem: str) -> Finding:
    """Return a finding about a resource that was not read."""
    return Finding(
        check=check,
        resource=resource,
        problem=f"{problem}, so the result is unknown",
        severity=Severity.UNKNOWN,
    )


def note(check: CheckKind, resource: str, problem: str) -> Finding:
    """Return a finding that blocks nothing."""
    return Finding(
        check=check, resource=resource, problem=problem, severity=Severity.INFO
    )
