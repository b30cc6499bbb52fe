"""The Pulumi engine, and a stand-in for its AWS plugin.

The stand-in's protocol is in `provider`, its resources are in `routes` and `instances`.
"""
