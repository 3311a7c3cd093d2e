"""What a WebSocket's handshake has in HTTP/1 and not in HTTP/2 (RFC 6455 section 4, RFC 8441 section 5)."""

import base64
import hashlib
import os
from typing import Final

WEBSOCKET: Final = b"websocket"
KEY: Final = b"sec-websocket-key"
ACCEPT: Final = b"sec-websocket-accept"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def new_key() -> bytes:
    """A Sec-WebSocket-Key for a handshake that began without one."""
    return base64.b64encode(os.urandom(16))


def accept_of(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that goes with a key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
