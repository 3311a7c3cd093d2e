"""Clients that hold many HTTP/2 streams open and know what has become of each."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

import h2.events

from tests import windows
from tests.net.http2_client import client_connection

_DEADLINE = windows.patience(40.0)  # seconds


class Asked:
    """One request and what has come of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.status = ""
        self.received = 0  # bytes of its body
        self.ended = False
        self.failed = ""  # how

    @property
    def over(self) -> bool:
        return self.ended or bool(self.failed)

    @property
    def well(self) -> bool:
        return self.ended and self.status == "200"


class Connection(asyncio.Protocol):
    """``goaways`` are last stream and code of each; ``lost``: it has ended, whoever wanted that."""

    def __init__(self, streams: "Streams", window: int) -> None:
        self._streams = streams
        self._window = window
        self._connection = client_connection(window)
        self._transport: asyncio.Transport
        self.asked: dict[int, Asked] = {}
        self.goaways: list[tuple[int, int]] = []
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection.initiate_connection()
        if self._window > 65535:
            self._connection.increment_flow_control_window(self._window - 65535)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        with self._streams.changed:
            self.lost = True
            for asked in self.asked.values():
                if not asked.over:
                    asked.failed = "the connection ended"
            self._streams.changed.notify_all()

    def data_received(self, data: bytes) -> None:
        with self._streams.changed:
            for event in self._connection.receive_data(data):
                self._take(event)
            self._streams.changed.notify_all()
        self._flush()

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is h2.events.ConnectionTerminated:
            self.goaways.append((event.last_stream_id, int(event.error_code)))
            return
        asked = self.asked.get(getattr(event, "stream_id", None) or 0)
        if asked is None:
            return
        if kind is h2.events.ResponseReceived:
            asked.status = dict(event.headers)[":status"]
        elif kind is h2.events.DataReceived:
            asked.received += len(event.data)
            self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif kind is h2.events.StreamEnded:
            asked.ended = True
        elif kind is h2.events.StreamReset:
            asked.failed = f"reset {int(event.error_code)}"

    def ask(self, paths: Iterable[str], method: str = "GET") -> list[Asked]:
        """A request for each path, all at once."""
        made: list[Asked] = self._streams.call(lambda: self._ask(paths, method))
        return made

    def _ask(self, paths: Iterable[str], method: str) -> list[Asked]:
        made = []
        for path in paths:
            stream = self._connection.get_next_available_stream_id()
            fields = [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)]
            self._connection.send_headers(stream, fields, end_stream=True)
            made.append(Asked(path))
            self.asked[stream] = made[-1]
        self._flush()
        return made

    def stall(self) -> None:
        """Read nothing more."""
        self._streams.call(lambda: self._transport.pause_reading())

    def read_on(self) -> None:
        self._streams.call(lambda: self._transport.resume_reading())

    def leave(self) -> None:
        """Break off, whatever is under way."""
        self._streams.call(lambda: self._transport.abort())

    def _flush(self) -> None:
        data = self._connection.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)


class Streams:
    """Connections to one port, on a thread of their own until the ``with`` block ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.changed = threading.Condition()
        self.connections: list[Connection] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.leave()
        self.wait_for(lambda: all(each.lost for each in self.connections))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_DEADLINE)
        self._loop.close()

    def call(self, what: Callable[[], Any]) -> Any:
        """Do this on the clients' thread."""

        async def do() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(_DEADLINE)

    def connect(self, window: int = 65535) -> Connection:
        """One more connection, with this window for each stream and for all together."""
        made = Connection(self, window)
        opened = self._loop.create_connection(lambda: made, "127.0.0.1", self._port)
        asyncio.run_coroutine_threadsafe(opened, self._loop).result(_DEADLINE)
        self.connections.append(made)
        return made

    def wait_for(self, condition: Callable[[], bool], what: str = "") -> None:
        """Return when this holds of what has come."""
        with self.changed:
            assert self.changed.wait_for(condition, _DEADLINE), what

    def wait_until_over(self, asked: list[Asked]) -> None:
        with contextlib.suppress(AssertionError):
            self.wait_for(lambda: all(each.over for each in asked))
        left = [each for each in asked if not each.over]
        assert not left, f"{len(left)} of {len(asked)} requests have not ended"
