"""The HTTP/2 engine on ngh2, which is libnghttp2: five microseconds a stream."""

from typing import Final

import ngh2

from proxyd.codec.http2 import (
    DEFAULT_WINDOW,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    NOBODY,
    STREAM_CLOSED,
    Http2Engine,
    Http2Events,
    Http2Options,
)
from proxyd.codec.http2_frames import reset_frame

# Where a message is too large for us, the engine's own limit, which ends the connection, is not to be met.
_MORE_HEADER_BYTES: Final = 65536
_MORE_HEADERS: Final = 1024
_FIELD_OVERHEAD: Final = 32  # RFC 9113 section 6.5.2 counts each field as so much larger
_LARGEST_HEAD: Final = 16 * 1024 * 1024  # that we send
_OUTPUT: Final = 65536


class Ngh2Engine(Http2Engine):
    """Who sends to a stream that the peer has just reset hears of that from the event behind."""

    __slots__ = ("_connection", "_events", "_extra", "_finished", "_peer_max_streams")

    def __init__(
        self, events: Http2Events, options: Http2Options, server: bool, max_bytes: int, max_count: int
    ) -> None:
        """``max_bytes`` and ``max_count``: what a head must not have much more of to be read at all."""
        self._events: Http2Events = events
        count = max_count + _MORE_HEADERS
        size = 2 * max_bytes + _MORE_HEADER_BYTES + count * _FIELD_OVERHEAD
        configuration = ngh2.Configuration(
            auto_window_update=False,
            peer_max_concurrent_streams=options.max_concurrent_streams,
            max_send_header_block_length=_LARGEST_HEAD,
            max_deflate_dynamic_table_size=options.hpack_table_size,
            max_outbound_ack=options.max_outbound_control_frames,
            max_continuations=8 + 2 * max_bytes // 16384,
            max_inbound_header_list_size=size,
            max_inbound_header_count=count,
        )
        role = ngh2.Role.SERVER if server else ngh2.Role.CLIENT
        self._connection: Final = ngh2.Connection(role, configuration)
        self._connection.initiate_connection(first_settings(options, server))
        window = options.initial_connection_window_size
        if window > DEFAULT_WINDOW:
            self._connection.set_local_window_size(window)
        self._finished: bool = False
        self._extra: bytes = b""  # frames that libnghttp2 does not write
        self._peer_max_streams: int = options.max_concurrent_streams

    def release(self) -> None:
        self._events = NOBODY

    def receive(self, data: bytes) -> bool:
        try:
            self._connection.receive_data(data)
        except ngh2.NGH2Error:
            self._dispatch()
            return False
        self._dispatch()
        return not self._finished

    def output(self) -> bytes:
        try:
            data: bytes = self._connection.data_to_send(_OUTPUT)
        except ngh2.NGH2Error:
            return b""
        self._dispatch()
        if not data and self._extra:
            data, self._extra = self._extra, b""
        return data

    def _dispatch(self) -> None:
        """Call the events that have collected."""
        events = self._events
        for event in self._connection.events():
            if isinstance(event, (ngh2.RequestReceived, ngh2.ResponseReceived)):
                events.on_headers(event.stream_id, event.headers, event.end_stream)
            elif isinstance(event, ngh2.StreamClosed):
                events.on_closed(event.stream_id, event.error_code)
            elif isinstance(event, ngh2.DataReceived):
                events.on_data(event.stream_id, event.data, event.end_stream)
            elif isinstance(event, ngh2.TrailersReceived):
                events.on_trailers(event.stream_id, event.headers)
            elif isinstance(event, ngh2.StreamReset):
                events.on_reset(event.stream_id, event.error_code)
            elif isinstance(event, ngh2.InformationalResponseReceived):
                events.on_interim(event.stream_id, event.headers)
            elif isinstance(event, ngh2.SettingsReceived):
                self._peer_max_streams = event.settings.get(MAX_CONCURRENT_STREAMS, self._peer_max_streams)
                events.on_settings()
            elif isinstance(event, ngh2.GoAwayReceived):
                events.on_goaway(event.last_stream_id, event.error_code)
            elif isinstance(event, ngh2.PingAcknowledged):
                events.on_pong()
            elif isinstance(event, ngh2.ConnectionClosed):
                self._finished = event.error_code != 0

    def open(self, fields: list[tuple[bytes, bytes]], end: bool) -> int:
        try:
            return int(self._connection.send_request(fields, end_stream=end))
        except ngh2.NGH2Error:
            return -1

    def send_headers(self, stream_id: int, fields: list[tuple[bytes, bytes]], end: bool) -> None:
        try:
            self._connection.send_response(stream_id, fields, end_stream=end)
        except ngh2.NGH2Error:
            pass

    def send_interim(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        try:
            self._connection.send_informational_response(stream_id, fields)
        except ngh2.NGH2Error:
            pass

    def send_data(self, stream_id: int, data: bytes, end: bool) -> None:
        try:
            self._connection.send_data(stream_id, data, end_stream=end)
        except ngh2.NGH2Error:
            pass

    def send_trailers(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        try:
            self._connection.send_trailers(stream_id, fields)
        except ngh2.NGH2Error:
            pass

    def end(self, stream_id: int) -> None:
        try:
            self._connection.end_stream(stream_id)
        except ngh2.NGH2Error:
            pass

    def queued(self, stream_id: int) -> int:
        return int(self._connection.queued_body_size(stream_id))

    def consume(self, stream_id: int, count: int) -> None:
        try:
            self._connection.acknowledge_received_data(count, stream_id)
        except (ngh2.NGH2Error, ValueError):
            pass  # of a stream that is over, the connection's share was given back at its end

    def reset(self, stream_id: int, code: int) -> None:
        try:
            self._connection.reset_stream(stream_id, code)
        except ngh2.NGH2Error:
            pass

    def refuse_late(self, stream_id: int) -> None:
        self._extra += reset_frame(stream_id, STREAM_CLOSED)

    def announce_shutdown(self) -> None:
        try:
            self._connection.send_shutdown_notice()
        except ngh2.NGH2Error:
            pass

    def shut_down(self, code: int) -> bool:
        if self._finished:
            return True
        try:
            if code:
                self._connection.terminate_connection(code)
            else:
                self._connection.send_goaway(0)
        except ngh2.NGH2Error:
            return False
        return True

    def finished(self) -> bool:
        return self._finished

    def ping(self) -> None:
        try:
            self._connection.ping()
        except ngh2.NGH2Error:
            pass

    def peer_max_streams(self) -> int:
        return self._peer_max_streams


def first_settings(options: Http2Options, server: bool) -> dict[int, int]:
    """What we say of ourselves at the beginning of a connection, as Envoy does."""
    settings = {
        HEADER_TABLE_SIZE: options.hpack_table_size,
        MAX_CONCURRENT_STREAMS: options.max_concurrent_streams,
        INITIAL_WINDOW_SIZE: options.initial_stream_window_size,
    }
    if server:
        settings[ENABLE_CONNECT_PROTOCOL] = int(options.allow_connect)
    else:
        settings[ENABLE_PUSH] = 0
    settings.update(options.custom_settings)
    return settings
