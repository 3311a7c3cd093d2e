"""Differences that are mistakes: expected failures, each until it is mended. Nothing stays here for long."""

OWED: dict[str, str] = {}
