"""EC2 on this machine: its rules, rights, throttling, and the client to it."""
