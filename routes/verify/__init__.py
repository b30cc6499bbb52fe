"""Verify that pods can talk, from one snapshot; only `collect` calls AWS."""
