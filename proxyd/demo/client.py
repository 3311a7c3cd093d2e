"""Asks as a browser would, and reads the admin pages as an operator would."""

import http.client
import json
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

_PATIENCE: Final = 10.0  # seconds


class Answer(NamedTuple):
    """One answer; ``application`` is who gave it, empty where a proxy did, ``tls`` the version or empty."""

    status: int
    application: str
    body: str
    tls: str


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
