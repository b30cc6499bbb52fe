"""The component as a Pulumi package; the program imports the same class."""
