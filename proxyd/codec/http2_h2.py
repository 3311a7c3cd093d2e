"""The HTTP/2 engine on h2, which is pure Python: for where ngh2 cannot be installed.

h2 leaves to its users what waits for the peer's windows, and takes the first GOAWAY for the end of
everything: both is done here.
"""

from collections import deque
from typing import Any, Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from proxyd.codec.http2 import (
    DEFAULT_WINDOW,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    LAST_STREAM_ID,
    MAX_CONCURRENT_STREAMS,
    NOBODY,
    Http2Engine,
    Http2Events,
    Http2Options,
)
from proxyd.codec.http2_frames import goaway_frame

_MAX_HEADER_LIST_SIZE: Final = 0x6
_OUTPUT: Final = 65536
_MORE_HEADER_BYTES: Final = 65536
_FIELD_OVERHEAD: Final = 32

_State = h2.connection.ConnectionState
_Input = h2.connection.ConnectionInputs
# In these a GOAWAY changes nothing: streams that are open go on.
_OPEN_STATES: Final = (_State.CLIENT_OPEN, _State.SERVER_OPEN, _State.IDLE)


class _Sending:
    """What one stream still has to send, and which of its sides are over."""

    def __init__(self) -> None:
        self.queue: Final[deque[bytes]] = deque()
        self.queued: int = 0
        self.ending: bool = False  # behind what is queued
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self.sent_all: bool = False
        self.received_all: bool = False


class H2Engine(Http2Engine):
    """``receive`` refuses by GOAWAY what Ngh2Engine resets a stream for; nothing else is different."""

    __slots__ = (
        "_connection",
        "_events",
        "_extra",
        "_heard_settings",
        "_last_stream",
        "_options",
        "_streams",
        "_terminated",
    )

    def __init__(
        self, events: Http2Events, options: Http2Options, server: bool, max_bytes: int, max_count: int
    ) -> None:
        """``max_bytes`` and ``max_count``: what a head must not have much more of to be read at all."""
        self._events: Http2Events = events
        self._options: Final = options
        self._extra: bytes = b""  # frames that h2 does not know how to write
        self._heard_settings: bool = False
        self._terminated: bool = False
        self._last_stream: int = 0
        self._streams: Final[dict[int, _Sending]] = {}
        # What a message may say is for http2_fields to judge.
        config = h2.config.H2Configuration(
            client_side=not server,
            header_encoding=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        connection: Any = h2.connection.H2Connection(config)
        self._connection: Final = connection
        settings: dict[Any, int] = {
            HEADER_TABLE_SIZE: options.hpack_table_size,
            MAX_CONCURRENT_STREAMS: options.max_concurrent_streams,
            INITIAL_WINDOW_SIZE: options.initial_stream_window_size,
            _MAX_HEADER_LIST_SIZE: 2 * max_bytes + _MORE_HEADER_BYTES + max_count * _FIELD_OVERHEAD,
            ENABLE_PUSH: 0,
        }
        if server:
            settings[ENABLE_CONNECT_PROTOCOL] = int(options.allow_connect)
        settings.update(options.custom_settings)
        connection.local_settings = h2.settings.Settings(client=not server, initial_values=settings)
        connection.decoder.max_allowed_table_size = options.hpack_table_size
        transitions = dict(connection.state_machine._transitions)
        for state in _OPEN_STATES:
            transitions[state, _Input.RECV_GOAWAY] = (None, state)
        connection.state_machine._transitions = transitions
        connection.initiate_connection()
        more = options.initial_connection_window_size - DEFAULT_WINDOW
        if more > 0:
            connection.increment_flow_control_window(more)

    # -- from the peer

    def release(self) -> None:
        self._events = NOBODY

    def receive(self, data: bytes) -> bool:
        try:
            events = self._connection.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._terminated = True  # h2 has written a GOAWAY
            return False
        for event in events:
            self._dispatch(event)
        return True

    def _dispatch(self, event: Any) -> None:
        kind = type(event)
        events = self._events
        if kind is h2.events.RequestReceived or kind is h2.events.ResponseReceived:
            self._last_stream = max(self._last_stream, event.stream_id)
            end = event.stream_ended is not None
            self._stream(event.stream_id)
            events.on_headers(event.stream_id, tuple(map(tuple, event.headers)), end)
            if end:
                self._received_all(event.stream_id)
        elif kind is h2.events.DataReceived:
            padding = event.flow_controlled_length - len(event.data)
            if padding:
                self.consume(event.stream_id, padding)
            end = event.stream_ended is not None
            events.on_data(event.stream_id, bytes(event.data), end)
            if end:
                self._received_all(event.stream_id)
        elif kind is h2.events.TrailersReceived:
            events.on_trailers(event.stream_id, tuple(map(tuple, event.headers)))
            self._received_all(event.stream_id)
        elif kind is h2.events.StreamReset:
            if event.remote_reset:
                events.on_reset(event.stream_id, int(event.error_code))
            self._close(event.stream_id, int(event.error_code))
        elif kind is h2.events.InformationalResponseReceived:
            events.on_interim(event.stream_id, tuple(map(tuple, event.headers)))
        elif kind is h2.events.RemoteSettingsChanged:
            self._heard_settings = True
            events.on_settings()
        elif kind is h2.events.ConnectionTerminated:
            events.on_goaway(event.last_stream_id, int(event.error_code))
        elif kind is h2.events.PingAckReceived:
            events.on_pong()

    def _stream(self, stream_id: int) -> _Sending:
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = _Sending()
        return stream

    def _received_all(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.received_all = True
            if stream.sent_all:
                self._close(stream_id, 0)

    def _sent_all(self, stream_id: int, stream: _Sending) -> None:
        stream.sent_all = True
        if stream.received_all:
            self._close(stream_id, 0)

    def _close(self, stream_id: int, code: int) -> None:
        if self._streams.pop(stream_id, None) is not None:
            self._events.on_closed(stream_id, code)

    # -- to the peer

    def output(self) -> bytes:
        for stream_id, stream in list(self._streams.items()):
            if stream.queue or stream.ending:
                self._send_queued(stream_id, stream)
        data = self._connection.data_to_send(_OUTPUT)
        if not data:
            data, self._extra = self._extra, b""
        return bytes(data)

    def _send_queued(self, stream_id: int, stream: _Sending) -> None:
        """One frame at a time, so that no stream waits for all of another's."""
        connection = self._connection
        try:
            while stream.queue:
                room = connection.local_flow_control_window(stream_id)
                if room <= 0:
                    return
                room = min(room, connection.max_outbound_frame_size)
                data = stream.queue.popleft()
                if len(data) > room:
                    stream.queue.appendleft(data[room:])
                    data = data[:room]
                stream.queued -= len(data)
                last = stream.ending and not stream.queue and stream.trailers is None
                connection.send_data(stream_id, data, end_stream=last)
                if last:
                    stream.ending = False
                    self._sent_all(stream_id, stream)
                    return
            if stream.ending:
                stream.ending = False
                if stream.trailers is not None:
                    connection.send_headers(stream_id, stream.trailers, end_stream=True)
                else:
                    connection.end_stream(stream_id)
                self._sent_all(stream_id, stream)
        except h2.exceptions.ProtocolError:
            stream.queue.clear()
            stream.ending = False

    def open(self, fields: list[tuple[bytes, bytes]], end: bool) -> int:
        try:
            stream_id = int(self._connection.get_next_available_stream_id())
            self._connection.send_headers(stream_id, fields, end_stream=end)
        except h2.exceptions.ProtocolError:
            return -1
        self._stream(stream_id).sent_all = end
        return stream_id

    def send_headers(self, stream_id: int, fields: list[tuple[bytes, bytes]], end: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        try:
            self._connection.send_headers(stream_id, fields, end_stream=end)
        except h2.exceptions.ProtocolError:
            return
        if end:
            self._sent_all(stream_id, stream)

    def send_interim(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        try:
            self._connection.send_headers(stream_id, fields)
        except h2.exceptions.ProtocolError:
            pass

    def send_data(self, stream_id: int, data: bytes, end: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.queue.append(data)
            stream.queued += len(data)
            stream.ending = end

    def send_trailers(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.trailers = fields
            stream.ending = True

    def end(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.sent_all:
            stream.ending = True

    def queued(self, stream_id: int) -> int:
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.queued

    def consume(self, stream_id: int, count: int) -> None:
        try:
            self._connection.acknowledge_received_data(count, stream_id)
        except (h2.exceptions.ProtocolError, ValueError):
            pass  # of a stream that is over, or more than was open

    def reset(self, stream_id: int, code: int) -> None:
        try:
            self._connection.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            pass
        self._close(stream_id, code)

    def refuse_late(self, stream_id: int) -> None:
        """It has been said."""

    def announce_shutdown(self) -> None:
        self._extra += goaway_frame(LAST_STREAM_ID, 0)

    def shut_down(self, code: int) -> bool:
        if self._terminated:
            return True
        if code:
            self._terminated = True
            try:
                self._connection.close_connection(code, last_stream_id=self._last_stream)
            except h2.exceptions.ProtocolError:
                return False
        else:
            self._extra += goaway_frame(self._last_stream, 0)
        return True

    def finished(self) -> bool:
        return self._terminated

    def ping(self) -> None:
        self._connection.ping(bytes(8))

    def peer_max_streams(self) -> int:
        if not self._heard_settings:
            return self._options.max_concurrent_streams
        return int(self._connection.remote_settings.max_concurrent_streams)
