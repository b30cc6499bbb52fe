"""The Pulumi engine, and a stand-in for its AWS plugin."""
