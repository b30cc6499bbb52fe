"""A real Kubernetes control plane, and the real AWS cloud controller, on loopback."""
