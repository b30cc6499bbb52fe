"""Serve the package to Pulumi programs in any language."""

from pod_network_routes import PodNetworkRoutes
from pulumi.provider.experimental import component_provider_host
from version import VERSION

if __name__ == "__main__":
    component_provider_host([PodNetworkRoutes], "pod-routes", version=VERSION)
