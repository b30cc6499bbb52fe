"""The commands beside the Pulumi program, and what they share with it."""
