"""The sandbox itself: each of EC2's rules, and the layer, over real HTTP."""
