"""A small real origin server for end-to-end tests: its own thread and loop, answers by path.

``/``            200, the request as it arrived (head and body)
``/name``        200, the name given at start
``/slow?N``      as ``/name``, after N milliseconds
``/hold``        answers only after ``release()``
``/bytes?N``     200, N bytes
``/close``       closes without an answer
"""

import asyncio
import threading
from typing import Self


class _Connection(asyncio.Protocol):
    def __init__(self, origin: "Origin") -> None:
        self._origin = origin
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._origin.connections += 1
        self._origin.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._origin.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while request := self._take():
            self._answer(*request)

    def _take(self) -> tuple[bytes, bytes] | None:
        """One whole request from what has arrived: head and body as sent."""
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._data[: end + 4]
        lower = head.lower()
        length = 0
        if b"transfer-encoding: chunked" in lower:
            last = self._data.find(b"0\r\n\r\n", end)
            if last < 0:
                return None
            length = last + 5 - len(head)
        elif b"content-length:" in lower:
            length = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._data) < len(head) + length:
            return None
        body = self._data[len(head) : len(head) + length]
        self._data = self._data[len(head) + length :]
        return head, body

    def _answer(self, head: bytes, body: bytes) -> None:
        origin = self._origin
        origin.requests += 1
        path, _, query = head.split(b" ", 2)[1].partition(b"?")
        loop = asyncio.get_running_loop()
        if path.startswith(b"/slow"):
            loop.call_later(int(query) / 1000, self._send, origin.name)
        elif path.startswith(b"/hold"):
            origin.held.append(self)
            origin.holding.set()
        elif path.startswith(b"/bytes"):
            self._send(b"x" * int(query))
        elif path.startswith(b"/close"):
            self._transport.close()
        elif path.startswith(b"/name"):
            self._send(origin.name)
        else:
            self._send(head + body)

    def _send(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    def answer_held(self) -> None:
        self._send(b"held")


class Origin:
    """Serves until the ``with`` block ends. ``address`` is ``127.0.0.1:port``."""

    def __init__(self, name: str = "origin") -> None:
        self.name = name.encode()
        self.requests = 0
        self.connections = 0
        self.open: set[asyncio.Transport] = set()
        self.held: list[_Connection] = []
        self.holding = threading.Event()  # set while at least one request is held
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        for transport in list(self.open):
            transport.abort()
        server.close()
        self._loop.run_until_complete(server.wait_closed())
        self._loop.close()

    def release(self) -> None:
        """Answer every request that is held."""
        self.holding.clear()
        self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        held, self.held = self.held, []
        for connection in held:
            connection.answer_held()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
