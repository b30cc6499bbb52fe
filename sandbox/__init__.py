"""AWS on this machine: EC2 with its own route rules, the lab, the Pulumi engine."""
