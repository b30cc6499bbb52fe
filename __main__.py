"""Declare one VPC route per Kubernetes worker: its pod CIDR to its interface."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pulumi

from routes import ec2, plan, provider, session, settings
from routes.component import PodNetworkRoutes
from routes.errors import RoutesError

gc.freeze()  # what was imported stays: neither collector nor exit need walk it

try:
    config = provider.stack_config()
    wanted = settings.load(config, pulumi.get_stack())
    access = session.load(config)
    with ThreadPoolExecutor() as beside:
        lookup = beside.submit(ec2.look_up, access, wanted)
        identity = provider.identity()  # the provider takes as long to start
    discovery = lookup.result()
    identity.must_be(discovery.account, discovery.region)
    planned = plan.make(wanted, discovery)
except RoutesError as error:
    raise pulumi.RunError(str(error)) from None

gc.freeze()  # nor what the lookup leaves: EC2's service model is the most of it

for warning in planned.warnings:
    pulumi.log.warn(str(warning))

components = [
    PodNetworkRoutes(
        table.id,
        routes=[r for r in planned.routes if r.route_table_id == table.id],
        standing={
            destination: route.target
            for destination, route in table.static_routes().items()
        },
        opts=pulumi.ResourceOptions(protect=wanted.protect),
    )
    for table in planned.tables
]

pulumi.export("routes", [route for each in components for route in each.routes])
pulumi.export("account", discovery.account)
pulumi.export("region", discovery.region)
pulumi.export("vpcId", planned.vpc.id)
