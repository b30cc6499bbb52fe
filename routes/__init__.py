"""One VPC route per Kubernetes worker; other programs import `routes.component`."""
