"""One VPC route per Kubernetes worker: what another Pulumi program imports."""
