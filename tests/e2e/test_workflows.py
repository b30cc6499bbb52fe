"""The steps of the workflows, run in the sandbox with a fake of GitHub's CLI."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import TOP
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.cli_user import CliUser, Outcome

WORKFLOWS = TOP / ".github" / "workflows"
GH = """#!{python}
import json, pathlib, sys
state = pathlib.Path({state!r})
items = json.loads(state.read_text()) if state.exists() else []
area, *words = sys.argv[1:]
option = lambda name: words[words.index(name) + 1]
if area == "api" and words[0] == "--paginate":
    print(json.dumps([items[:1], items[1:]]))
elif area == "api":
    body = option("--raw-field").removeprefix("body=")
    if option("--method") == "POST":
        items.append({{"id": 100 + len(items), "body": body, "at": words[2],
                      "user": {{"login": "github-actions[bot]"}}}})
    else:
        number = int(words[2].rpartition("/")[2])
        next(i for i in items if i["id"] == number)["body"] = body
elif words[0] == "list":
    assert option("--author") == "app/github-actions"
    print(json.dumps([i for i in items if i["open"]]))
elif words[0] == "create":
    number = len(items) + 1
    items.append({{"number": number, "title": option("--title"), "open": True,
                  "body": option("--body")}})
else:
    item = items[int(words[1]) - 1]
    if words[0] == "edit":
        item["body"] = option("--body")
    else:
        item["open"] = words[0] != "close"
state.write_text(json.dumps(items))
"""
"""The commands of GitHub's CLI that the steps run; a file has the items."""


class GitHub:
    """A repository's comments or issues, and the steps that change them."""

    def __init__(self, user: CliUser, folder: Path) -> None:
        self.user = user
        self.state = folder / "github.json"
        self.summary = folder / "summary.md"
        self.bin = folder / "bin"
        self.bin.mkdir()
        gh = self.bin / "gh"
        python = TOP / ".venv" / "bin" / "python"
        gh.write_text(GH.format(python=python, state=str(self.state)))
        gh.chmod(0o755)
        (user.workspace.path / ".github").symlink_to(TOP / ".github")

    @property
    def items(self) -> list[dict[str, Any]]:
        """All of them, oldest first."""
        items: list[dict[str, Any]] = json.loads(self.state.read_text())
        return items

    def runs(self, workflow: str, **extra: str) -> list[Outcome]:
        """Run the steps of a workflow's jobs for stack dev, until one fails."""
        outcomes = []
        for command, names in steps(workflow):
            outcomes.append(self.run(command, **(names | extra)))
            if outcomes[-1].code:
                break
        return outcomes

    def run(self, command: str, **extra: str) -> Outcome:
        """Run one step, as GitHub does."""
        environment = self.user.workspace.environment
        names = {
            "STACK": "dev",
            **extra,
            "PATH": os.pathsep.join([str(self.bin), environment["PATH"]]),
            "GITHUB_REPOSITORY": "owner/cluster",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "PULUMI_BACKEND_URL": environment["PULUMI_BACKEND_URL"],
        }
        return self.user.runs("bash", "-eo", "pipefail", "-c", command, **names)


def steps(workflow: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each command of a workflow, and its environment."""
    document = yaml.safe_load((WORKFLOWS / f"{workflow}.yml").read_text())
    values = {
        "matrix.stack": "dev",
        "matrix.role": "",
        "inputs.stack": "dev",
        "inputs.removals": "",
        "github.event.number": "7",
        "github.token": "token",
        "vars.AWS_REGION": "us-east-1",
        "vars.PULUMI_BACKEND_URL": "",
        "secrets.PULUMI_CONFIG_PASSPHRASE": "sandbox",
        "secrets.passphrase": "sandbox",
    }

    def value(text: object) -> str:
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda m: values[m[1]], str(text))

    for job in document["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                named = {**job.get("env", {}), **step.get("env", {})}
                yield step["run"], {name: value(text) for name, text in named.items()}


@pytest.fixture
def github(user: CliUser, tmp_path: Path) -> GitHub:
    return GitHub(user, tmp_path)


def test_a_pull_request_has_one_comment_that_follows_its_preview(
    github: GitHub,
) -> None:
    (first,) = github.runs("preview")
    assert first.code == 0, first.text
    (comment,) = github.items
    assert comment["at"] == "repos/owner/cluster/issues/7/comments"
    assert "+ 5 to create" in comment["body"]

    github.user.configure(workers="worker-0,worker-9")
    (second,) = github.runs("preview")
    assert second.code != 0
    (comment,) = github.items
    assert "worker-9: expected a live instance" in comment["body"]


def test_another_authors_comment_is_never_mistaken_for_the_preview(
    github: GitHub,
) -> None:
    forged = {
        "id": 1,
        "body": "<!-- preview of dev -->\nnothing to see",
        "user": {"login": "somebody"},
    }
    github.state.write_text(json.dumps([forged]))

    (preview,) = github.runs("preview")

    assert preview.code == 0, preview.text
    assert github.items[0] == forged
    assert "+ 5 to create" in github.items[1]["body"]


@pytest.mark.usefixtures("settled")
def test_a_preview_fails_if_a_route_has_drifted(github: GitHub) -> None:
    github.user.ec2.delete_route(
        RouteTableId=github.user.lab.table_id, DestinationCidrBlock="10.200.1.0/24"
    )
    github.state.write_text("[]")

    (preview,) = github.runs("preview")

    assert preview.code == 1, preview.text
    assert "has drifted" in github.items[0]["body"]


def test_a_check_that_failed_opens_and_closes_no_issue(github: GitHub) -> None:
    github.user.does("pulumi config set aws:maxRetries 2")
    github.state.write_text("[]")
    (unknown,) = github.runs("drift", AWS_ENDPOINT_URL_EC2="http://127.0.0.1:1")

    assert unknown.code == 1
    assert github.items == []


def test_drift_is_one_issue_until_it_is_repaired(github: GitHub) -> None:
    (drift,) = github.runs("drift")
    assert drift.code == 1
    (issue,) = github.items
    assert issue["title"] == "Drift in stack dev"
    assert "10.200.1.0/24" in issue["body"]

    updated = github.runs("stack")
    assert [step.code for step in updated] == [0, 0, 0], updated[-1].text
    assert "+ 5 to create" in github.summary.read_text()
    (agreed,) = github.runs("drift")
    assert agreed.code == 0, agreed.text
    assert not github.items[0]["open"]

    github.user.ec2.delete_route(
        RouteTableId=github.user.lab.table_id, DestinationCidrBlock="10.200.2.0/24"
    )
    github.runs("drift")
    github.user.ec2.delete_route(
        RouteTableId=github.user.lab.table_id, DestinationCidrBlock="10.200.0.0/24"
    )
    github.runs("drift")
    assert [issue["open"] for issue in github.items] == [False, True]
    assert "worker-0  missing" in github.items[1]["body"]


def test_the_nightly_check_assumes_the_configured_role(
    github: GitHub, local_aws: Sandbox
) -> None:
    github.user.does("pulumi up --yes --skip-preview")
    github.state.write_text("[]")
    role = "arn:aws:iam::123456789012:role/pod-routes-check"

    (agreed,) = github.runs("drift", STACK_ROLE=role)

    assert agreed.code == 0, agreed.text
    assert local_aws.count()["AssumeRole"]
    path = "aws:assumeRoles[0].roleArn"
    assert github.user.does(f"pulumi config get --path {path}").text.strip() == role


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(
            lambda user: user.configure(workers="worker-0"), id="fewer workers"
        ),
        pytest.param(
            lambda user: user.ec2.delete_route(
                RouteTableId=user.lab.table_id, DestinationCidrBlock="10.200.0.0/24"
            ),
            id="drift",
        ),
    ],
)
def test_an_update_that_differs_from_the_approved_plan_is_refused(
    github: GitHub, event: Callable[[CliUser], object]
) -> None:
    user = github.user
    user.does("pulumi up --yes --skip-preview")
    (preview, _), (update, _), _ = steps("stack")
    assert github.run(preview).code == 0
    event(user)
    before = user.routes()

    refused = github.run(update)

    assert refused.code == 1
    assert "violates plan" in refused.text
    assert "run all jobs again, and approve anew" in refused.text
    assert user.routes() == before

    assert github.run(preview).code == 0
    assert github.run(update).code == 0


def test_production_is_deployed_after_dev_succeeded() -> None:
    jobs = yaml.safe_load((WORKFLOWS / "up.yml").read_text())["jobs"]

    assert [*jobs] == ["dev", "prod"]
    assert jobs["prod"]["needs"] == "dev"


def test_more_removals_are_allowed_for_one_named_stack() -> None:
    workflow = yaml.safe_load((WORKFLOWS / "up.yml").read_text())

    inputs = workflow[True]["workflow_dispatch"]["inputs"]  # YAML's `on` is true
    assert inputs["stack"]["options"] == [*workflow["jobs"]]
    for name, job in workflow["jobs"].items():
        allowed = f"${{{{ inputs.stack == '{name}' && inputs.removals || '' }}}}"
        assert job["with"] == {"stack": name, "removals": allowed}


HOSTILE = "worker-x\n::add-mask::route\n````\n# forged\n\u202e"


def test_a_name_is_no_workflow_command_and_stays_inside_its_block(
    github: GitHub,
) -> None:
    """See GitHub Docs, "Stopping and starting workflow commands"."""
    labs.add_worker(github.user.ec2, github.user.lab, HOSTILE, address="10.0.1.77")
    github.user.configure(workers="worker-*", unready="skip")

    (preview,) = github.runs("preview")
    summary, *_ = github.runs("stack")

    (comment,) = github.items
    shown = r"worker-x\n::add-mask::route\n````\n# forged\n\u202e"
    assert shown in " ".join(comment["body"].split())
    fence = comment["body"].splitlines()[3].removesuffix("text")
    assert len(fence) > 4
    assert comment["body"].splitlines().count(fence) == 1
    for text in (preview.text, summary.text):
        first, *_, last = text.strip().splitlines()
        token = first.removeprefix("::stop-commands::")
        assert last == f"::{token}::"
        assert text.count(token) == 2
    assert github.summary.read_text().count("```") == 2


def test_the_packages_that_a_workflow_installs_are_sufficient(user: CliUser) -> None:
    folder = user.workspace.path
    (folder / ".venv").unlink()
    shutil.copy(TOP / "requirements.txt", folder)
    action = yaml.safe_load((TOP / ".github/actions/prepare/action.yml").read_text())
    (install,) = (step["run"] for step in action["runs"]["steps"] if "run" in step)

    proxies = {n: v for n, v in os.environ.items() if n.lower().endswith("_proxy")}

    installed = user.runs(
        *("bash", "-eo", "pipefail", "-c", install),
        PIP_NO_COMPILE="1",  # most of the time, and Python compiles what it imports
        **proxies,
    )

    assert installed.code == 0, installed.text
    user.does("pulumi up --yes --skip-preview")
    user.does(".venv/bin/python -m routes verify --stack dev")
    assert "No module named moto" in user.is_refused(".venv/bin/python -m moto")


@pytest.mark.parametrize(
    "path", sorted((TOP / ".github").glob("*/**/*.yml")), ids=lambda path: path.name
)
def test_every_action_is_pinned_by_its_commit(path: Path) -> None:
    for action in re.findall(r"uses: (.+)", path.read_text()):
        assert re.fullmatch(r"\./[\w./-]+|[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", action)
