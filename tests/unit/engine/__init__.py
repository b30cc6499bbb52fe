"""The engine's room, without an engine."""
