"""Origins for the upstream cases: each speaks TLS in its own way, and tells in its answer what it saw."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.x509.oid import NameOID

Tune = Callable[[ssl.SSLContext], None]
Manner = Callable[[socket.socket], None]

_PATIENCE = 5.0  # seconds


def _as_it_is(_: ssl.SSLContext) -> None:
    pass


def _at_least_13(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def _at_most_12(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def _alpn(context: ssl.SSLContext) -> None:
    context.set_alpn_protocols(["http/1.1"])


def _demands(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_REQUIRED


# Name: certificate, and how its context is tuned.
_TEMPERS: dict[str, tuple[str, tuple[Tune, ...]]] = {
    "good": ("origin", (_as_it_is,)),
    "stranger": ("origin-stranger", (_as_it_is,)),
    "expired": ("origin-expired", (_as_it_is,)),
    "self-signed": ("self-signed", (_as_it_is,)),
    "deep": ("deep", (_as_it_is,)),
    "revoked": ("revoked", (_as_it_is,)),
    "tls13": ("origin", (_at_least_13,)),
    "tls12": ("origin", (_at_most_12,)),
    "alpn": ("origin", (_alpn,)),
    "demands": ("origin", (_demands,)),
    "demands-tls12": ("origin", (_demands, _at_most_12)),
}
# Those that speak no TLS, or not for long.
_OTHERS = ("plain", "slams", "garbage", "silent")


class TlsOrigins:
    """All of them, on a port each of 127.0.0.1, until the ``with`` block ends.

    Blocking sockets, a thread for each connection: so OpenSSL sends the alert of a handshake that it ends.
    """

    def __init__(self, pki: Path) -> None:
        self._pki = pki
        self._servers = {name: socket.create_server(("127.0.0.1", 0)) for name in (*_TEMPERS, *_OTHERS)}
        self.ports: dict[str, int] = {name: server.getsockname()[1] for name, server in self._servers.items()}
        self._threads = [
            threading.Thread(target=self._serve, args=(server, self._manner(name)), daemon=True)
            for name, server in self._servers.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for server in self._servers.values():
            server.close()

    def _serve(self, server: socket.socket, manner: Manner) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return  # shut down
            threading.Thread(target=self._converse, args=(connection, manner), daemon=True).start()

    def _converse(self, connection: socket.socket, manner: Manner) -> None:
        connection.settimeout(_PATIENCE)
        with connection, contextlib.suppress(OSError, ValueError):
            manner(connection)

    def _manner(self, name: str) -> Manner:
        if name in _TEMPERS:
            return partial(_over_tls, self._context(*_TEMPERS[name]))
        return {"plain": _answer, "slams": _slam, "garbage": _garbage, "silent": _silence}[name]

    def _context(self, certificate: str, tunes: tuple[Tune, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pki / f"{certificate}.crt", self._pki / f"{certificate}.key")
        context.load_verify_locations(self._pki / "ca.crt")
        context.sni_callback = _remember_name  # type: ignore[assignment]
        for tune in tunes:
            tune(context)
        return context


def _remember_name(seen: Any, name: str | None, _: ssl.SSLContext) -> None:
    seen.name_seen = name


def _over_tls(context: ssl.SSLContext, connection: socket.socket) -> None:
    try:
        wrapped = context.wrap_socket(connection, server_side=True)
    except ssl.SSLError:
        _read_to_end(connection)  # closing on unread bytes would take the alert away
        return
    with wrapped:
        _answer(wrapped)


def _answer(connection: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(1 << 16)
        if not more:
            return
        head += more
    lines = head.decode("latin-1").split("\r\n")
    host = next(line for line in lines if line.lower().startswith("host:"))
    body = json.dumps(_told(connection) | {"host": host[5:].strip()}).encode()
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )


def _told(connection: socket.socket) -> dict[str, Any]:
    """What an origin knows of the proxy's handshake."""
    if not isinstance(connection, ssl.SSLSocket):
        return {"tls": None}
    der = connection.getpeercert(binary_form=True)
    subject = x509.load_der_x509_certificate(der).subject if der else None
    return {
        "tls": connection.version(),
        "sni": getattr(connection, "name_seen", None),
        "alpn": connection.selected_alpn_protocol(),
        "client": subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value if subject else None,
    }


def _slam(connection: socket.socket) -> None:
    connection.recv(1 << 16)


def _garbage(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"220 this is mail\r\n" * 4)
    _read_to_end(connection)


def _silence(connection: socket.socket) -> None:
    _read_to_end(connection)


def _read_to_end(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass
