"""Small applications for whole scenes: each answers HTTP with its name, or echoes, over TLS or without."""

import contextlib
import socket
import ssl
import threading
from typing import Any, Self

import h2.config
import h2.connection
import h2.events

from tests import windows

_PATIENCE = windows.patience(10.0)  # seconds


class Application:
    """Serves on a port of 127.0.0.1 until the ``with`` block ends, a thread for each connection.

    HTTP gets ``NAME TARGET`` and the client's server name; with ``echoes`` bytes come back. With ``http2`` it
    speaks that over TLS and nothing else: who has not agreed on it by ALPN is sent away.
    """

    def __init__(
        self, name: str, context: ssl.SSLContext | None = None, echoes: bool = False, http2: bool = False
    ) -> None:
        self.name = name
        self._http2 = http2
        self._context = context
        self._echoes = echoes
        self._asked: dict[int, str] = {}
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        if context is not None:
            if http2:
                context.set_alpn_protocols(["h2"])
            context.sni_callback = self._note_name

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _note_name(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        self._asked[id(connection)] = name or ""

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                threading.Thread(target=self._guarded, args=(sock,), daemon=True).start()

    def _guarded(self, sock: socket.socket) -> None:
        sock.settimeout(_PATIENCE)
        with contextlib.suppress(OSError), sock:
            if self._context is None:
                self._talk(sock, "")
                return
            with self._context.wrap_socket(sock, server_side=True) as secured:
                name = self._asked.pop(id(secured), "")
                how = f" over TLS, asked for {name or 'nobody'}"
                if not self._http2:
                    self._talk(secured, how)
                elif secured.selected_alpn_protocol() == "h2":
                    self._talk_http2(secured, how)

    def _talk_http2(self, sock: ssl.SSLSocket, how: str) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        sock.sendall(connection.data_to_send())
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    fields: Any = event.headers
                    body = f"{self.name} {dict(fields)[':path']}{how}, by HTTP/2".encode()
                    head = [(":status", "200"), ("content-length", str(len(body)))]
                    connection.send_headers(event.stream_id, head)
                    connection.send_data(event.stream_id, body, end_stream=True)
            sock.sendall(connection.data_to_send())

    def _talk(self, sock: socket.socket, how: str) -> None:
        if self._echoes:
            while data := sock.recv(65536):
                sock.sendall(data)
            return
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = sock.recv(65536)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            body = f"{self.name} {head.split(b' ')[1].decode()}{how}".encode()
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            if b"connection: close" in head.lower():
                return
