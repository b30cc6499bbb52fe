"""EC2 read: where and as whom the provider acts, and what stands there."""
