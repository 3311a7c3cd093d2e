"""The hosts of TCP cases: a port each, a thread for each connection."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_PATIENCE = 5.0  # seconds
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


@dataclass
class Heard:
    """What one connection brought, and how it ended."""

    data: bytearray = field(default_factory=bytearray)
    end: str = "open"
    peer: str = ""


class Host:
    """Listens on a port of 127.0.0.1 (``none``: on nothing) until the ``with`` block ends."""

    def __init__(self, manner: str, pki: Path) -> None:
        self._manner = manner
        self._pki = pki
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.heard: list[Heard] = []
        self._waiting: list[socket.socket] = []
        self._own: int = 0  # the port of our own connection, which stands behind all others in the queue
        self._caught_up = threading.Event()
        if manner == "none":
            return  # a port that is taken, and refuses
        self._server.listen(0 if manner == "full" else 64)
        if manner == "full":
            for _ in range(4):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", self.port))
                self._waiting.append(sock)
        else:
            threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for sock in self._waiting:
            sock.close()

    def await_data(self) -> None:
        """Wait until the last connection has brought something."""
        deadline = time.monotonic() + _PATIENCE
        while not (self.heard and self.heard[-1].data) and time.monotonic() < deadline:
            time.sleep(0.002)

    def settle(self) -> list[Heard]:
        """What all connections brought that have been made so far, once each has ended."""
        deadline = time.monotonic() + 2 * _PATIENCE
        if self._manner not in ("none", "full"):
            self._catch_up()
        while any(heard.end == "open" for heard in self.heard) and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.heard

    def _catch_up(self) -> None:
        """Wait until every connection that has been made is being served: they come in their order."""
        self._caught_up.clear()
        with socket.socket() as last:
            last.bind(("127.0.0.1", 0))
            self._own = last.getsockname()[1]
            last.connect(("127.0.0.1", self.port))
            assert self._caught_up.wait(_PATIENCE), "a host takes no more connections"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, peer = self._server.accept()
                if peer[1] == self._own:
                    sock.close()
                    self._caught_up.set()
                    continue
                heard = Heard()
                self.heard.append(heard)
                threading.Thread(target=self._guarded, args=(sock, heard), daemon=True).start()

    def _guarded(self, sock: socket.socket, heard: Heard) -> None:
        sock.settimeout(_PATIENCE)
        manner = self._manner
        try:
            if manner.startswith("tls"):
                sock = self._secured(sock, manner)
                manner = "echo"
            _MANNERS[manner](sock, heard)
        except TimeoutError:
            heard.end = "silence"
        except ssl.SSLError as error:
            heard.end = error.reason or "tls"
        except OSError:
            heard.end = "reset"
        finally:
            sock.close()

    def _secured(self, sock: socket.socket, manner: str) -> socket.socket:
        if manner == "tls-behind-header":
            while (first := sock.recv(1)) != b"\n":
                self.heard[-1].data += first
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pki / "origin.crt", self._pki / "origin.key")
        if manner == "tls-demands":
            context.load_verify_locations(self._pki / "ca.crt")
            context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context.wrap_socket(sock, server_side=True)


def _take(sock: socket.socket, heard: Heard) -> bytes:
    data = sock.recv(65536)
    heard.data += data
    if not data:
        heard.end = "eof"
    return data


def _read(sock: socket.socket, heard: Heard) -> None:
    while _take(sock, heard):
        pass


def _echo(sock: socket.socket, heard: Heard) -> None:
    while data := _take(sock, heard):
        sock.sendall(data)


def _greet(sock: socket.socket, heard: Heard) -> None:
    sock.sendall(b"220 ready\r\n")
    _echo(sock, heard)


def _end(sock: socket.socket, heard: Heard) -> None:
    """Says its word and half-closes, then listens."""
    sock.sendall(b"bye")
    sock.shutdown(socket.SHUT_WR)
    _read(sock, heard)


def _answer(sock: socket.socket, heard: Heard) -> None:
    """Answers the first that comes, and half-closes."""
    _take(sock, heard)
    sock.sendall(b"answer")
    sock.shutdown(socket.SHUT_WR)
    _read(sock, heard)


def _close(sock: socket.socket, heard: Heard) -> None:
    """Closes after the first that comes."""
    _take(sock, heard)
    heard.end = "closed"


def _slam(sock: socket.socket, heard: Heard) -> None:
    """Resets after the first that comes."""
    _take(sock, heard)
    heard.end = "slammed"
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _flood(sock: socket.socket, heard: Heard) -> None:
    """Sends 4 MiB at the first that comes, and half-closes."""
    _take(sock, heard)
    sock.sendall(bytes(4 << 20))
    sock.shutdown(socket.SHUT_WR)
    _read(sock, heard)


def _http(sock: socket.socket, heard: Heard) -> None:
    """Answers each request with nothing."""
    while _take(sock, heard):
        if heard.data.endswith(b"\r\n\r\n"):
            sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


_MANNERS: dict[str, Callable[[socket.socket, Heard], None]] = {
    "echo": _echo,
    "greet": _greet,
    "end": _end,
    "answer": _answer,
    "close": _close,
    "slam": _slam,
    "flood": _flood,
    "read": _read,
    "http": _http,
}
