"""Credentials, worker lookup, pod CIDRs."""
