"""What the doctor makes of what it is told, and the rights that it asks for."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from routes import doctor
from routes.model import Selector
from sandbox import TOP
from tests import builders


@pytest.mark.parametrize("name", doctor.RIGHTS)
def test_the_rights_are_those_of_the_policies(name: str) -> None:
    policy = json.loads((TOP / f"policies/{name}.json").read_text())

    allowed = [a for statement in policy["Statement"] for a in statement["Action"]]
    assert allowed == [f"ec2:{action}" for action in doctor.RIGHTS[name]]
    assert {f"{each}.json" for each in doctor.RIGHTS} == {
        file.name for file in TOP.glob("policies/*.json")
    }


@pytest.mark.parametrize(
    ("said", "ok"),
    [("v3.250.0", True), ("v3.1000.0", True), ("v3.249.9", False), ("", False)],
)
def test_the_cli_must_be_new_enough(said: str, *, ok: bool) -> None:
    check = doctor.judge_cli(said)

    assert check.ok is ok
    assert check.found == (said or "not on PATH")


@pytest.mark.parametrize(
    ("answer", "ok", "found"),
    [
        ("DryRunOperation", True, "allowed"),
        ("UnauthorizedOperation", False, "not allowed; needed by up"),
        ("RequestLimitExceeded", None, "EC2 does not tell: RequestLimitExceeded"),
        ("", None, "not asked: no table or worker of the stack is known"),
    ],
)
def test_only_two_answers_to_a_dry_run_tell_of_rights(
    answer: str, *, ok: bool | None, found: str
) -> None:
    (check,) = doctor.judge_rights({"CreateRoute": answer})

    assert (check.ok, check.found) == (ok, found)
    assert check.remedy == "Allow it: policies/up.json"


def test_what_is_missing_is_told_once_with_what_to_do() -> None:
    page = io.StringIO()
    checks = [
        doctor.judge_plugins('[{"name": "aws", "version": "6.0.0"}]'),
        doctor.judge_backend('{"url": "s3://state"}'),
        *doctor.judge_rights(dict.fromkeys(doctor.RIGHTS["up"][4:], "")),
        *doctor.judge_rights(
            dict.fromkeys(doctor.RIGHTS["up"][:2], "UnauthorizedOperation")
        ),
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


def test_what_could_not_be_told_is_not_called_there() -> None:
    page = io.StringIO()

    code = doctor.show(
        doctor.judge_rights({"CreateRoute": ""}), Console(file=page, width=80)
    )

    assert code == 2
    assert page.getvalue().endswith("missing, as far as it could be told.\n")


def test_a_preview_that_would_be_refused_is_told_with_its_reasons() -> None:
    wanted = builders.settings()
    held = builders.stack()

    well = doctor.judge_plan(wanted, builders.discovery(), held)
    refused = doctor.judge_plan(
        wanted, builders.discovery({Selector("worker-0"): ()}), held
    )

    assert (well.ok, well.found) == (True, "3 routes")
    assert (refused.ok, refused.found) == (False, "refused")
    assert "expected a live instance" in refused.remedy


def test_a_preview_that_would_hold_routes_back_is_reported_with_its_faults() -> None:
    workers = {Selector("worker-*"): (builders.worker(),), Selector("spare"): ()}

    check = doctor.judge_plan(
        builders.settings(unready="skip"),
        builders.discovery(workers),
        builders.stack(),
    )

    assert (check.ok, check.found) == (False, "1 route; others held back by 1 fault")
    assert "expected a live instance" in check.remedy


def test_what_was_found_is_shown_as_it_is() -> None:
    page = io.StringIO()
    url = "file:///srv/[/x]/[work]/state"
    checks = [
        doctor.judge_backend(json.dumps({"url": url})),
        doctor.Check(what="plan", found="a\x1b[2J\nok b"),
    ]

    assert doctor.show(checks, Console(file=page, width=80)) == 0
    assert url in page.getvalue()
    assert r"a\x1b[2J\nok b" in page.getvalue()


def test_a_plugin_on_path_counts_and_one_without_a_version_does_not() -> None:
    """pulumi#14525: Nix installs it so."""
    on_path = doctor.judge_plugins("[]", "/nix/bin/pulumi-resource-aws")
    odd = doctor.judge_plugins('[{"name": "aws", "version": null}, {"name": "aws"}]')

    assert (on_path.ok, on_path.found) == (True, "/nix/bin/pulumi-resource-aws")
    assert odd.ok is False
