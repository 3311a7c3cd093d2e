"""A body larger than any buffer goes through a peer that stalls, and costs no memory."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Proxyd, StartProxyd, config

MEGABYTE = 1 << 20
SIZE = 100 * MEGABYTE
PIECE = b"x" * MEGABYTE
# What the buffers of four sockets and two transports can hold, with room to spare; far below SIZE.
HELD = 48 * MEGABYTE
STALL_S = 1.0


class Sender(threading.Thread):
    """Sends SIZE bytes as fast as they are taken."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(daemon=True)
        self._sock = sock
        self.sent = 0

    def run(self) -> None:
        while self.sent < SIZE:
            self._sock.sendall(PIECE)
            self.sent += len(PIECE)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where an origin that the test plays itself listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(30)
        yield sock


def memory(proxyd: Proxyd) -> int:
    """Bytes in all processes of an instance."""
    return sum([int(process.memory_info().rss) for process in proxyd.family()])


def read_head(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(1)
    return data


def through(proxyd: Proxyd, source: socket.socket, sink: socket.socket) -> None:
    """Send SIZE bytes from one to the other, which does not read before the stream has come to a stop."""
    before = memory(proxyd)
    sender = Sender(source)
    sender.start()
    sent = -1
    while sent != sender.sent:  # until nothing is taken any more
        sent = sender.sent
        sender.join(STALL_S)
    assert sent < HELD
    most = memory(proxyd)
    got = 0
    while got < SIZE:
        data = sink.recv(MEGABYTE)
        assert data
        got += len(data)
        if got // (10 * MEGABYTE) != (got - len(data)) // (10 * MEGABYTE):
            most = max(most, memory(proxyd))
    sender.join(30)
    assert sender.sent == SIZE
    assert most - before < 24 * MEGABYTE


def connect(start: StartProxyd, listener: socket.socket) -> tuple[Proxyd, socket.socket]:
    host, port = listener.getsockname()
    proxyd = start(config(f"{host}:{port}"), "--workers", "1")
    client = socket.create_connection(("127.0.0.1", proxyd.port()))
    client.settimeout(30)
    return proxyd, client


def test_a_download_through_a_slow_client(start: StartProxyd, listener: socket.socket) -> None:
    proxyd, client = connect(start, listener)
    client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    origin, _ = listener.accept()
    with client, origin:
        read_head(origin)
        origin.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
        read_head(client)
        through(proxyd, origin, client)


def test_an_upload_through_a_slow_origin(start: StartProxyd, listener: socket.socket) -> None:
    proxyd, client = connect(start, listener)
    client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % SIZE)
    origin, _ = listener.accept()
    with client, origin:
        origin.settimeout(30)
        read_head(origin)
        through(proxyd, client, origin)
