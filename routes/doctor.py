"""Check everything that a first preview needs: `python -m routes doctor`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import (
    Callable,
    Container,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore import xform_name
from botocore.exceptions import ClientError
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from routes import commands, settings
from routes.aws.access import load_access
from routes.aws.clients import POOL_SIZE, Clients, connect, region_of
from routes.aws.discovery import discover
from routes.engine import files, state
from routes.engine.files import Empty
from routes.engine.state import Stack
from routes.errors import (
    DeniedError,
    Finding,
    LookupFailedError,
    PlanError,
    RoutesError,
    Severity,
)
from routes.model import Discovery, Node
from routes.planning import plan
from routes.report.summary import counted
from routes.settings import Settings

if TYPE_CHECKING:
    from routes.kube.cluster import Cluster

_Result = TypeVar("_Result")
_BELOW: Final = "see below"
_SECONDS: Final = 5
"""How long an answer of EC2 or the API server may take."""
OLDEST_CLI: Final = (3, 250, 0)
_POLICIES: Final = Path(__file__).resolve().parents[1] / "policies"


def actions() -> dict[str, tuple[str, ...]]:
    """Return the EC2 actions of each policy in policies/, none without that folder."""
    policies = {
        name: json.loads((_POLICIES / f"{name}.json").read_text())
        for name in ("preview", "up", "verify", "checks")
        if _POLICIES.exists()
    }
    return {
        name: tuple(
            action.removeprefix("ec2:")
            for statement in policy["Statement"]
            for action in _listed(statement.get("Action", []))
            if action.startswith("ec2:")
        )
        for name, policy in policies.items()
    }


def _listed(value: str | list[str]) -> list[str]:
    """Return the list that a policy may abbreviate as its only item."""
    return [value] if isinstance(value, str) else value


def examine(name: str | None) -> Iterator[Finding]:
    """Yield the result of each check, or the reason why it wasn't made."""
    cli = _pulumi("version")
    yield check_cli(cli)
    if not cli:
        yield _not_checked("AWS plugin, backend, stack", "no Pulumi CLI")
        return
    yield check_plugins(_pulumi("plugin", "ls", "--json"), _plugin_on_path())
    backend = _pulumi("whoami", "--verbose", "--json")
    yield check_backend(backend)
    if not backend:
        yield _not_checked("stack, AWS", "no backend")
        return
    if empties := _empty_files(json.loads(backend)["url"], name):
        yield _missing("stack", "empty files, see below", files.repair_message(empties))
        return
    stack = yield from _row("stack", lambda: state.read(name), lambda it: it.name)
    if not stack:
        yield _not_checked("AWS", "no stack")
        return
    configured = yield from _row(
        "configuration",
        lambda: settings.load(stack.config, stack.name),
        lambda _: f"{len(stack.config)} keys",
    )
    list_nodes = None
    if configured and configured.pod_cidr_from == "node":
        list_nodes = yield from _examine_cluster(configured)
    yield from _examine_aws(stack, configured, list_nodes)


def _examine_cluster(
    configured: Settings,
) -> Generator[Finding, None, Callable[[], tuple[Node, ...]]]:
    """Check what needs the API server, and return what lists its Nodes."""
    from routes.kube.cluster import Cluster  # noqa: PLC0415 - seldom needed

    cluster = yield from _row(
        "kubeconfig", lambda: Cluster(configured, _SECONDS), lambda it: it.context
    )
    if not cluster:
        yield _not_checked("API server, Nodes", "no kubeconfig")
        return _no_nodes
    version = yield from _row(
        "API server", cluster.version, lambda it: f"{it} at {cluster.server}"
    )
    if not version:
        yield _not_checked("list Nodes, watch Nodes", "no API server")
        return _no_nodes
    may_list = yield from _row_of_rule(cluster, "list")
    yield from _row_of_rule(cluster, "watch")
    return cluster.nodes if may_list else _no_nodes


def _no_nodes() -> tuple[Node, ...]:
    """Stand in for Nodes that can't be listed."""
    return ()


def _row_of_rule(cluster: Cluster, verb: str) -> Generator[Finding, None, bool]:
    """Yield the row of an RBAC rule, and return whether the credentials have it."""

    def require() -> bool:
        cluster.require(verb)
        return True

    result = yield from _row(f"{verb} Nodes", require, lambda _: "allowed")
    return bool(result)


def _examine_aws(
    stack: Stack,
    configured: Settings | None,
    list_nodes: Callable[[], tuple[Node, ...]] | None,
) -> Iterator[Finding]:
    """Check what needs AWS, with one attempt of a few seconds for each call."""

    def reach() -> Clients:
        access = load_access(stack.config, stack.name)
        return connect(replace(access, attempts=1), region_of(access), _SECONDS)

    clients = yield from _row("credentials", reach, lambda it: f"for {it.region}")
    if not clients:
        yield _not_checked("account, permissions, plan", "no credentials")
        return
    yield from _row("account", clients.caller, str)
    discovery = None
    planned = None
    if configured:
        try:
            discovery = discover(
                clients, configured, stack.cached, stack.owners, list_nodes=list_nodes
            )
            planned = _not_checked("plan", "no Nodes")
            if list_nodes is not _no_nodes:
                planned = check_plan(configured, discovery, stack)
        except DeniedError:
            pass  # the rows show which permission is missing
        except LookupFailedError as error:
            planned = _missing("plan", _BELOW, str(error))
    unused = {"checks"}
    if configured and configured.source_dest_check == "disable":
        unused.clear()
    yield from check_permissions(_dry_runs(clients, discovery, unused))
    if planned:
        yield planned


def _row(
    resource: str, read: Callable[[], _Result], describe: Callable[[_Result], str]
) -> Generator[Finding, None, _Result | None]:
    """Yield the row of one prerequisite, and return the result; None if it failed."""
    try:
        result = read()
    except RoutesError as error:
        yield _missing(resource, _BELOW, str(error))
        return None
    yield _ok(resource, describe(result))
    return result


def _ok(resource: str, problem: str) -> Finding:
    return Finding(resource=resource, problem=problem, severity=Severity.INFO)


def _missing(resource: str, problem: str, message: str) -> Finding:
    return Finding(
        resource=resource, problem=problem, details=tuple(message.splitlines())
    )


def _unknown(resource: str, problem: str) -> Finding:
    return Finding(resource=resource, problem=problem, severity=Severity.UNKNOWN)


def _not_checked(resource: str, reason: str) -> Finding:
    return _unknown(resource, f"not checked: {reason}")


def check_cli(output: str) -> Finding:
    """Check the output of `pulumi version`, "" if there is no CLI."""
    if tuple(map(int, re.findall(r"\d+", output))) >= OLDEST_CLI:
        return _ok("Pulumi CLI", output)
    return Finding(
        resource="Pulumi CLI",
        problem=output or "not on PATH",
        hint=f"Install {'.'.join(map(str, OLDEST_CLI))} or newer:"
        " https://www.pulumi.com/docs/install/",
    )


def check_plugins(listed: str, on_path: str | None = None) -> Finding:
    """Check the output of `pulumi plugin ls --json`, and the plugin on PATH.

    The engine prefers a plugin on PATH to an installed one (pulumi/pulumi,
    sdk/go/common/workspace/plugins.go); Nix installs plugins this way.
    """
    expected = version("pulumi-aws")
    versions = sorted(
        each.get("version") or "without a version"
        for each in json.loads(listed or "[]")
        if each["name"] == "aws"
    )
    installed = on_path or ", ".join(versions) or "none"
    if on_path or expected in versions:
        return _ok("AWS plugin", installed)
    return Finding(
        resource="AWS plugin",
        problem=installed,
        command=commands.shell_command(
            "pulumi", "plugin", "install", "resource", "aws", expected
        ),
    )


def check_backend(output: str) -> Finding:
    """Check the output of `pulumi whoami`, "" if nobody is logged in."""
    if output:
        return _ok("backend", json.loads(output)["url"])
    return Finding(resource="backend", problem="not logged in", command="pulumi login")


def check_plan(configured: Settings, discovery: Discovery, stack: Stack) -> Finding:
    """Check whether the first preview would be refused."""
    try:
        planned = plan.validated(configured, discovery, stack)
    except PlanError as error:
        return _missing("plan", "refused", str(error))
    routes = counted(len(planned.declared), "route")
    if not planned.problems:
        return _ok("plan", routes)
    faults = counted(len(planned.problems), "fault")
    message = "\n".join(map(str, planned.problems))
    return _missing("plan", f"{routes}; others blocked by {faults}", message)


def check_permissions(answers: Mapping[str, str]) -> Iterator[Finding]:
    """Check EC2's answer to each action's dry run, "" if it was not called.

    "If you have the required permissions, the error response is DryRunOperation.
    Otherwise, it is UnauthorizedOperation" (EC2 API Reference, `DryRun` of each
    action). Other answers are inconclusive.
    """
    by_policy = actions()
    if not by_policy:
        yield _not_checked("permissions", "policies/ isn't installed; use a clone")
    for action, answer in answers.items():
        resource = f"ec2:{action}"
        needed = [name for name, each in by_policy.items() if action in each]
        if answer == "DryRunOperation":
            yield _ok(resource, "allowed")
        elif answer == "UnauthorizedOperation":
            yield Finding(
                resource=resource,
                problem=f"not allowed; needed by {', '.join(needed)}",
                hint=f"Allow it: policies/{needed[0]}.json",
            )
        elif answer:
            yield _unknown(resource, f"inconclusive: {answer}")
        else:
            yield _not_checked(resource, "no table or worker of the stack is known")


def show(rows: Iterable[Finding], console: Console) -> int:
    """Print a table of the checks, then the fixes, and return an exit code.

    0: nothing is missing; 1: something is; 2: some checks failed to complete.
    """
    findings = [*rows]
    columns = ("", Column("Check", no_wrap=True), "Result")
    table = Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    marks = {Severity.INFO: "ok", Severity.ERROR: "MISSING"}
    for each in findings:
        mark = marks.get(each.severity, "?")
        table.add_row(*map(Text, (mark, each.resource, each.problem)))
    console.print(table)
    missing = [each for each in findings if each.severity is Severity.ERROR]
    for lines in dict.fromkeys((*f.details, f.hint, f.command) for f in missing):
        for line in filter(None, lines):
            console.print(Text(line), soft_wrap=True)
    if missing:
        return 1
    if all(each.severity is Severity.INFO for each in findings):
        console.print("Nothing is missing.")
        return 0
    console.print("Nothing is missing in the checks that completed.")
    return 2


def _plugin_on_path() -> str | None:
    """Return the plugin on PATH, which the engine prefers to installed ones."""
    if os.environ.get("PULUMI_IGNORE_AMBIENT_PLUGINS") in {"1", "true"}:
        return None
    return shutil.which("pulumi-resource-aws")


def _pulumi(*arguments: str) -> str:
    """Return the output of the CLI, "" if it failed or isn't there."""
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
    """Return the stack's empty files; without a project there are none."""
    try:
        stored = files.of_stack(url, name)
    except FileNotFoundError:
        return ()
    return stored.empty() if stored else ()


def _dry_runs(
    clients: Clients, discovery: Discovery | None, unused: Container[str]
) -> dict[str, str]:
    """Return EC2's answer to a dry run of each action, "" if it was not called.

    Args:
        clients: the credentials and the region.
        discovery: the resources that they may name.
        unused: the policies whose actions the stack doesn't need.
    """
    client: Any = clients.ec2
    arguments = _arguments(discovery)

    def dry_run(action: str) -> str:
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
            return "the call failed"
        return "it ignored the dry run"

    by_policy = actions().items()
    every = dict.fromkeys(
        a for name, each in by_policy if name not in unused for a in each
    )
    with ThreadPoolExecutor(POOL_SIZE) as pool:
        return dict(zip(every, pool.map(dry_run, every), strict=True))


def _arguments(discovery: Discovery | None) -> dict[str, dict[str, Any] | None]:
    """Return the arguments of dry runs; None if there is no resource for them."""
    tables = discovery.tables.values() if discovery else ()
    table_id = next((table.id for matches in tables for table in matches), None)
    worker = next(iter(discovery.live.values()), None) if discovery else None
    route = table_id and {
        "RouteTableId": table_id,
        "DestinationCidrBlock": "192.0.2.0/24",
    }
    interface = worker and worker.interface and worker.interface.id
    to_worker = route and interface and route | {"NetworkInterfaceId": interface}
    check = interface and {
        "NetworkInterfaceId": interface,
        "SourceDestCheck": {"Value": False},
    }
    user_data = worker and {"InstanceId": worker.instance_id, "Attribute": "userData"}
    return {
        "CreateRoute": to_worker or None,
        "ReplaceRoute": to_worker or None,
        "DeleteRoute": route or None,
        "DescribeInstanceAttribute": user_data or None,
        "ModifyNetworkInterfaceAttribute": check or None,
        "GetManagedPrefixListEntries": {"PrefixListId": "pl-00000000000000000"},
    }
