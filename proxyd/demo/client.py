"""Asks as a browser would, and reads the admin pages as an operator would."""

import http.client
import json
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

_PATIENCE: Final = 10.0  # seconds


class Answer(NamedTuple):
    """One answer; ``application`` is who gave it, empty where a proxy did, ``tls`` the version or empty."""

    status: int
    application: str
    body: str
    tls: str
    protocol: str = "HTTP/1.1"


class Browser:
    """One keep-alive connection to 127.0.0.1, over TLS if there is a file of CA certificates to trust."""

    def __init__(self, port: int, trusted: Path | None = None) -> None:
        self._connection: Final = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
            if trusted is None
            else http.client.HTTPSConnection(
                "127.0.0.1",
                port,
                timeout=_PATIENCE,
                context=ssl.create_default_context(cafile=str(trusted)),
            )
        )

    def get(self, path: str = "/") -> Answer:
        """Raises OSError or HTTPException where no whole answer comes."""
        self._connection.request("GET", path)
        sock = self._connection.sock
        tls = sock.version() if isinstance(sock, ssl.SSLSocket) else None
        response = self._connection.getresponse()
        body = response.read().decode("utf-8", "replace")
        return Answer(response.status, response.headers.get("x-application", ""), body, tls or "")

    def close(self) -> None:
        """The next ``get`` would open another connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Http2Browser:
    """One connection to 127.0.0.1 over TLS that speaks HTTP/2, as browsers do where a proxy agrees."""

    def __init__(self, port: int, trusted: Path) -> None:
        """Raises OSError, ssl.SSLError included; ConnectionError where the proxy does not agree."""
        context = ssl.create_default_context(cafile=str(trusted))
        context.set_alpn_protocols(["h2", "http/1.1"])
        plain = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        self._socket: Final = context.wrap_socket(plain, server_hostname="localhost")
        if self._socket.selected_alpn_protocol() != "h2":
            self._socket.close()
            raise ConnectionError(f"the proxy at port {port} does not agree on HTTP/2")
        self._connection: Final = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._connection.initiate_connection()

    def get(self, path: str = "/") -> Answer:
        """Raises OSError where no whole answer comes."""
        stream = self._connection.get_next_available_stream_id()
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        self._connection.send_headers(stream, fields, end_stream=True)
        headers: dict[str, str] = {}
        body = b""
        while True:
            self._socket.sendall(self._connection.data_to_send())
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("the connection was closed instead of an answer")
            for event in self._connection.receive_data(data):
                if isinstance(event, ResponseReceived) and event.headers:
                    headers = {str(name): str(value) for name, value in event.headers}
                elif isinstance(event, DataReceived) and event.data:
                    body += event.data
                    self._connection.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                elif isinstance(event, StreamReset):
                    raise ConnectionResetError(f"the answer to {path} was broken off")
                elif isinstance(event, StreamEnded):
                    return Answer(
                        int(headers[":status"]),
                        headers.get("x-application", ""),
                        body.decode("utf-8", "replace"),
                        self._socket.version() or "",
                        "HTTP/2",
                    )

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Admin:
    """The admin API of one proxy."""

    def __init__(self, port: int) -> None:
        self.port: Final = port

    def read(self, path: str) -> str:
        """The body of a page; OSError or HTTPException where there is none."""
        with Browser(self.port) as browser:
            answer = browser.get(path)
        if answer.status != 200:
            raise http.client.HTTPException(f"{path} is answered with {answer.status}: {answer.body[:200]}")
        return answer.body

    def json(self, path: str) -> Any:
        """The same, of a page in JSON."""
        return json.loads(self.read(path))

    def ready(self) -> bool:
        """Whether it serves; no answer at all says that it does not yet."""
        try:
            return "LIVE" in self.read("/ready")
        except (OSError, http.client.HTTPException):
            return False

    def counter(self, ending: str) -> int:
        """The sum of all statistics whose names end so."""
        found = 0
        for line in self.read("/stats").splitlines():
            name, _, value = line.partition(": ")
            if name.endswith(ending) and value.isdecimal():
                found += int(value)
        return found


def numbers(admin: Admin, **endings: str) -> str:
    """A line of counters, each a word and how its statistics' names end; empty while there is no answer."""
    try:
        return "   ".join(f"{word} {admin.counter(ending)}" for word, ending in endings.items())
    except (OSError, http.client.HTTPException):
        return ""


def is_listening(port: int) -> bool:
    """Whether anybody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), _PATIENCE).close()
    except OSError:
        return False
    return True
