"""What the doctor concludes from each output, and the actions that it tries."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from routes import doctor
from routes.errors import Finding, Severity
from routes.model import Selector
from sandbox import TOP
from tests import builders

OK = Severity.INFO
MISSING = Severity.ERROR
UNKNOWN = Severity.UNKNOWN


def result(finding: Finding) -> tuple[Severity, str]:
    """Return what the doctor shows in a row."""
    return finding.severity, finding.problem


def test_the_actions_are_those_of_every_policy() -> None:
    policies = {
        file.stem: json.loads(file.read_text()) for file in TOP.glob("policies/*.json")
    }

    assert {
        name: [f"ec2:{action}" for action in actions]
        for name, actions in doctor.actions().items()
    } == {
        name: [a for statement in policy["Statement"] for a in statement["Action"]]
        for name, policy in policies.items()
    }


def test_an_update_needs_what_a_preview_needs_and_changes_only_routes() -> None:
    actions = doctor.actions()

    assert {*actions["up"]} - {*actions["preview"]} == {
        "CreateRoute",
        "ReplaceRoute",
        "DeleteRoute",
    }
    assert {*actions["preview"]} <= {*actions["up"]} & {*actions["verify"]}


@pytest.mark.parametrize(
    ("output", "severity"),
    [
        ("v3.250.0", OK),
        ("v3.1000.0", OK),
        ("v3.249.9", MISSING),
        ("", MISSING),
    ],
)
def test_the_cli_must_be_new_enough(output: str, severity: Severity) -> None:
    assert result(doctor.check_cli(output)) == (severity, output or "not on PATH")


@pytest.mark.parametrize(
    ("answer", "severity", "problem", "hint"),
    [
        ("DryRunOperation", OK, "allowed", ""),
        (
            "UnauthorizedOperation",
            MISSING,
            "not allowed; needed by up",
            "Allow it: policies/up.json",
        ),
        (
            "RequestLimitExceeded",
            UNKNOWN,
            "inconclusive: RequestLimitExceeded",
            "",
        ),
        (
            "",
            UNKNOWN,
            "not checked: no table or worker of the stack is known",
            "",
        ),
    ],
)
def test_only_two_answers_to_a_dry_run_decide_about_a_permission(
    answer: str, severity: Severity, problem: str, hint: str
) -> None:
    (check,) = doctor.check_permissions({"CreateRoute": answer})

    assert result(check) == (severity, problem)
    assert check.hint == hint


def test_what_is_missing_is_shown_once_with_the_fix() -> None:
    page = io.StringIO()
    up = doctor.actions()["up"]
    checks = [
        doctor.check_plugins('[{"name": "aws", "version": "6.0.0"}]'),
        doctor.check_backend('{"url": "s3://state"}'),
        *doctor.check_permissions(dict.fromkeys(up[4:], "")),
        *doctor.check_permissions(dict.fromkeys(up[:2], "UnauthorizedOperation")),
    ]

    assert doctor.show(checks, Console(file=page, width=80)) == 1
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[:2] for line in lines if "MISSING" in line] == [
        ["MISSING", "AWS"],
        ["MISSING", "ec2:DescribeRouteTables"],
        ["MISSING", "ec2:DescribeVpcs"],
    ]
    assert lines[-2].startswith("pulumi plugin install resource aws ")
    assert lines[-1] == "Allow it: policies/preview.json"
    assert doctor.show(checks[1:2], Console(file=page, width=80)) == 0


def test_a_check_that_did_not_complete_is_not_shown_as_passed() -> None:
    page = io.StringIO()

    code = doctor.show(
        doctor.check_permissions({"CreateRoute": ""}), Console(file=page, width=80)
    )

    assert code == 2
    assert page.getvalue().endswith("missing in the checks that completed.\n")


def test_a_preview_that_would_be_refused_is_reported_with_its_reasons() -> None:
    configured = builders.settings()
    stack = builders.stack()

    planned = doctor.check_plan(configured, builders.discovery(), stack)
    refused = doctor.check_plan(
        configured, builders.discovery({Selector("worker-0"): ()}), stack
    )

    assert result(planned) == (OK, "3 routes")
    assert result(refused) == (MISSING, "refused")
    assert "expected a live instance" in "\n".join(refused.details)


def test_a_preview_that_would_block_routes_is_reported_with_its_faults() -> None:
    workers = {Selector("worker-*"): (builders.worker(),), Selector("spare"): ()}

    check = doctor.check_plan(
        builders.settings(unready="skip"),
        builders.discovery(workers),
        builders.stack(),
    )

    assert result(check) == (MISSING, "1 route; others blocked by 1 fault")
    assert "expected a live instance" in "\n".join(check.details)


def test_outputs_are_shown_literally() -> None:
    page = io.StringIO()
    url = "file:///srv/[/x]/[work]/state"
    checks = [
        doctor.check_backend(json.dumps({"url": url})),
        Finding(resource="plan", problem="a\x1b[2J\nok b", severity=OK),
    ]

    assert doctor.show(checks, Console(file=page, width=80)) == 0
    assert url in page.getvalue()
    assert r"a\x1b[2J\nok b" in page.getvalue()


def test_a_plugin_on_path_counts_and_one_without_a_version_does_not() -> None:
    """pulumi#14525: Nix installs it so."""
    on_path = doctor.check_plugins("[]", "/nix/bin/pulumi-resource-aws")
    odd = doctor.check_plugins('[{"name": "aws", "version": null}, {"name": "aws"}]')

    assert result(on_path) == (OK, "/nix/bin/pulumi-resource-aws")
    assert odd.severity is MISSING


def test_permissions_are_unknown_without_the_policies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a package that was installed without its repository."""
    monkeypatch.setattr(doctor, "_POLICIES", tmp_path / "policies")

    (row,) = doctor.check_permissions({})

    assert (row.severity, row.resource) == (UNKNOWN, "permissions")


def test_a_policy_may_have_one_action_as_text_and_other_services_actions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = [
        {"Action": "ec2:CreateRoute"},
        {"Action": ["sts:AssumeRole", "ec2:DescribeVpcs"]},
        {"NotAction": "iam:*"},
    ]
    for name in ("preview", "up", "verify", "checks"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"Statement": statements}))
    monkeypatch.setattr(doctor, "_POLICIES", tmp_path)

    assert doctor.actions()["up"] == ("CreateRoute", "DescribeVpcs")
