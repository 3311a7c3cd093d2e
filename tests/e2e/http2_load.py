"""Clients that keep a proxy busy over HTTP/2: many streams at a time on connections that are kept."""

import asyncio
import ssl
from typing import Any

import h2.config
import h2.connection
import h2.events

from tests import windows
from tests.e2e.load import Load
from tests.net.http2_client import client_connection


class Http2Load(Load):
    """``connections`` clients, each with ``streams`` requests for ``path`` at any moment.

    Who is told GOAWAY asks for nothing more there, goes on with another connection, and repeats what the
    GOAWAY says has not been looked at. Whatever else is not answered is a failure.
    """

    def __init__(
        self,
        port: int,
        *,
        connections: int = 2,
        streams: int = 8,
        path: str = "/name",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(port, keep_alive=True, connections=connections, path=path, tls=tls)
        self.streams = streams
        self.goaways = 0
        self.repeated = 0
        self.fields = [(":method", "GET"), (":scheme", "http"), (":authority", "load"), (":path", path)]

    async def _client(self) -> None:
        loop = asyncio.get_running_loop()
        made: list[_Connection] = []
        while not self._stopping:
            try:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), "127.0.0.1", self._port, ssl=self._tls
                )
            except OSError as error:
                self._failed(f"connect: {error}")
                break
            made.append(connection)
            await connection.leaving.wait()
        async with asyncio.timeout(windows.patience(20)):
            await asyncio.gather(*(connection.ended.wait() for connection in made))

    @property
    def stopping(self) -> bool:
        return self._stopping

    def note_answer(self) -> None:
        with self._changed:
            self.answered += 1
            self._changed.notify_all()

    def note_failure(self, why: str) -> None:
        self._failed(why)


class _Connection(asyncio.Protocol):
    def __init__(self, load: Http2Load) -> None:
        self._load = load
        self._connection = client_connection()
        self._open: set[int] = set()
        self._transport: asyncio.Transport
        self.leaving = asyncio.Event()  # nothing more is asked for here
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection.initiate_connection()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            self._take(event)
        self._go_on()

    def _take(self, event: Any) -> None:
        load = self._load
        kind = type(event)
        if kind is h2.events.ResponseReceived:
            status = dict(event.headers)[":status"]
            if status != "200":
                load.note_failure(f"stream {event.stream_id}: {status}")
        elif kind is h2.events.DataReceived:
            self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif kind is h2.events.StreamEnded:
            self._open.discard(event.stream_id)
            load.note_answer()
        elif kind is h2.events.StreamReset:
            self._open.discard(event.stream_id)
            load.note_failure(f"stream {event.stream_id}: reset {event.error_code}")
        elif kind is h2.events.ConnectionTerminated:
            if event.error_code:
                load.note_failure(f"GOAWAY {event.error_code}")
            load.goaways += 1
            ignored = {stream for stream in self._open if stream > event.last_stream_id}
            self._open -= ignored
            load.repeated += len(ignored)
            self.leaving.set()

    def _go_on(self) -> None:
        if self._load.stopping:
            self.leaving.set()
        while not self.leaving.is_set() and len(self._open) < self._load.streams:
            stream = self._connection.get_next_available_stream_id()
            self._connection.send_headers(stream, self._load.fields, end_stream=True)
            self._open.add(stream)
            self._load.sent += 1
        if not self._transport.is_closing():
            self._transport.write(self._connection.data_to_send())
            if self.leaving.is_set() and not self._open:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._open:
            self._load.note_failure(f"the connection ended under {len(self._open)} requests: {error}")
        self.leaving.set()
        self.ended.set()
