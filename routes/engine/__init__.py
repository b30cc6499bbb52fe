"""Pulumi: the component, the provider's identity, the state, updates."""
