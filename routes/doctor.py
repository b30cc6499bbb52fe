"""What a first preview needs, and whether it is there: `python -m routes doctor`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, Final, TypeVar

from botocore import xform_name
from botocore.exceptions import ClientError
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
from routes.text import visible

_Found = TypeVar("_Found")
_BELOW: Final = "see below"
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
    """Check each prerequisite; report why the others could not be checked."""
    cli = _pulumi("version")
    yield judge_cli(cli)
    if not cli:
        yield _not_known("AWS plugin, backend, stack", "no Pulumi CLI")
        return
    yield judge_plugins(_pulumi("plugin", "ls", "--json"), _plugin_on_path())
    backend = _pulumi("whoami", "--verbose", "--json")
    yield judge_backend(backend)
    if not backend:
        yield _not_known("stack, AWS", "no backend")
        return
    if empties := _empty_files(json.loads(backend)["url"], name):
        yield judge_files(empties)
        return
    held = yield from _row("stack", lambda: state.read(name), lambda it: it.name)
    if not held:
        yield _not_known("AWS", "no stack")
        return
    wanted = yield from _row(
        "configuration",
        lambda: settings.load(held.config, held.name),
        lambda _: f"{len(held.config)} keys",
    )
    yield from _examine_aws(held, wanted)


def _examine_aws(held: Stack, wanted: Settings | None) -> Iterator[Check]:
    """Check what needs AWS, with one attempt of a few seconds for each call."""

    def reach() -> Clients:
        access = load_access(held.config, held.name)
        return connect(replace(access, attempts=1), region_of(access), seconds=5)

    clients = yield from _row("credentials", reach, lambda it: f"for {it.region}")
    if not clients:
        yield _not_known("account, rights, plan", "no credentials")
        return
    yield from _row("account", clients.caller, str)
    discovery = None
    planned = None
    if wanted:
        try:
            discovery = discover(clients, wanted, held.readings, held.owners)
            planned = judge_plan(wanted, discovery, held)
        except DeniedError:
            pass  # which right is missing, the rows say
        except LookupFailedError as error:
            planned = Check(what="plan", found=_BELOW, ok=False, remedy=str(error))
    yield from judge_rights(_ask(clients, discovery))
    if planned:
        yield planned


def _row(
    what: str, find: Callable[[], _Found], found: Callable[[_Found], str]
) -> Generator[Check, None, _Found | None]:
    """Yield the row of one prerequisite, and return it; None if it failed."""
    try:
        there = find()
    except RoutesError as error:
        yield Check(what=what, found=_BELOW, ok=False, remedy=str(error))
        return None
    yield Check(what=what, found=found(there))
    return there


def _not_known(what: str, why: str) -> Check:
    return Check(what=what, found=f"not checked: {why}", ok=None)


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


def judge_plugins(listed: str, on_path: str | None = None) -> Check:
    """Judge what `pulumi plugin ls --json` listed, and the one that is on PATH.

    The engine prefers a plugin on PATH to an installed one (pulumi/pulumi,
    sdk/go/common/workspace/plugins.go); Nix installs plugins this way.
    """
    wanted = version("pulumi-aws")
    plugins = json.loads(listed or "[]")
    found = sorted(
        each.get("version") or "of no version"
        for each in plugins
        if each["name"] == "aws"
    )
    return Check(
        what="AWS plugin",
        found=on_path or ", ".join(found) or "none",
        ok=bool(on_path) or wanted in found,
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
        table.add_row(*map(Text, (mark, check.what, visible(check.found))))
    console.print(table)
    missing = [check for check in seen if check.ok is False]
    for remedy in dict.fromkeys(check.remedy for check in missing):
        console.print(Text(remedy), soft_wrap=True)
    if missing:
        return 1
    if all(check.ok for check in seen):
        console.print("Nothing is missing.")
        return 0
    console.print("Nothing is missing, as far as it could be told.")
    return 2


def _plugin_on_path() -> str | None:
    """Return the plugin that the engine prefers to installed ones."""
    if os.environ.get("PULUMI_IGNORE_AMBIENT_PLUGINS") in {"1", "true"}:
        return None
    return shutil.which("pulumi-resource-aws")


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

    def ask(action: str) -> str:
        request = arguments.get(action, {})
        if request is None:
            return ""
        try:
            with clients.explained(action):
                try:
                    getattr(client, xform_name(action))(DryRun=True, **request)
                except ClientError as error:
                    return error.response["Error"]["Code"]
        except LookupFailedError:
            return "no answer"
        return "an answer without a dry run"

    actions = dict.fromkeys(a for actions in RIGHTS.values() for a in actions)
    with ThreadPoolExecutor(len(actions)) as pool:
        return dict(zip(actions, pool.map(ask, actions), strict=True))


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
