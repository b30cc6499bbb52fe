"""Tests of `routes.engine` that need no engine."""
