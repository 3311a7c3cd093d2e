"""A multiprocess proxy that runs Envoy v3 configuration; docs/architecture.md is the map of this package."""

__version__ = "0.1.0"
