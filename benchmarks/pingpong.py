"""Small messages, each sent when the one before has come back: how the load of WebSocket and of TCP looks.

Both carry the same: a WebSocket's opening and then its frames. A proxy of HTTP takes part in the opening, one
of TCP in nothing.
"""

import select
import socket
import time

from load import LoadError

CONNECTIONS = 32
SIZE = 64
# Frames of binary data; the client's are masked, with zeros, which leaves the data as they are.
PING = b"\x82%c\x00\x00\x00\x00%b" % (0x80 | SIZE, bytes(SIZE))
ECHO = b"\x82%c%b" % (SIZE, bytes(SIZE))
# The key and its answer of RFC 6455's example.
OPENING = b"""\
GET /echo HTTP/1.1\r
host: 127.0.0.1\r
connection: Upgrade\r
upgrade: websocket\r
sec-websocket-version: 13\r
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r
\r
"""
SWITCHED = b"""\
HTTP/1.1 101 Switching Protocols\r
connection: Upgrade\r
upgrade: websocket\r
sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r
\r
"""
_OPENING_TIMEOUT = 10.0


def ping_pong(port: int, seconds: float) -> int:
    """How many messages came back on all connections."""
    with select.epoll() as poll:
        sockets = {}
        try:
            for _ in range(CONNECTIONS):
                opened = _open(port)
                sockets[opened.fileno()] = opened
                poll.register(opened, select.EPOLLIN)
            return _play(poll, sockets, port, seconds)
        finally:
            for opened in sockets.values():
                opened.close()


def _play(poll: select.epoll, sockets: dict[int, socket.socket], port: int, seconds: float) -> int:
    calls = {number: (opened.recv, opened.send) for number, opened in sockets.items()}
    count, room = 0, len(ECHO) + 1
    for _, send in calls.values():
        send(PING)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for number, _ in poll.poll(1.0):
            receive, send = calls[number]
            if receive(room) != ECHO:
                raise LoadError(f"port {port}: a message came back changed, in pieces or not at all")
            send(PING)
            count += 1
    if not count:
        raise LoadError(f"port {port}: no message came back")
    return count


def _open(port: int) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), _OPENING_TIMEOUT)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.sendall(OPENING)
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = opened.recv(65536)
        if not more:
            break
        answer += more
    if not answer.startswith(b"HTTP/1.1 101 "):
        opened.close()
        raise LoadError(f"port {port}: no WebSocket but {answer!r}")
    opened.setblocking(False)
    return opened
