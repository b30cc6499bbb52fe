"""A stack's configuration and state, read outside the engine, changing neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.automation import LocalWorkspace
from pulumi.automation.errors import CommandError

from routes.errors import Fault, LookupFailedError
from routes.model import COMPONENT_TYPE, ROUTE_TYPE, import_id


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One stack, as the backend and its file have it.

    Attributes:
        config: the whole configuration: namespaced keys, values as text.
        targets: import id of each route in the state, and its network interface, ""
            where a refresh found that it leads to something else.
        components: name of each PodNetworkRoutes in the state, and its URN.
    """

    name: str
    config: Mapping[str, str]
    targets: Mapping[str, str]
    components: Mapping[str, str]


def read(name: str) -> Stack:
    """Return a stack of the project in the working directory.

    Raises:
        LookupFailedError: no such stack or project, no engine, or a wrong passphrase.
    """
    try:
        workspace = LocalWorkspace(work_dir=".")
        config = workspace.get_all_config(name)
        state = workspace.export_stack(name).deployment or {}
    except (CommandError, FileNotFoundError) as error:
        fault = Fault(
            where=f"stack {name} of this folder's project",
            problem="cannot be read:",
            rows=(_last_words(error),),
            remedy="List the stacks:",
            command="pulumi stack ls",
        )
        raise LookupFailedError(str(fault)) from None
    resources: list[Mapping[str, Any]] = state.get("resources") or []
    return Stack(
        name=name,
        config={key: found.value for key, found in config.items()},
        targets={
            _import_id(resource["inputs"]): resource["inputs"].get(
                "networkInterfaceId", ""
            )
            for resource in resources
            if resource["type"] == ROUTE_TYPE
        },
        components={
            resource["urn"].rpartition("::")[2]: resource["urn"]
            for resource in resources
            if resource["type"] == COMPONENT_TYPE
        },
    )


def _import_id(inputs: Mapping[str, str]) -> str:
    cidr = inputs.get("destinationCidrBlock") or inputs.get("destinationIpv6CidrBlock")
    return import_id(inputs["routeTableId"], cidr)


def _last_words(error: Exception) -> str:
    """Return the CLI's own message out of everything that the Automation API quotes."""
    lines = [line.strip() for line in str(error).splitlines()]
    first = next((line for line in lines if "error: " in line), lines[0])
    return first.rpartition("error: ")[2]
