"""The origin that speaks HTTP/2: records what reaches it, answers as the case under way says."""

import asyncio
import threading
from typing import Any, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tests.conformance.http2 import HTTP_2, Reply
from tests.conformance.origin import Received
from tests.conformance.wire import Message

_OK = Reply(((":status", "200"), ("content-length", "2")), (b"ok",))


class Http2Origin:
    """Serves 127.0.0.1 on one port until the ``with`` block ends."""

    def __init__(self) -> None:
        self.port = 0
        self._replies: list[Reply] = []
        self._received: list[Received] = []
        self._arrived = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    # -- what the thread of the test calls

    def script(self, replies: tuple[Reply, ...]) -> None:
        """Forget what was received; answer the coming requests so, in order."""
        self._received = []
        self._replies = list(replies)
        self._arrived.clear()

    def await_request(self, timeout: float) -> bool:
        return self._arrived.wait(timeout)

    def received(self) -> list[Received]:
        """What came since ``script``, with all that was sent before this was asked."""
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.02), self._loop).result(20)
        return list(self._received)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # -- the loop's side

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.close()

    def begin(self, fields: list[tuple[bytes, bytes]]) -> Received:
        pseudo = dict(fields)
        message = Message(
            (pseudo.get(b":method", b""), pseudo.get(b":path", b"")), HTTP_2, fields, "frames", complete=False
        )
        received = Received(message, b"")
        self._received.append(received)
        self._arrived.set()
        return received

    def reply(self, path: bytes) -> Reply:
        for reply in self._replies:
            if reply.path in (b"", path):
                self._replies.remove(reply)
                return reply
        return _OK


class _Connection(asyncio.Protocol):
    def __init__(self, origin: Http2Origin) -> None:
        self._origin = origin
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding=False,
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._connection: Any = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self._connection.local_settings = h2.settings.Settings(
            client=False, initial_values={codes.ENABLE_CONNECT_PROTOCOL: 1}
        )
        self._streams: dict[int, tuple[Received, Reply]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection.initiate_connection()
        transport.write(self._connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._connection.receive_data(data):
                self._take(event)
        except h2.exceptions.ProtocolError:
            pass
        if not self._transport.is_closing():
            self._transport.write(self._connection.data_to_send())

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is h2.events.RequestReceived:
            received = self._origin.begin(event.headers)
            assert received.message is not None
            reply = self._origin.reply(received.message.first[1])
            self._streams[event.stream_id] = (received, reply)
            if reply.early:
                self._answer(event.stream_id, reply)
        elif kind is h2.events.DataReceived:
            message = self._streams[event.stream_id][0].message
            assert message is not None
            message.body += event.data
            if event.flow_controlled_length:
                self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif kind is h2.events.TrailersReceived:
            message = self._streams[event.stream_id][0].message
            assert message is not None
            message.trailers += event.headers
        elif kind is h2.events.StreamEnded:
            received, reply = self._streams[event.stream_id]
            assert received.message is not None
            received.message.complete = True
            if not reply.early:
                self._answer(event.stream_id, reply)

    def _answer(self, stream_id: int, reply: Reply) -> None:
        connection = self._connection
        if reply.closes and not reply.fields:
            self._transport.close()
            return
        if reply.waits:
            return
        if reply.goes_away:
            last = (stream_id - 2).to_bytes(4, "big") if stream_id > 1 else bytes(4)
            self._transport.write(connection.data_to_send() + b"\0\0\x08\7\0\0\0\0\0" + last + bytes(4))
            return
        for interim in reply.interim:
            connection.send_headers(stream_id, list(interim))
        if reply.fields:
            ends = not reply.body and not reply.trailers and reply.resets < 0 and not reply.closes
            connection.send_headers(stream_id, list(reply.fields), end_stream=ends)
            for place, piece in enumerate(reply.body):
                last_piece = place == len(reply.body) - 1
                ends = last_piece and not reply.trailers and reply.resets < 0 and not reply.closes
                connection.send_data(stream_id, piece, end_stream=ends)
            if reply.trailers:
                connection.send_headers(stream_id, list(reply.trailers), end_stream=True)
        if reply.resets >= 0:
            connection.reset_stream(stream_id, reply.resets)
        if reply.closes:
            self._transport.write(connection.data_to_send())
            self._transport.close()
