"""Start the workers of a cluster, and route each one's pods to it."""

from __future__ import annotations

from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws
import pulumi_pod_routes as pod_routes

config = pulumi.Config()
table_id = config.require("routeTableId")
pod_cidrs = [*IPv4Network(config.require("clusterCidr")).subnets(new_prefix=24)]
count = config.require_int("workers")
if count > len(pod_cidrs):
    raise pulumi.RunError(f"clusterCidr has room for {len(pod_cidrs)} workers only")

routes: list[pod_routes.PodRouteArgs] = []
for index, pod_cidr in enumerate(pod_cidrs[:count]):
    name = f"worker-{index}"
    worker = aws.ec2.Instance(
        name,
        ami=config.require("ami"),
        instance_type="t3.medium",
        subnet_id=config.require("subnetId"),
        vpc_security_group_ids=[config.require("securityGroupId")],
        source_dest_check=False,
        user_data=f"name={name}|pod-cidr={pod_cidr}",
        tags={"Name": name},
    )
    routes.append(
        pod_routes.PodRouteArgs(
            destination_cidr=str(pod_cidr),
            network_interface_id=worker.primary_network_interface_id,
            worker=name,
        )
    )

pods = pod_routes.PodNetworkRoutes(table_id, route_table_id=table_id, routes=routes)
pulumi.export("routes", pods.routes)
