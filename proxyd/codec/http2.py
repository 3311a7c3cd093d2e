"""HTTP/2 as connections use it (RFC 9113): bytes in, calls out, and the reverse. No socket, no clock.

An engine owns framing, HPACK, the states of streams and flow control. There are two, behind one interface:
``http2_ngh2`` and, where its package is not installed, ``http2_h2``. What a message may say is for
``http2_fields``, how much a peer may ask of us for ``http2_frames``; both are the same with either engine.
"""

from typing import Final

from mypy_extensions import trait

Fields = tuple[tuple[bytes, bytes], ...]

# What every client sends first.
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# RFC 9113 section 7.
NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
FLOW_CONTROL_ERROR: Final = 0x3
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
CONNECT_ERROR: Final = 0xA
ENHANCE_YOUR_CALM: Final = 0xB
HTTP_1_1_REQUIRED: Final = 0xD

# RFC 9113 section 6.5.2 and RFC 8441.
HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
ENABLE_CONNECT_PROTOCOL: Final = 0x8

DEFAULT_WINDOW: Final = 65535
LAST_STREAM_ID: Final = 0x7FFFFFFF


class Http2Options:
    """What one side's connections go by: Envoy's Http2ProtocolOptions with its defaults. Sizes in bytes."""

    def __init__(self) -> None:
        self.hpack_table_size: int = 4096
        self.max_concurrent_streams: int = 1024
        self.initial_stream_window_size: int = 16 * 1024 * 1024
        self.initial_connection_window_size: int = 24 * 1024 * 1024
        self.allow_connect: bool = False
        self.max_outbound_frames: int = 10_000
        self.max_outbound_control_frames: int = 1_000
        self.max_empty_frames: int = 1  # one after the other, that carry nothing and end nothing
        self.max_priority_frames_per_stream: int = 100
        self.max_window_updates_per_data_frame: int = 10
        self.stream_errors: bool = False  # a malformed message costs its stream, not the connection
        self.custom_settings: dict[int, int] = {}
        # Seconds, 0.0 for none: PINGs every so often, or after so much silence before a new stream.
        self.keepalive_interval: float = 0.0
        self.keepalive_jitter: float = 0.15  # up to this part of the interval more
        self.keepalive_timeout: float = 0.0
        self.keepalive_idle_interval: float = 0.0


@trait
class Http2Events:
    """What an engine calls. Nothing comes of a stream after ``on_closed``."""

    __slots__ = ()

    def on_headers(self, stream_id: int, fields: Fields, end: bool) -> None:
        """A request's or a response's head; ``end`` where nothing follows it."""
        raise NotImplementedError

    def on_interim(self, stream_id: int, fields: Fields) -> None:
        raise NotImplementedError

    def on_data(self, stream_id: int, data: bytes, end: bool) -> None:
        """To be given back with ``consume``, in time: until then the peer may send so much less."""
        raise NotImplementedError

    def on_trailers(self, stream_id: int, fields: Fields) -> None:
        """The end of a message that has trailers."""
        raise NotImplementedError

    def on_reset(self, stream_id: int, code: int) -> None:
        """The peer has reset the stream."""
        raise NotImplementedError

    def on_closed(self, stream_id: int, code: int) -> None:
        """The stream is over on both sides; ``code`` is not NO_ERROR where the engine had to reset it."""
        raise NotImplementedError

    def on_settings(self) -> None:
        """The peer has said how many streams it takes."""
        raise NotImplementedError

    def on_goaway(self, last_stream_id: int, code: int) -> None:
        """The peer takes no further stream, and will not answer those after ``last_stream_id``."""
        raise NotImplementedError

    def on_pong(self) -> None:
        """A PING of ours was answered."""
        raise NotImplementedError


class _Nobody(Http2Events):
    """Whom a released engine would call, if it read anything."""


NOBODY: Final = _Nobody()


@trait
class Http2Engine:
    """One connection's protocol. What is sent to a stream that is no more goes nowhere."""

    __slots__ = ()

    def release(self) -> None:
        """Call no event any more: without the circle with its owner both are freed at once."""
        raise NotImplementedError

    def receive(self, data: bytes) -> bool:
        """Read ``data`` and call the events of it; False where the connection cannot go on.

        A peer that breaks a rule is told in ``output``, and then the engine is ``finished``.
        """
        raise NotImplementedError

    def output(self) -> bytes:
        """What is to be written now, some of it; empty when there is no more. May call ``on_closed``."""
        raise NotImplementedError

    def open(self, fields: list[tuple[bytes, bytes]], end: bool) -> int:
        """Begin a request; its stream's number, or -1 where the connection takes none any more."""
        raise NotImplementedError

    def send_headers(self, stream_id: int, fields: list[tuple[bytes, bytes]], end: bool) -> None:
        """A response's head."""
        raise NotImplementedError

    def send_interim(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        raise NotImplementedError

    def send_data(self, stream_id: int, data: bytes, end: bool) -> None:
        """Queue a part of a body until the peer's windows let it go."""
        raise NotImplementedError

    def send_trailers(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        """End a body that was begun with fields behind it."""
        raise NotImplementedError

    def end(self, stream_id: int) -> None:
        """End a body that was begun."""
        raise NotImplementedError

    def queued(self, stream_id: int) -> int:
        """How many bytes of its body wait for the peer's windows, or for ``output``."""
        raise NotImplementedError

    def consume(self, stream_id: int, count: int) -> None:
        """So many bytes that came in ``on_data`` are dealt with: the peer may send as many more."""
        raise NotImplementedError

    def reset(self, stream_id: int, code: int) -> None:
        raise NotImplementedError

    def refuse_late(self, stream_id: int) -> None:
        """The peer has sent data for a stream that it had ended: say so, if that has not been said yet."""
        raise NotImplementedError

    def announce_shutdown(self) -> None:
        """The first GOAWAY of two: no more requests, please, but those on their way are welcome."""
        raise NotImplementedError

    def shut_down(self, code: int) -> bool:
        """GOAWAY: the streams that are open are the last ones; with an error, none goes on.

        False where the engine is past writing one.
        """
        raise NotImplementedError

    def finished(self) -> bool:
        """The connection is over for the engine, and ``output`` has had the GOAWAY that says so."""
        raise NotImplementedError

    def ping(self) -> None:
        raise NotImplementedError

    def peer_max_streams(self) -> int:
        """How many streams the peer lets us have open at the same time."""
        raise NotImplementedError
