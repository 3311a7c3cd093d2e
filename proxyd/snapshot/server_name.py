"""Whom TLS asks for (SNI, RFC 6066 section 3)."""

import re
from typing import Final

_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})*")
_ADDRESS: Final = re.compile(r"[0-9.]+")
_MAX_NAME: Final = 253


def server_name_of(host: str) -> str:
    """The name to ask for in TLS; empty for an address and for what is no name."""
    name = host.lower()
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME or _ADDRESS.fullmatch(name):
        return ""
    return name
