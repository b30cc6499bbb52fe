"""What a stack is configured to, and holds: changed by nothing here.

The program asks its engine (`current`), the command line the CLI (`read`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

import pulumi
from pulumi.runtime import get_config_env, is_config_secret

from routes import memory, remedies
from routes.errors import Finding, LookupFailedError
from routes.memory import Reading
from routes.model import (
    COMPONENT_TYPE,
    NAMESPACE,
    ROUTE_TYPE,
    ManagedRoute,
    PodRoute,
    as_destination,
    import_id,
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
"""Of a route's outputs, the one that is not empty."""
EXPECT_ROUTES: Final = "POD_ROUTES_EXPECT_ROUTES"
"""In the environment of one command, not empty: the stack has routes. The update holds
the stack's lock when it reads the state, so no destroy can come between."""
_STACK_TYPE: Final = "pulumi:pulumi:Stack"
_SECRET: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105
"""The key that marks a wrapped secret in an exported state (Pulumi's SDKs)."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One stack, as its file has it, and as its last update left it.

    Attributes:
        config: the whole configuration: namespaced keys, values as text.
        managed: every route in the state by its import id, whoever declared it.
        duplicates: import ids that the state has more than once, and the URNs beside
            the one in `managed`.
        components: name of each PodNetworkRoutes in the state, and its URN.
        declared: the routes of the last update, by their import ids; a refresh leaves
            them as they were.
        readings: what that update read of the workers.
        pending: what an update has begun that still runs, or that was interrupted.
        begun: the import ids of the routes that it was creating, and their targets.
        changed: import id of each route in the state, and when an update of the stack
            created or changed it last; only `read` knows.
        is_empty: whether the state has no resource at all, as before the first update
            and after a destroy; only `read` knows.
    """

    name: str
    config: Mapping[str, str]
    managed: Mapping[str, ManagedRoute]
    components: Mapping[str, str]
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    declared: Mapping[str, PodRoute[str]] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    pending: tuple[str, ...] = ()
    begun: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, datetime] = field(default_factory=dict)
    is_empty: bool = False

    @property
    def targets(self) -> dict[str, str]:
        """The network interface of each route in the state, by import id."""
        return {each: route.target for each, route in self.managed.items()}

    @property
    def owners(self) -> dict[str, str]:
        """The instance that each route in the state is for, by import id, or ""."""
        return {
            each: (declared.instance_id if declared else None) or route.instance_id
            for each, route in self.managed.items()
            for declared in [self.declared.get(each)]
        }


def current() -> Stack:
    """Return the stack that this program runs for; no AWS call, no resource.

    Raises:
        LookupFailedError: the engine cannot read the state, or it has neither route nor
            component although this update was begun for one that had.
    """
    name = pulumi.get_stack()
    held = _held(f"{pulumi.get_organization()}/{pulumi.get_project()}/{name}")
    stack = _stack(
        name,
        {
            key: Secret(value) if is_config_secret(key) else str(value)
            for key, value in get_config_env().items()
        },
        ((urn, each["outputs"]) for urn, each in held.items()),
    )
    if os.environ.get(EXPECT_ROUTES) and not (stack.targets or stack.components):
        raise LookupFailedError(
            f"Stack {name} was destroyed before this update began; nothing was changed."
        )
    return stack


def _held(path: str) -> Mapping[str, Any]:
    """Ask the engine, and once more if it was just writing.

    An update writes the state while its program starts. A backend of files keeps a
    second file beside it, empty for a moment: "failed to load checkpoint: EOF". One in
    the layout from before projects knows a stack by its last name alone.
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
            held: Mapping[str, Any] = answer.value["outputs"]
            return held
    raise LookupFailedError(f"The state cannot be read.\n{reason}")


def read(name: str | None, cli: PulumiCommand | None = None) -> Stack:
    """Return a stack of the project in the working directory, else the selected one.

    Args:
        name: of the stack.
        cli: what runs the commands; to find one takes a command.

    Raises:
        LookupFailedError: no such stack or project, no engine, or a wrong passphrase.
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
        said = _last_words(error)
        is_unknown = said.startswith("no stack named")
        fault = Finding(
            where=f"{f'stack {name} of ' if name else ''}this folder's project",
            problem=f"cannot be read: {said}",
            remedy="List the stacks:" if is_unknown else "",
            command=remedies.line("pulumi", "stack", "ls") if is_unknown else "",
        )
        raise LookupFailedError(str(fault)) from None
    resources = {
        resource["urn"]: resource
        for resource in state.get("resources") or []
        if not resource.get("delete")  # it waits for deletion
    }
    held = _stack(
        name,
        {
            key: Secret(found.value) if found.secret else found.value
            for key, found in config.items()
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
        held,
        pending=tuple(
            f"{kind} {resource['urn'].rpartition('::')[2]}"
            for kind, resource in pending
        ),
        begun={key: route.target for key, route in creating},
        changed={
            key: datetime.fromisoformat(resources[route.urn]["modified"])
            for key, route in held.managed.items()
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
    """Sort a state's resources, each a URN with its outputs.

    A URN ends in the types from the outermost parent on, and the resource's name.
    """
    if once := os.environ.get(remedies.REMOVALS_ONCE):
        config = {**config, f"{NAMESPACE}:maxRemovals": once}
    found: dict[str, list[ManagedRoute]] = {}
    components = {}
    exported: Mapping[str, Any] = {}
    for urn, outputs in resources:
        _, _, types, named = urn.split("::", 3)
        if types.rpartition("$")[2] == ROUTE_TYPE:
            key, route = _managed(urn, outputs)
            found.setdefault(key, []).append(route)
        elif types.endswith(COMPONENT_TYPE):
            components[named] = urn
        elif types == _STACK_TYPE:
            exported = outputs
    for each in found.values():
        each.sort(key=lambda route: (-route.urn.count(COMPONENT_TYPE), route.urn))
    return Stack(
        name=name,
        config=config,
        managed={key: each[0] for key, each in found.items()},
        components=components,
        duplicates={
            key: tuple(route.urn for route in others)
            for key, (_, *others) in found.items()
            if others
        },
        declared=_declared(exported.get("routes")),
        readings=memory.parse(exported.get(memory.OUTPUT)),
    )


def _managed(urn: str, outputs: Mapping[str, Any]) -> tuple[str, ManagedRoute]:
    """Read a route's identity and target from its outputs; its name may be anything."""
    values = {key: _plain(value) for key, value in outputs.items()}
    destination = next(filter(None, map(values.get, _DESTINATIONS)), "")
    key = import_id(values.get("routeTableId", ""), as_destination(destination))
    return key, ManagedRoute(
        urn=urn,
        target=values.get("networkInterfaceId") or "",
        instance_id=values.get("instanceId") or "",
    )


def _declared(
    output: Any,  # noqa: ANN401 - as the state has it
) -> Mapping[str, PodRoute[str]]:
    """Read what the program exports; nothing of what another program does."""
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
    return {route.import_id: route for route in routes}


def _plain(value: Any) -> Any:  # noqa: ANN401 - as the state has it
    """Unwrap a secret."""
    if isinstance(value, Mapping) and _SECRET in value:
        return json.loads(value["plaintext"])
    return value


def _last_words(error: Exception) -> str:
    """Return the CLI's own message out of everything that the Automation API quotes."""
    if isinstance(error, FileNotFoundError):
        return "the Pulumi CLI is not on PATH. See https://www.pulumi.com/docs/install/"
    lines = [line.strip() for line in str(error).splitlines()]
    first = next((line for line in lines if "error: " in line), lines[0])
    return first.rpartition("error: ")[2]
