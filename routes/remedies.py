"""The commands that mend what is found wrong, each one line to paste into a shell.

A remedy is an argument list that `line` alone turns into text, so that no name or value
from AWS or a configuration can mean anything to the shell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import IPv6Network
from typing import Final

from routes.model import NAMESPACE, Destination, Selector
from routes.text import quoted

REMOVALS_ONCE: Final = "POD_ROUTES_MAX_REMOVALS"
"""In the environment of one command, it stands for the key `maxRemovals`."""
_ODD: Final = ("[", "{", "-")
"""How a comma-separated value would be taken for JSON, or for an option."""


def line(*argv: str) -> str:
    """Return a command as a shell reads it, on one line."""
    return " ".join(map(quoted, argv))


def pulumi(stack: str, *argv: str) -> str:
    """Run the CLI on a stack; on the selected one where the name is empty."""
    return line("pulumi", *argv, *(("--stack", stack) if stack else ()))


def set_key(stack: str, key: str, value: str, *options: str) -> str:
    """Set a key of the stack's configuration."""
    return pulumi(stack, "config", "set", *options, key, value)


def set_entries(stack: str, key: str, entries: Iterable[object]) -> str:
    """Set one of this program's keys to a list."""
    texts = [str(entry) for entry in entries]
    value = ",".join(texts)
    if value.startswith(_ODD) or any("," in text for text in texts):
        value = json.dumps(texts, ensure_ascii=False)
    return set_key(stack, f"{NAMESPACE}:{key}", value)


def replace_entry(
    stack: str, key: str, entries: Iterable[Selector], old: Selector, new: str
) -> str:
    """Set one of this program's keys to its list with one entry changed."""
    return set_entries(
        stack, key, [new if entry == old else entry.text for entry in entries]
    )


def remove_key(stack: str, key: str) -> str:
    """Remove a key from the stack's configuration."""
    return pulumi(stack, "config", "rm", key)


def update(stack: str, *, is_first: bool = False) -> str:
    """Put the stack's routes in place; before its first update it holds none."""
    return pulumi(stack, "up", *(() if is_first else ("--refresh",)))


def drop_pending(stack: str) -> str:
    """Have the state follow EC2 after an update that was interrupted."""
    return pulumi(stack, "refresh", "--clear-pending-creates")


def release(stack: str) -> str:
    """Remove all of the stack's locks."""
    return pulumi(stack, "cancel", "--yes")


def update_removing(stack: str, count: int) -> str:
    """Put the stack's routes in place once, although so many of them go."""
    return f"{REMOVALS_ONCE}={count} {pulumi(stack, 'up')}"


def untaint(stack: str, urn: str) -> str:
    """Take back that a resource is to be replaced."""
    return pulumi(stack, "state", "untaint", urn)


def let_go(stack: str, urn: str) -> str:
    """Have the stack hold a resource no longer, protected or not; it stays as it is."""
    return pulumi(stack, "state", "delete", "--force", urn)


def take_over(stack: str) -> str:
    """Write the import file of routes that stand and are not the stack's."""
    return line("python", "-m", "routes", "import-file", "--stack", stack)


def verify(stack: str) -> str:
    """Judge what stands, and why."""
    return line("python", "-m", "routes", "verify", "--stack", stack)


def import_routes(stack: str, *, protect: bool) -> str:
    """Take over what the import file lists; `pulumi import` protects unless told."""
    return pulumi(
        stack,
        *("import", "--file", "import.json", "--yes", "--generate-code=false"),
        f"--protect={str(protect).lower()}",
    )


def aws(region: str, action: str, *argv: str) -> str:
    """Call EC2 in a region."""
    return line("aws", "ec2", *action.split(), *argv, "--region", region)


def delete_route(table: str, destination: Destination, region: str) -> str:
    """Delete a static route."""
    return aws(
        region,
        "delete-route",
        *("--route-table-id", table, *_destination(destination)),
    )


def start(instance: str, state: str, region: str) -> str:
    """Bring an instance up, or wait for one that is on its way."""
    verb = {
        "pending": "wait instance-running",
        "stopping": "wait instance-stopped",
    }.get(state, "start-instances")
    return aws(region, verb, "--instance-ids", instance)


_KINDS: Final = {"i": "instance", "eni": "network-interface", "subnet": "subnet"}


def describe(resource: str, region: str) -> str:
    """Show an instance, an interface or a subnet as EC2 has it."""
    kind = _KINDS[resource.partition("-")[0]]
    return aws(region, f"describe-{kind}s", f"--{kind}-ids", resource)


def check_off(interface: str, region: str) -> str:
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
