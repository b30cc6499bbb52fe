"""The entry point, with mocks of Pulumi and moto in process."""
