"""Malformed and ambiguous messages with the verdict that each deserves: data for tests at all levels."""
