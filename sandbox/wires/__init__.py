"""A VPC of network namespaces, laid as the sandbox's account says: packets decide."""
