"""Hosts and clients of UDP, for tests of any kind."""

import contextlib
import socket
import threading
from typing import Self

_PATIENCE = 10.0  # seconds


class DatagramHost:
    """Answers on a port of 127.0.0.1 until the ``with`` block ends; ``heard`` are datagrams and senders.

    ``big N`` gets N bytes, ``twice`` two answers, ``mute`` none, ``held`` one when ``release`` is called, and
    anything else its own beginning behind ``echo:``.
    """

    def __init__(self, port: int = 0) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", port))
        self.port: int = self.sock.getsockname()[1]
        self.heard: list[tuple[bytes, tuple[str, int]]] = []
        self._held: list[tuple[str, int]] = []
        self._holds = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self._thread.join(_PATIENCE)  # which has the port as long as it reads there

    @property
    def peers(self) -> list[int]:
        """The senders' ports, in the order in which they came."""
        return list(dict.fromkeys(port for _, (_, port) in self.heard))

    def await_held(self) -> None:
        assert self._holds.wait(_PATIENCE)

    def release(self) -> None:
        for peer in self._held:
            self.sock.sendto(b"at last", peer)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                try:
                    data, peer = self.sock.recvfrom(65536)
                except ConnectionResetError:  # what Windows has to say of an answer that nobody took
                    continue
                if not data and not peer:
                    return  # shut down
                self.heard.append((data, peer))
                self._answer(data, peer)

    def _answer(self, data: bytes, peer: tuple[str, int]) -> None:
        word, _, number = data.partition(b" ")
        if word == b"big":
            self.sock.sendto(b"B" * int(number), peer)
        elif word == b"twice":
            self.sock.sendto(b"one", peer)
            self.sock.sendto(b"two", peer)
        elif word == b"held":
            self._held.append(peer)
            self._holds.set()
        elif word != b"mute":
            self.sock.sendto(b"echo:" + data[:16], peer)


class DatagramClient:
    """Sends from one port, and hears answers of one address."""

    def __init__(self, port: int, ip: str = "127.0.0.1", source: str = "") -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect((ip, port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def ask(self, data: bytes, answers: int = 1, patience: float = _PATIENCE) -> list[bytes]:
        """Send, and wait for so many answers; for none it waits ``patience`` seconds for one all the same."""
        self.sock.send(data)
        return self.hear(answers, patience)

    def hear(self, answers: int = 1, patience: float = _PATIENCE) -> list[bytes]:
        self.sock.settimeout(patience)
        found: list[bytes] = []
        with contextlib.suppress(TimeoutError):
            while len(found) < max(answers, 1):
                found.append(self.sock.recv(65536))
        return found
