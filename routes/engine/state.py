"""A read-only view of a stack's configuration and state.

The program reads it from its engine (`current`), a command from the CLI (`read`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

import pulumi
from pulumi.runtime import get_config_env, is_config_secret

from routes import cache, commands
from routes.cache import CachedPodCidrs
from routes.errors import Finding, LookupFailedError
from routes.model import (
    COMPONENT_TYPE,
    NAMESPACE,
    ROUTE_TYPE,
    ManagedRoute,
    PodRoute,
    RouteKey,
    as_destination,
)
from routes.secrets import Secret

if TYPE_CHECKING:
    from pulumi.automation import PulumiCommand, Workspace

_PAUSES: Final = (0, 0.1, 0.3, 0.6)
"""Seconds before each attempt to read the state."""
_DESTINATIONS: Final = (
    "destinationCidrBlock",
    "destinationIpv6CidrBlock",
    "destinationPrefixListId",
)
"""One of these outputs has a route's destination; the others are empty."""
EXPECT_ROUTES: Final = "POD_ROUTES_EXPECT_ROUTES"
"""In the environment of an update: not empty if the stack had routes. The update holds
the stack's lock when it reads the state, so no destroy can happen in between."""
_STACK_TYPE: Final = "pulumi:pulumi:Stack"
_SECRET: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105
"""The key that marks a wrapped secret in an exported state (Pulumi's SDKs)."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One stack's configuration and state.

    Attributes:
        config: the whole configuration: namespaced keys, values as text.
        managed: every route in the state, whoever declared it.
        duplicates: routes that the state has more than once, and the URNs beside the
            one in `managed`.
        components: name of each PodNetworkRoutes in the state, and its URN.
        last_applied: the routes of the last update, as its outputs have them; a refresh
            leaves them as they were.
        cached: the pod CIDRs that the last update read.
        pending: operations of an update that still runs, or was interrupted.
        pending_creates: the routes that such an update was creating, and their targets.
        changed: when an update created or changed each route; only `read` knows.
        is_empty: whether the state has no resource at all, as before the first update
            and after a destroy; only `read` knows.
    """

    name: str
    config: Mapping[str, str]
    managed: Mapping[RouteKey, ManagedRoute]
    components: Mapping[str, str]
    duplicates: Mapping[RouteKey, tuple[str, ...]] = field(default_factory=dict)
    last_applied: Mapping[RouteKey, PodRoute] = field(default_factory=dict)
    cached: tuple[CachedPodCidrs, ...] = ()
    pending: tuple[str, ...] = ()
    pending_creates: Mapping[RouteKey, str] = field(default_factory=dict)
    changed: Mapping[RouteKey, datetime] = field(default_factory=dict)
    is_empty: bool = False

    @cached_property
    def targets(self) -> Mapping[RouteKey, str]:
        """The network interface of each managed route."""
        return {key: route.target for key, route in self.managed.items()}

    @cached_property
    def owners(self) -> Mapping[RouteKey, str]:
        """The instance that each managed route is for, "" if it isn't known."""
        return {
            key: (applied.instance_id if applied else None) or route.instance_id
            for key, route in self.managed.items()
            for applied in [self.last_applied.get(key)]
        }


def current() -> Stack:
    """Return the stack that this program runs for, without a call to AWS.

    Raises:
        LookupFailedError: the engine can't read the state, or the stack was destroyed
            since this update was started for its routes.
    """
    name = pulumi.get_stack()
    resources = _resources(f"{pulumi.get_organization()}/{pulumi.get_project()}/{name}")
    stack = _stack(
        name,
        {
            key: Secret(value) if is_config_secret(key) else str(value)
            for key, value in get_config_env().items()
        },
        ((urn, each["outputs"]) for urn, each in resources.items()),
    )
    if os.environ.get(EXPECT_ROUTES) and not (stack.targets or stack.components):
        raise LookupFailedError(
            f"Stack {name} was destroyed before this update began; nothing was changed."
        )
    return stack


def _resources(path: str) -> Mapping[str, Any]:
    """Ask the engine for the state's resources; retry while it is being written.

    An update writes the state while its program starts. The file backend keeps a second
    file beside it, which is empty for a moment: "failed to load checkpoint: EOF". In
    the layout without projects, the last part of its name identifies a stack.
    """
    reason = ""
    for pause in _PAUSES:
        time.sleep(pause)
        try:
            answer = pulumi.runtime.invoke(
                "pulumi:pulumi:readStackResourceOutputs", {"stackName": path}
            )
        except Exception as error:  # noqa: BLE001 - what an invoke raises has no type
            reason = str(error).rpartition("returned an error: ")[2]
            if "invalid character '/'" in reason:
                path = path.rpartition("/")[2]
        else:
            outputs: Mapping[str, Any] = answer.value["outputs"]
            return outputs
    raise LookupFailedError(f"The state cannot be read.\n{reason}")


def read(name: str | None, cli: PulumiCommand | None = None) -> Stack:
    """Return a stack of the project in the working directory.

    Args:
        name: of the stack; None for the selected one.
        cli: the CLI to use; finding it takes a command of its own.

    Raises:
        LookupFailedError: no such stack or project, no CLI, or a wrong passphrase.
    """
    # The program does without these modules, which take a while to import.
    from pulumi.automation import LocalWorkspace  # noqa: PLC0415
    from pulumi.automation.errors import CommandError  # noqa: PLC0415

    try:
        workspace = LocalWorkspace(work_dir=".", pulumi_command=cli)
        name = name or _selected(workspace)
        config = workspace.get_all_config(name)
        state = workspace.export_stack(name).deployment or {}
    except (CommandError, FileNotFoundError) as error:
        message = _cli_message(error)
        is_unknown = message.startswith("no stack named")
        fault = Finding(
            resource=f"{f'stack {name} of ' if name else ''}this folder's project",
            problem=f"cannot be read: {message}",
            hint="List the stacks:" if is_unknown else "",
            command=commands.shell_command("pulumi", "stack", "ls")
            if is_unknown
            else "",
        )
        raise LookupFailedError(str(fault)) from None
    resources = {
        resource["urn"]: resource
        for resource in state.get("resources") or []
        if not resource.get("delete")  # pending deletion
    }
    stack = _stack(
        name,
        {
            key: Secret(each.value) if each.secret else each.value
            for key, each in config.items()
        },
        ((urn, each.get("outputs", {})) for urn, each in resources.items()),
    )
    pending = [
        (each["type"], each["resource"])
        for each in state.get("pending_operations") or []
    ]
    creating = (
        _managed(resource["urn"], resource.get("inputs", {}))
        for kind, resource in pending
        if kind == "creating" and resource["type"] == ROUTE_TYPE
    )
    return replace(
        stack,
        pending=tuple(
            f"{kind} {resource['urn'].rpartition('::')[2]}"
            for kind, resource in pending
        ),
        pending_creates={key: route.target for key, route in creating},
        changed={
            key: datetime.fromisoformat(resources[route.urn]["modified"])
            for key, route in stack.managed.items()
            if resources[route.urn].get("modified")
        },
        is_empty=not state.get("resources"),
    )


def _selected(workspace: Workspace) -> str:
    selected = workspace.stack()
    if selected is None:
        raise LookupFailedError(
            "No stack is selected. Name one with --stack, or select it:"
            "\n  pulumi stack select"
        )
    return selected.name


def _stack(
    name: str,
    config: Mapping[str, str],
    resources: Iterable[tuple[str, Mapping[str, Any]]],
) -> Stack:
    """Return a stack from its resources, each a URN with its outputs.

    A URN ends in the types, from the outermost parent on, and the resource's name.
    """
    if once := os.environ.get(commands.MAX_REMOVALS):
        config = {**config, f"{NAMESPACE}:maxRemovals": once}
    routes: dict[RouteKey, list[ManagedRoute]] = {}
    components = {}
    exported: Mapping[str, Any] = {}
    for urn, outputs in resources:
        _, _, types, named = urn.split("::", 3)
        if types.rpartition("$")[2] == ROUTE_TYPE:
            key, route = _managed(urn, outputs)
            routes.setdefault(key, []).append(route)
        elif types.endswith(COMPONENT_TYPE):
            components[named] = urn
        elif types == _STACK_TYPE:
            exported = outputs
    for each in routes.values():
        each.sort(key=lambda route: (-route.urn.count(COMPONENT_TYPE), route.urn))
    return Stack(
        name=name,
        config=config,
        managed={key: each[0] for key, each in routes.items()},
        components=components,
        duplicates={
            key: tuple(route.urn for route in others)
            for key, (_, *others) in routes.items()
            if others
        },
        last_applied=_applied(exported.get("routes")),
        cached=cache.from_output(exported.get(cache.OUTPUT)),
    )


def _managed(urn: str, outputs: Mapping[str, Any]) -> tuple[RouteKey, ManagedRoute]:
    """Read a route's key and target from its outputs; its name may be anything."""
    values = {key: _plain(value) for key, value in outputs.items()}
    destination = next(filter(None, map(values.get, _DESTINATIONS)), "")
    key = RouteKey(values.get("routeTableId", ""), as_destination(destination))
    return key, ManagedRoute(
        urn=urn,
        target=values.get("networkInterfaceId") or "",
        instance_id=values.get("instanceId") or "",
    )


def _applied(
    output: Any,  # noqa: ANN401 - as the state has it
) -> Mapping[RouteKey, PodRoute]:
    """Read this program's output `routes`; another program's is ignored."""
    try:
        routes = [
            PodRoute(
                route_table_id=route["routeTableId"],
                destination=ip_network(route["destinationCidr"]),
                network_interface_id=route["networkInterfaceId"],
                worker=route["worker"],
                instance_id=route.get("instanceId"),
                private_ip=route.get("privateIp"),
            )
            for route in output or ()
        ]
    except (KeyError, TypeError, ValueError):
        return {}
    return {route.key: route for route in routes}


def _plain(value: Any) -> Any:  # noqa: ANN401 - as the state has it
    """Unwrap a secret."""
    if isinstance(value, Mapping) and _SECRET in value:
        return json.loads(value["plaintext"])
    return value


def _cli_message(error: Exception) -> str:
    """Return the CLI's own message, without what the Automation API adds."""
    if isinstance(error, FileNotFoundError):
        return "the Pulumi CLI is not on PATH. See https://www.pulumi.com/docs/install/"
    lines = [line.strip() for line in str(error).splitlines()]
    first = next((line for line in lines if "error: " in line), lines[0])
    return first.rpartition("error: ")[2]
