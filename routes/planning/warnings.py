"""Warn if pods can't talk although every route can be declared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from routes import commands
from routes.errors import Finding, Severity, truncated
from routes.model import NAMESPACE, Node, PodRoute, Route, RouteKey, Worker
from routes.networks import enclosing
from routes.nodes import unselected
from routes.planning.health import not_running, source_dest_check_on
from routes.settings import Settings


def of_workers(
    settings: Settings, region: str, workers: Iterable[Worker]
) -> Iterator[Finding]:
    """Yield the workers that don't forward packets, with the command that fixes it."""
    for worker in workers:
        finding = source_dest_check_on(worker, region)
        if finding and settings.source_dest_check == "warn":
            yield Finding(
                resource=worker.label,
                problem=f"{finding.resource} {finding.problem}, so EC2 drops what its"
                " pods send and receive.",
                hint="Turn it off:",
                command=finding.command,
                severity=Severity.WARNING,
            )
        if finding := not_running(worker, region):
            yield Finding(
                resource=worker.label,
                problem=f"the instance {finding.problem}; until it runs, its routes are"
                " blackholes.",
                hint={
                    "pending": "Wait for it:",
                    "stopping": "Start it once it has stopped. To wait for that:",
                    "stopped": "Start it:",
                }[worker.state],
                command=finding.command,
                severity=Severity.WARNING,
            )


def of_nodes(
    settings: Settings, nodes: Collection[Node], workers: Iterable[Worker]
) -> Iterator[Finding]:
    """Yield the Nodes that have pod CIDRs and that no entry of `workers` selects."""
    others = unselected(nodes, workers)
    if others:
        yield Finding(
            resource=f"{NAMESPACE}:workers",
            problem="these Nodes have pod CIDRs, and no entry selects their instances;"
            " pods there get no route:",
            details=truncated(
                (f"{n.name}  {n.provider_id}  {','.join(n.pod_cidrs)}" for n in others),
                10,
            ),
            hint="If pods run there, add them; a pattern selects all with such a Name:",
            command=commands.set_entries(
                settings.stack,
                "workers",
                [*(entry.text for entry in settings.workers), "<Name tag>"],
            ),
            severity=Severity.WARNING,
        )


def of_blackholes(
    settings: Settings,
    region: str,
    desired: Mapping[RouteKey, PodRoute],
    existing: Mapping[RouteKey, Route],
    workers: Iterable[Worker],
) -> Iterator[Finding]:
    """Yield the blackholes that neither an update nor starting a worker repairs."""
    running = {w.interface.id for w in workers if w.interface and w.state == "running"}
    for key, route in existing.items():
        if route.state != "blackhole":
            continue
        if key in desired:
            target = desired[key].network_interface_id
            if route.target == target and target in running:
                yield Finding(
                    resource=str(key),
                    problem=f"leads to {target} of {desired[key].worker}, which is"
                    " running, and yet it is a blackhole.",
                    hint="See how the interface is attached:",
                    command=commands.describe(target, region),
                    severity=Severity.WARNING,
                )
        elif not isinstance(key.destination, str) and enclosing(
            settings.cluster_cidr, key.destination
        ):
            yield _unneeded(settings, key, route)


def _unneeded(settings: Settings, key: RouteKey, route: Route) -> Finding:
    """Warn of a blackhole that no worker of the plan needs.

    EC2 names a route's instance while the interface is attached to it. A stopped
    instance keeps its interface: "the root device and any other devices attached to the
    instance persist" (EC2 API Reference, "StopInstances"). An interface without an
    instance may be deleted, or about to be attached again; only
    DescribeNetworkInterfaces, which `verify` calls, shows which.
    """
    if route.instance_id:
        return Finding(
            resource=str(key),
            problem=f"is a blackhole, because {route.instance_id} isn't running. No"
            " worker in this plan has that range; it may be another cluster's.",
            severity=Severity.WARNING,
        )
    hint, command = "if nobody needs it, its owner has to delete it.", ""
    if route.is_to_interface:
        hint = "this reports whether its interface is deleted:"
        command = commands.verify(settings.stack)
    return Finding(
        resource=str(key),
        problem=f"is a blackhole to {route.target or 'nothing'}, and no worker in this"
        " plan needs it.",
        hint=f"An update deletes it if this stack declared it. Otherwise, {hint}",
        command=command,
        severity=Severity.WARNING,
    )
