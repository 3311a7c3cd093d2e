"""The compiled, immutable form of a configuration: what a worker reads while it serves."""
