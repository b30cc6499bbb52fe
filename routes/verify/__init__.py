"""Proof that pods can talk: one moment of a VPC, judged; only `collect` reads."""
