// Start the workers of a cluster, and route each one's pods to it.

import * as aws from "@pulumi/aws";
import { PodNetworkRoutes } from "@pulumi/pod-routes";
import * as pulumi from "@pulumi/pulumi";

const config = new pulumi.Config();
const routeTableId = config.require("routeTableId");
const podCidrs = config.requireObject<string[]>("podCidrs");

const routes = podCidrs.map((podCidr, index) => {
    const name = `worker-${index}`;
    const worker = new aws.ec2.Instance(name, {
        ami: config.require("ami"),
        instanceType: "t3.medium",
        subnetId: config.require("subnetId"),
        vpcSecurityGroupIds: [config.require("securityGroupId")],
        sourceDestCheck: false,
        userData: `name=${name}|pod-cidr=${podCidr}`,
        tags: { Name: name },
    });
    return {
        destinationCidr: podCidr,
        networkInterfaceId: worker.primaryNetworkInterfaceId,
        worker: name,
    };
});

const pods = new PodNetworkRoutes("pods", { routeTableId, routes });
export const podRoutes = pods.routes;
