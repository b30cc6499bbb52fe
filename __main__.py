"""Declare one VPC route per Kubernetes worker: its pod CIDR to its interface."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pulumi

from routes import memory, settings
from routes.aws.access import load_access
from routes.aws.discovery import look_up
from routes.engine import state
from routes.engine.component import PodNetworkRoutes
from routes.engine.identity import provider_identity
from routes.errors import RoutesError
from routes.planning import plan

try:
    stack = state.current()
    wanted = settings.load(stack.config, stack.name)
    access = load_access(stack.config, stack.name)
    lookup = ThreadPoolExecutor().submit(
        look_up, access, wanted, stack.readings, stack.owners
    )
    identity = provider_identity(lookup)  # the provider takes as long to start
    discovery = lookup.result()
    gc.freeze()  # else exit walks all modules: 8 % of a preview of 50 workers at 40 ms
    identity.must_be(discovery.account, discovery.region)
    planned = plan.make(wanted, discovery, stack)
except RoutesError as error:
    raise pulumi.RunError(str(error)) from None

for finding in (*planned.problems, *planned.warnings):
    pulumi.log.warn(str(finding))

components = [
    PodNetworkRoutes(
        table_id,
        routes=[r for r in planned.declared if r.route_table_id == table_id],
        standing=planned.existing(table_id),
        stack=stack,
        kept=[key for key in sorted(planned.kept) if key.startswith(f"{table_id}_")],
        opts=pulumi.ResourceOptions(protect=wanted.protect),
    )
    for table_id in planned.table_ids
]

pulumi.export(
    "routes",
    pulumi.Output.all(*(each.routes for each in components)).apply(
        lambda tables: [route for routes in tables for route in routes]
    ),
)
pulumi.export("account", discovery.account)
pulumi.export("region", discovery.region)
pulumi.export("vpcId", planned.vpc.id)
pulumi.export(memory.OUTPUT, memory.outputs(planned.workers, wanted))
