"""The engine, found, fetched or built, and the stand-in for the AWS plugin."""
