"""The suggested commands, each one line to paste into a shell.

A command is an argument list that only `shell_command` turns into text, so that no name
or value from AWS or the configuration can have a meaning to the shell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import IPv6Network
from pathlib import Path
from typing import Final

from routes.model import NAMESPACE, Destination, Selector
from routes.text import quoted

MAX_REMOVALS: Final = "POD_ROUTES_MAX_REMOVALS"
"""In the environment of one command, it replaces the key `maxRemovals`."""
_ODD: Final = ("[", "{", "-")
"""Beginnings that make a comma-separated value look like JSON or an option."""


def shell_command(*argv: str) -> str:
    """Return a command as a shell reads it, on one line."""
    return " ".join(map(quoted, argv))


def pulumi(stack: str, *argv: str) -> str:
    """Run the CLI on a stack; on the selected one if the name is empty."""
    return shell_command("pulumi", *argv, *(("--stack", stack) if stack else ()))


def config_set(stack: str, key: str, value: str, *options: str) -> str:
    """Set a key of the stack's configuration."""
    return pulumi(stack, "config", "set", *options, key, value)


def set_entries(stack: str, key: str, entries: Iterable[object]) -> str:
    """Set one of this program's keys to a list."""
    texts = [str(entry) for entry in entries]
    value = ",".join(texts)
    if value.startswith(_ODD) or any("," in text for text in texts):
        value = json.dumps(texts, ensure_ascii=False)
    return config_set(stack, f"{NAMESPACE}:{key}", value)


def replace_entry(
    stack: str, key: str, entries: Iterable[Selector], old: Selector, new: str
) -> str:
    """Set one of this program's keys to its list with one entry replaced."""
    return set_entries(
        stack, key, [new if entry == old else entry.text for entry in entries]
    )


def config_rm(stack: str, key: str) -> str:
    """Remove a key from the stack's configuration."""
    return pulumi(stack, "config", "rm", key)


def update(stack: str, *, is_first: bool = False) -> str:
    """Update the stack; before its first update there is nothing to refresh."""
    return pulumi(stack, "up", *(() if is_first else ("--refresh",)))


def clear_pending(stack: str) -> str:
    """Refresh the state after an interrupted update."""
    return pulumi(stack, "refresh", "--clear-pending-creates")


def cancel(stack: str) -> str:
    """Remove all of the stack's locks."""
    return pulumi(stack, "cancel", "--yes")


def update_allowing(stack: str, count: int) -> str:
    """Update the stack once, with another limit for removals."""
    return f"{MAX_REMOVALS}={count} {pulumi(stack, 'up')}"


def untaint(stack: str, urn: str) -> str:
    """Clear the mark that a resource has to be replaced."""
    return pulumi(stack, "state", "untaint", urn)


def state_delete(stack: str, urn: str) -> str:
    """Remove a resource from the state, protected or not; AWS is not changed."""
    return pulumi(stack, "state", "delete", "--force", urn)


def import_file(stack: str) -> str:
    """Write the import file for routes that exist and aren't in the state."""
    return shell_command("python", "-m", "routes", "import-file", "--stack", stack)


def verify(stack: str) -> str:
    """Verify the stack."""
    return shell_command("python", "-m", "routes", "verify", "--stack", stack)


def import_routes(stack: str, *, protect: bool) -> str:
    """Import what the import file lists; `pulumi import` protects by default."""
    return pulumi(
        stack,
        *("import", "--file", "import.json", "--yes", "--generate-code=false"),
        f"--protect={str(protect).lower()}",
    )


def aws(region: str, action: str, *argv: str) -> str:
    """Call EC2 in a region."""
    return shell_command("aws", "ec2", *action.split(), *argv, "--region", region)


def delete_route(table: str, destination: Destination, region: str) -> str:
    """Delete a static route."""
    return aws(
        region,
        "delete-route",
        *("--route-table-id", table, *_destination(destination)),
    )


def start(instance: str, state: str, region: str) -> str:
    """Start an instance, or wait while its state is changing."""
    verb = {
        "pending": "wait instance-running",
        "stopping": "wait instance-stopped",
    }.get(state, "start-instances")
    return aws(region, verb, "--instance-ids", instance)


def kubectl(kubeconfig: str, context: str, *argv: str) -> str:
    """Run kubectl with a kubeconfig and a context; empty ones are its own choice."""
    path = kubeconfig and str(Path(kubeconfig).expanduser())
    options = {"--kubeconfig": path, "--context": context}
    given = (part for pair in options.items() if pair[1] for part in pair)
    return shell_command("kubectl", *argv, *given)


def list_nodes(kubeconfig: str, context: str) -> str:
    """List the Nodes with their instances and pod CIDRs."""
    columns = {
        "NAME": ".metadata.name",
        "INSTANCE": ".spec.providerID",
        "CIDRS": ".spec.podCIDRs",
    }
    table = ",".join(f"{name}:{path}" for name, path in columns.items())
    return kubectl(
        kubeconfig, context, "get", "nodes", "--output", f"custom-columns={table}"
    )


_KINDS: Final = {"i": "instance", "eni": "network-interface", "subnet": "subnet"}


def describe(resource: str, region: str) -> str:
    """Describe an instance, an interface or a subnet."""
    kind = _KINDS[resource.partition("-")[0]]
    return aws(region, f"describe-{kind}s", f"--{kind}-ids", resource)


def disable_check(interface: str, region: str) -> str:
    """Turn the source/destination check off."""
    return aws(
        region,
        "modify-network-interface-attribute",
        *("--network-interface-id", interface, "--no-source-dest-check"),
    )


def _destination(destination: Destination) -> tuple[str, str]:
    if isinstance(destination, str):
        return "--destination-prefix-list-id", destination
    family = "ipv6-" if isinstance(destination, IPv6Network) else ""
    return f"--destination-{family}cidr-block", str(destination)
