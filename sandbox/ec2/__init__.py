"""A local EC2: its rules, permissions and throttling, and the client to it."""
