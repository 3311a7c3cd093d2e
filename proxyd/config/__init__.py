"""The operator's words: Envoy v3 configuration as frozen Structs, and their loader."""
