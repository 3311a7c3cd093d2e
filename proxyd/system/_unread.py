"""What has come on a connection and nobody has read: as the socket tells, on every system."""

import asyncio
import socket


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Whether bytes wait in the transport's socket; False where it has none."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return False
    try:
        with sock.dup() as copy:
            return bool(copy.recv(1, socket.MSG_PEEK))
    except OSError:
        return False  # nothing there, or it is broken
