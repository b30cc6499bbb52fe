"""The pure modules, the settings, and discovery against moto in process."""
