"""The sandbox's VPC as network namespaces: real packets cross it, or don't."""
