"""What a first preview needs, and whether it is there: `python -m routes doctor`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from botocore import xform_name
from botocore.exceptions import ClientError
from rich import box
from rich.console import Console
from rich.table import Table

from routes import remedies, settings
from routes.aws.access import load_access
from routes.aws.clients import Clients, connect, region_of
from routes.aws.discovery import discover
from routes.engine import files, state
from routes.engine.files import Empty
from routes.engine.state import Stack
from routes.errors import DeniedError, LookupFailedError, PlanError, RoutesError
from routes.model import Discovery, Worker
from routes.planning import plan
from routes.report.summary import counted
from routes.settings import Settings

OLDEST_CLI: Final = (3, 250, 0)
_READ: Final = (
    "DescribeRouteTables",
    "DescribeVpcs",
    "DescribeInstances",
    "DescribeInstanceAttribute",
)
RIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    "preview": _READ,
    "up": (*_READ, "CreateRoute", "ReplaceRoute", "DeleteRoute"),
    "verify": (
        *_READ,
        "DescribeSubnets",
        "DescribeNetworkInterfaces",
        "DescribeNetworkAcls",
        "DescribeSecurityGroupRules",
        "DescribeManagedPrefixLists",
        "DescribeNatGateways",
        "GetManagedPrefixListEntries",
    ),
}
"""The actions of each of policies/."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that is needed.

    Attributes:
        ok: whether it is there; None where that could not be told.
        remedy: what to do about it, in lines shown as they are.
    """

    what: str
    found: str
    ok: bool | None = True
    remedy: str = ""


def examine(name: str | None) -> Iterator[Check]:
    """Look at one thing after the other, until one is missing that the rest needs."""
    cli = _pulumi("version")
    yield judge_cli(cli)
    if not cli:
        return
    yield judge_plugins(_pulumi("plugin", "ls", "--json"))
    backend = _pulumi("whoami", "--verbose", "--json")
    yield judge_backend(backend)
    if not backend:
        return
    what = "stack"
    if empties := _empty_files(json.loads(backend)["url"], name):
        yield judge_files(empties)
        return
    try:
        held = state.read(name)
        yield Check(what=what, found=held.name)
        what = "configuration"
        wanted = settings.load(held.config, held.name)
        access = load_access(held.config, held.name)
        yield Check(what=what, found=f"{len(held.config)} keys")
        what = "region"
        region = region_of(access)
        yield Check(what=what, found=region)
        what = "credentials"
        clients = connect(access, region)
        with clients.explained("GetCallerIdentity"):
            caller = clients.sts.get_caller_identity()
        yield Check(what=what, found=caller["Arn"].rpartition(":")[2])
        yield Check(what="account", found=caller["Account"])
    except RoutesError as error:
        yield Check(what=what, found="see below", ok=False, remedy=str(error))
        return
    discovery = None
    try:
        discovery = discover(clients, wanted, held.readings, held.owners)
        planned = judge_plan(wanted, discovery, held)
    except DeniedError:
        planned = None  # which right is missing, the rows say
    except LookupFailedError as error:
        planned = Check(what="workers", found="see below", ok=False, remedy=str(error))
    yield from judge_rights(_ask(clients, discovery))
    if planned:
        yield planned


def judge_cli(said: str) -> Check:
    """Judge what `pulumi version` said, nothing where there is none."""
    numbers = tuple(map(int, re.findall(r"\d+", said)))
    return Check(
        what="Pulumi CLI",
        found=said or "not on PATH",
        ok=numbers >= OLDEST_CLI,
        remedy=f"Install {'.'.join(map(str, OLDEST_CLI))} or newer:"
        " https://www.pulumi.com/docs/install/",
    )


def judge_plugins(listed: str) -> Check:
    """Judge what `pulumi plugin ls --json` listed."""
    wanted = version("pulumi-aws")
    found = [each["version"] for each in json.loads(listed) if each["name"] == "aws"]
    return Check(
        what="AWS plugin",
        found=", ".join(sorted(found)) or "none",
        ok=wanted in found,
        remedy=remedies.line("pulumi", "plugin", "install", "resource", "aws", wanted),
    )


def judge_backend(said: str) -> Check:
    """Judge what `pulumi whoami` said, nothing where nobody is logged in."""
    return Check(
        what="backend",
        found=json.loads(said)["url"] if said else "not logged in",
        ok=bool(said),
        remedy=remedies.line("pulumi", "login"),
    )


def judge_files(empties: tuple[Empty, ...]) -> Check:
    """Judge what is empty in a backend of files."""
    return Check(
        what="stack",
        found="empty files, see below",
        ok=False,
        remedy=files.refused(empties),
    )


def judge_plan(wanted: Settings, discovery: Discovery, held: Stack) -> Check:
    """Judge whether the first preview would be refused for what EC2 answered."""
    try:
        planned = plan.make(wanted, discovery, held)
    except PlanError as error:
        return Check(what="plan", found="refused", ok=False, remedy=str(error))
    found = counted(len(planned.declared), "route")
    if planned.problems:
        found += f"; others held back by {counted(len(planned.problems), 'fault')}"
    return Check(
        what="plan",
        found=found,
        ok=not planned.problems,
        remedy="\n".join(map(str, planned.problems)),
    )


def judge_rights(answers: Mapping[str, str]) -> Iterator[Check]:
    """Judge what EC2 answered to each action's dry run, "" where it was not asked.

    "If you have the required permissions, the error response is DryRunOperation.
    Otherwise, it is UnauthorizedOperation" (EC2 API Reference, `DryRun` of each
    action). Another answer tells nothing of rights.
    """
    for action, answer in answers.items():
        needed = [step for step, actions in RIGHTS.items() if action in actions]
        yield Check(
            what=f"ec2:{action}",
            found={
                "DryRunOperation": "allowed",
                "UnauthorizedOperation": f"not allowed; needed by {', '.join(needed)}",
                "": "not asked: no table or worker of the stack is known",
            }.get(answer, f"EC2 does not tell: {answer}"),
            ok={"DryRunOperation": True, "UnauthorizedOperation": False}.get(answer),
            remedy=f"Allow it: policies/{needed[0]}.json",
        )


def show(checks: Iterable[Check], console: Console) -> int:
    """Print a table of what is there and what is missing, and return an exit code.

    0: nothing is missing; 1: something is; 2: it could not be told of everything.
    """
    seen = [*checks]
    table = Table(
        "", "What", "Found", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False
    )
    for check in seen:
        mark = {True: "ok", False: "MISSING", None: "?"}[check.ok]
        table.add_row(mark, check.what, check.found)
    console.print(table)
    missing = [check for check in seen if check.ok is False]
    for remedy in dict.fromkeys(check.remedy for check in missing):
        console.print(remedy, soft_wrap=True, markup=False)
    if missing:
        return 1
    if all(check.ok for check in seen):
        console.print("Nothing is missing.")
        return 0
    console.print("Nothing is missing, as far as it could be told.")
    return 2


def _pulumi(*arguments: str) -> str:
    """Run the CLI; return what it printed, nothing if it failed or is not there."""
    try:
        answer = subprocess.run(
            ["pulumi", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return "" if answer.returncode else answer.stdout.strip()


def _empty_files(url: str, name: str | None) -> tuple[Empty, ...]:
    """Look for empty files; without a project there are none to look for."""
    try:
        stored = files.of_stack(url, name)
    except FileNotFoundError:
        return ()
    return stored.empty() if stored else ()


def _ask(clients: Clients, discovery: Discovery | None) -> dict[str, str]:
    """Ask for a dry run of each action, with arguments that name what there is."""
    client: Any = clients.ec2
    arguments = _arguments(discovery)
    answers = {}
    for action in dict.fromkeys(a for actions in RIGHTS.values() for a in actions):
        request = arguments.get(action, {})
        answers[action] = ""
        if request is None:
            continue
        try:
            getattr(client, xform_name(action))(DryRun=True, **request)
        except ClientError as error:
            answers[action] = error.response["Error"]["Code"]
    return answers


def _arguments(discovery: Discovery | None) -> dict[str, dict[str, str] | None]:
    """Return what an action is asked with beside the dry run; None if not known."""
    tables = discovery.tables.values() if discovery else ()
    workers = discovery.workers.values() if discovery else ()
    table = next((each.id for found in tables for each in found), None)
    worker: Worker | None = next((w for found in workers for w in found), None)
    way = table and {"RouteTableId": table, "DestinationCidrBlock": "192.0.2.0/24"}
    interface = worker and worker.interface and worker.interface.id
    to = way and interface and way | {"NetworkInterfaceId": interface}
    asked = worker and {"InstanceId": worker.instance_id, "Attribute": "userData"}
    return {
        "CreateRoute": to or None,
        "ReplaceRoute": to or None,
        "DeleteRoute": way or None,
        "DescribeInstanceAttribute": asked or None,
        "GetManagedPrefixListEntries": {"PrefixListId": "pl-00000000000000000"},
    }
