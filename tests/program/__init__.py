"""The entry point itself, under mocks of Pulumi and moto in process."""
