"""One HTTP/1 connection of a client: transport on one side, reader and the request's handler on the other.

Requests are answered in the order in which they came. What a client pipelines behind the request under way is
kept as it was read, and nothing more is read meanwhile.
"""

import asyncio
import time
from collections import deque
from typing import Final

from proxyd.codec.framing import CHUNKED, NO_BODY, TUNNEL, UNTIL_CLOSE
from proxyd.codec.header_case import proper_case
from proxyd.codec.headers import Headers
from proxyd.codec.http1_requests import RequestReader
from proxyd.codec.http1_writers import (
    LAST_CHUNK,
    write_chunk,
    write_interim,
    write_response_head,
    write_trailers,
)
from proxyd.codec.http2 import PREFACE
from proxyd.codec.messages import RequestEvents, RequestHead
from proxyd.errors import (
    CLIENT_GONE,
    REQUEST_HEADER_TIMEOUT,
    REQUEST_TIMEOUT,
    STREAM_IDLE_REQUEST,
    UNDERSCORE_IN_NAME,
    Failure,
)
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import WireBytes
from proxyd.net.addresses import note_addresses
from proxyd.net.bugs import report_bug
from proxyd.net.http2_downstream import Http2Downstream
from proxyd.net.listener import Connection, Front, HttpListener
from proxyd.net.stream import DownstreamStream, Stream
from proxyd.net.timers import NEVER, Timed
from proxyd.system import native

_JOIN_LIMIT: Final = 16384

# Who has stopped the reading.
_BY_STREAM: Final = 1
_BY_QUEUE: Final = 2

# What is left of a connection's life.
_DETECTING: Final = -1  # whether the client speaks HTTP/2
_SERVING: Final = 0
_FLUSHING: Final = 1  # closed once everything written has gone out
_LINGERING: Final = 2  # half-closed; the client's remaining bytes are thrown away until it closes


class QueuedRequest:
    """A pipelined request as far as it has been read."""

    def __init__(self, head: RequestHead) -> None:
        self.head: Final = head
        self.data: list[bytes] = []
        self.done: bool = head.body == NO_BODY
        self.failure: Failure | None = None


# Of all connections without pipelined requests: an empty deque of their own would take 760 bytes.
_NOBODY: Final[deque[QueuedRequest]] = deque()


class Http1Downstream(Timed, RequestEvents, DownstreamStream, Connection):
    """A protocol of the event loop by shape (no base class: native classes are cheaper without one)."""

    __slots__ = (
        "_agreed_http2",
        "_blocked",
        "_born",
        "_chunked",
        "_close",
        "_close_deadline",
        "_discarding",
        "_drain_deadline",
        "_draining",
        "_failed",
        "_failure",
        "_front",
        "_head_deadline",
        "_idle_deadline",
        "_in_turn",
        "_listener",
        "_minor",
        "_now",
        "_options",
        "_paused",
        "_pending",
        "_phase",
        "_queue",
        "_reader",
        "_request_done",
        "_requests",
        "_speaks",
        "_stats",
        "_stream",
        "_stream_deadline",
        "_to_head",
        "_transport",
        "_tunnel",
        "_unsent",
        "_wire",
        "_wire_before",
        "info",
    )  # fmt: skip

    def __init__(self, listener: HttpListener) -> None:
        super().__init__()
        options = listener.options
        self._listener: Final = listener
        self._options: Final = options
        self._stats: Final = listener.http_stats
        self._reader: RequestReader = RequestReader(
            self,
            options.max_header_bytes,
            options.max_header_count,
            options.accept_http_10,
            options.allow_absolute_url,
            options.underscores,
            options.refuse_https,
            options.enable_trailers,
        )
        self._transport: asyncio.Transport | None = None
        self._stream: Stream | None = None
        self._queue: deque[QueuedRequest] = _NOBODY
        self._failure: Failure | None = None  # to be answered once everything before it is
        self._failed: bool = False
        self._pending: bytes = b""  # a response head held back to go out with what follows
        self._chunked: bool = False
        self._tunnel: bool = False
        self._minor: int = 1
        self._to_head: bool = False
        self._request_done: bool = True
        self._discarding: bool = False  # the rest of an answered request
        self._close: bool = False  # no request after this one
        self._phase: int = _DETECTING if options.detects_http2 else _SERVING
        self._speaks: bool = False  # it has been counted as HTTP/1
        self._in_turn: bool = False  # inside a callback that will go on with the queue itself
        self._paused: int = 0
        self._blocked: bool = False
        self._unsent: int = 0  # bytes in the transport at the last look, while closing
        self._requests: int = 0
        self._now: float = 0.0
        self._born: float = 0.0
        self._stream_deadline: float = NEVER
        self._head_deadline: float = NEVER
        self._idle_deadline: float = NEVER
        self._drain_deadline: float = NEVER  # until then requests are taken, each answered as the last one
        self._draining: bool = False
        self._close_deadline: float = NEVER
        self._wire: WireBytes | None = None  # where the bytes of the request under way are counted
        self._wire_before: int = 0  # bytes received while there was none
        self._agreed_http2: bool = False  # by ALPN
        self._front: Front | None = None
        self.info: Final = ConnectionInfo()

    # -- the event loop's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        now = time.monotonic()
        self._now = now
        self._born = now
        listener = self._listener
        if not listener.admit(self):
            self._phase = _FLUSHING
            transport.abort()
            return
        note_addresses(self.info, transport)
        self.info.filter_chain_name = self._options.filter_chain_name
        if self._phase == _SERVING:
            self._speak()
        transport.set_write_buffer_limits(self._options.buffer_limit)
        self._start_idle(now)
        if self._options.max_connection_duration > 0.0:  # for where idle connections have all the time
            self._arm()

    def data_received(self, data: bytes) -> None:
        try:
            self._read(data)
        except Exception as error:  # noqa: BLE001 - one broken request must not take others with it
            report_bug(self._listener.wheel.loop, error, "reading a request")
            self.abort()

    def _read(self, data: bytes) -> None:
        now = time.monotonic()
        self._now = now
        self._stats.downstream_cx_rx_bytes_total.value += len(data)
        if self._options.counts_wire_bytes:
            self._count_received(len(data))
        if self._phase != _SERVING:
            if self._phase != _DETECTING:
                return
            data = self._detect(data)
            if not data:
                return
        stream = self._stream
        if self._tunnel and stream is not None:  # nothing more is parsed, and nobody waits behind it
            stream.on_request_data(data, now)
            stream.on_request_flush()
            return
        self._in_turn = True
        reader = self._reader
        failure = reader.feed(data)
        underscores = self._options.underscore_stats
        if underscores is not None:
            underscores.dropped_headers.value += reader.dropped
            reader.dropped = 0
            if failure is UNDERSCORE_IN_NAME and not self._failed:
                underscores.requests_rejected.value += 1
        if failure is not None and not self._failed:
            self._failed = True
            self._read_failure(failure)
        stream = self._stream
        self._in_turn = False
        if stream is None or self._discarding:
            self._go_on()
        elif not self._request_done:
            self._in_turn = True
            stream.on_request_flush()
            self._in_turn = False
            self._go_on()
        if reader.in_head and self._options.head_timeout > 0.0:
            if self._head_deadline == NEVER:
                self._head_deadline = now + self._options.head_timeout
                self._arm()
        else:
            self._head_deadline = NEVER

    def _speak(self) -> None:
        """It is HTTP/1."""
        self._phase = _SERVING
        self._speaks = True
        self._stats.downstream_cx_http1_total.value += 1
        self._stats.downstream_cx_http1_active.value += 1

    def _detect(self, data: bytes) -> bytes:
        """What is to be read as HTTP/1; who begins as HTTP/2 does is handed over (RFC 9113 section 3.4)."""
        data = self._pending + data
        if not self._agreed_http2:
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._pending = data
                return b""
            if not data.startswith(PREFACE):
                self._pending = b""
                self._speak()
                return data
        self._phase = _FLUSHING  # of this object's life
        transport = self._transport
        self._transport = None
        self._listener.wheel.disarm(self)
        if transport is not None:
            self._stats.downstream_cx_rx_bytes_total.value -= len(data)  # counted by the other one
            other = self._new_http2()
            self._listener.replace(self, other)
            if self._front is not None:
                self._front.put_behind(other)
            else:
                transport.set_protocol(other)  # type: ignore[arg-type]  # a protocol by shape
            other.take_over(transport, self._born, data)
        self._reader.release()
        return b""

    def _new_http2(self) -> Http2Downstream:
        """Who speaks HTTP/2 in this one's place."""
        return Http2Downstream(self._listener, self.info)

    def _count_received(self, count: int) -> None:
        # As in Envoy, what is read at once counts for the request that is under way then.
        if self._wire is not None:
            self._wire.downstream_received += count
        else:
            self._wire_before += count

    def eof_received(self) -> bool:
        stream = self._stream
        if not self._tunnel or stream is None or self._phase != _SERVING:
            return False  # as in Envoy, a client that closes its half has gone
        try:
            stream.on_request_end(time.monotonic())
        except Exception as error:  # noqa: BLE001 - as in data_received
            report_bug(self._listener.wheel.loop, error, "closing a tunnel")
            self.abort()
            return False
        return True

    def connection_lost(self, error: Exception | None) -> None:
        now = time.monotonic()
        self._now = now
        listener = self._listener
        listener.wheel.disarm(self)
        self._transport = None
        stream = self._stream
        self._stream = None
        self._queue.clear()
        local = self._phase > _SERVING
        self._phase = _FLUSHING
        if self._speaks:
            self._stats.downstream_cx_http1_active.value -= 1
        if stream is None and not local and self._reader.in_head:
            self._stats.downstream_rq_http1_total.value += 1
            stream = listener.factory.new_stream(self)  # as in Envoy, a request counts from its first byte
        self._reader.release()
        if stream is not None:
            try:
                stream.on_downstream_reset(CLIENT_GONE, now)
            except Exception as bug:  # noqa: BLE001 - the connection must be counted as gone
                report_bug(listener.wheel.loop, bug, "giving up a request")
        listener.forget(self, local, stream is not None, now - self._born)

    def pause_writing(self) -> None:
        self._blocked = True
        if self._stream is not None:
            self._stream.on_downstream_blocked()

    def resume_writing(self) -> None:
        self._blocked = False
        if self._stream is not None:
            self._stream.on_downstream_writable()

    # -- the reader's side

    def on_request(self, head: RequestHead) -> None:
        if self._stream is not None or self._queue or self._discarding or self._close:
            if self._queue is _NOBODY:
                self._queue = deque()
            self._queue.append(QueuedRequest(head))
            self._pause(_BY_QUEUE)
            if head.upgrade or head.method == b"CONNECT":
                self._reader.postpone()
        else:
            self._begin(head)

    def on_request_data(self, data: bytes) -> None:
        if self._queue:
            self._queue[-1].data.append(data)
        elif self._stream is not None:
            self._stream.on_request_data(data, self._now)

    def on_request_end(self) -> None:
        if self._queue:
            self._queue[-1].done = True
        elif not self._request_done or self._discarding:
            self._request_ended()

    def _request_ended(self) -> None:
        if self._discarding:
            self._discarding = False
            self._request_done = True
            self._answered()
        elif not self._request_done and self._stream is not None:
            self._request_done = True
            self._stream.on_request_end(self._now)

    def _read_failure(self, failure: Failure) -> None:
        """What follows cannot be read. Whoever the bytes belonged to is told, after those before it."""
        if self._queue:
            last = self._queue[-1]
            if last.done:
                self._failure = failure
            else:
                last.failure = failure
        elif self._stream is not None and not self._request_done:
            self._break_request(self._stream, failure)
        elif self._stream is not None:
            self._failure = failure
        elif self._discarding:
            self._close = True
        else:
            self._fail(failure)

    def _break_request(self, stream: Stream, failure: Failure) -> None:
        """The rest of the request under way cannot be read."""
        self._stats.downstream_cx_protocol_error.value += 1
        stream.on_request_failure(failure, self._now)
        self._request_done = True

    def _begin(self, head: RequestHead) -> None:
        listener = self._listener
        options = self._options
        self._requests += 1
        self._stats.downstream_rq_http1_total.value += 1
        self._request_done = head.body == NO_BODY
        self._discarding = False
        self._minor = head.version_minor
        self._to_head = head.method == b"HEAD"
        self._close = not head.keep_alive
        if options.max_requests_per_connection and self._requests >= options.max_requests_per_connection:
            self._close = True
            self._stats.downstream_cx_max_requests_reached.value += 1
        stream = listener.factory.new_stream(self)
        self._stream = stream
        if self._blocked:
            stream.on_downstream_blocked()
        stream.on_request(head, self._now)

    def _fail(self, failure: Failure) -> None:
        """Answer bytes that are no request."""
        self._request_done = True
        self._discarding = False
        self._minor = 1
        self._to_head = False
        self._close = True
        stats = self._stats
        stats.downstream_rq_http1_total.value += 1
        stats.downstream_rq_response_before_rq_complete.value += 1
        stats.downstream_rq_rx_reset.value += 1
        if failure is REQUEST_HEADER_TIMEOUT:
            stats.downstream_rq_header_timeout.value += 1
        elif failure is REQUEST_TIMEOUT:
            stats.downstream_rq_timeout.value += 1
        elif failure is STREAM_IDLE_REQUEST:
            stats.downstream_rq_idle_timeout.value += 1
        else:
            stats.downstream_cx_protocol_error.value += 1
        stream = self._listener.factory.new_stream(self)
        self._stream = stream
        stream.on_request_failure(failure, self._now)

    def _go_on(self) -> None:
        """Serve what waits, one request after the other, until one takes its time."""
        if self._in_turn:
            return
        self._in_turn = True
        while self._stream is None and not self._discarding and self._phase == _SERVING:
            if self._close:
                self._shut()
            elif self._queue:
                queued = self._queue.popleft()
                self._now = time.monotonic()  # its turn comes long after it was read
                self._begin(queued.head)
                self._replay(queued)
                if self._reader.postponed:
                    self._settle()
                if not self._queue:
                    self._resume(_BY_QUEUE)
            elif self._failure is not None:
                failure = self._failure
                self._failure = None
                self._fail(failure)
            else:
                self._resume(_BY_QUEUE)
                break
        if self._discarding and self._phase == _SERVING:
            self._shut()
        self._in_turn = False

    def _settle(self) -> None:
        """A request that asked for an upgrade has had its turn: what follows is read as was decided."""
        failure = self._reader.settle()
        if failure is not None and not self._failed:
            self._failed = True
            self._read_failure(failure)
        if self._stream is not None:
            self._stream.on_request_flush()

    def _replay(self, queued: QueuedRequest) -> None:
        for data in queued.data:
            if self._stream is not None:
                self._stream.on_request_data(data, self._now)
        if queued.failure is not None:
            if self._stream is not None and not self._request_done:
                self._break_request(self._stream, queued.failure)
            self._close = True
        elif queued.done and queued.head.body != NO_BODY:
            self._request_ended()
        if self._stream is not None:
            self._stream.on_request_flush()

    # -- the handler's side

    def on_secured(self, alpn: str) -> None:
        self._agreed_http2 = alpn == "h2"

    def stand_behind(self, front: Front) -> None:
        self._front = front

    def connection_info(self) -> ConnectionInfo:
        return self.info

    def count_bytes(self, wire: WireBytes) -> int:
        before, self._wire_before = self._wire_before, 0
        self._wire = wire
        return before

    def unwritten(self) -> int:
        ending = len(LAST_CHUNK) if self._chunked and not self._to_head else 0
        return len(self._pending) + ending

    def tell_when_written(self, stream: Stream) -> bool:
        return False  # `unwritten` says it

    def send_interim(self, status: int, items: list[tuple[bytes, bytes]]) -> bool:
        if self._minor == 1:
            head = write_interim(status, items)
            self._write(proper_case(head) if self._options.proper_case else head)
        return self._minor == 1

    def begin_tunnel(self) -> None:
        self._request_done = False
        self._reader.begin_tunnel()

    def send_head(self, status: int, headers: Headers, body: int) -> None:
        self._chunked = False
        if not self._request_done:
            # As in Envoy: what is still to come of the request is not waited for.
            self._close = True
            self._stats.downstream_rq_response_before_rq_complete.value += 1
        if body == NO_BODY and status >= 200 and status != 204 and status != 304:
            body = self._announce_nothing(headers)
        if body == TUNNEL:
            self._tunnel = True
            self._to_head = False
            head = write_response_head(self._minor, status, headers, NO_BODY, b"")
            self._pending = proper_case(head) if self._options.proper_case else head
            return
        if body in (CHUNKED, UNTIL_CLOSE):
            if self._minor == 1:
                self._chunked = True
                body = CHUNKED
            else:
                self._close = True
                body = UNTIL_CLOSE
        if (self._listener.drain_close or self._draining) and not self._close and not self._queue:
            # Of a pipeline only the last response says that the connection ends.
            self._close = True
            if not self._draining:
                self._stats.downstream_cx_drain_close.value += 1
        connection = b""
        if self._minor == 0 and not self._close and headers.get(b"content-length") is None:
            self._close = True  # as in Envoy, of any response in HTTP/1.0 that tells no length
        if self._close:
            connection = b"close"
        elif self._minor == 0:
            connection = b"keep-alive"
        head = write_response_head(self._minor, status, headers, body, connection)
        self._pending = proper_case(head) if self._options.proper_case else head

    def _announce_nothing(self, headers: Headers) -> int:
        """How an empty body is told where no field does it; the answer to HEAD tells what GET would get."""
        if headers.get(b"content-length") is not None:
            return NO_BODY
        if self._to_head:
            return CHUNKED
        headers.add(b"content-length", b"0")
        return NO_BODY

    def send_data(self, data: bytes) -> None:
        if self._to_head or not data:
            return
        if self._chunked:
            data = write_chunk(data)
        pending = self._pending
        if pending:
            self._pending = b""
            if len(data) <= _JOIN_LIMIT:
                data = pending + data
            else:
                self._write(pending)
        self._write(data)

    def flush(self) -> None:
        if self._pending:
            self._write(self._pending)
            self._pending = b""

    def end(self) -> None:
        if self._chunked and not self._to_head:
            self._write(self._pending + LAST_CHUNK)
            self._pending = b""
        elif self._pending:
            self.flush()
        self._ended()

    def end_with(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._chunked and not self._to_head and self._options.enable_trailers:
            self._write(self._pending + write_trailers(trailers))
            self._pending = b""
            self._ended()
        else:
            self.end()

    def half_close(self) -> None:
        self.flush()
        transport = self._transport
        if transport is not None and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the client has gone; the loop does not know yet
                transport.abort()

    def _ended(self) -> None:
        self._stream = None
        self._wire = None
        self._stream_deadline = NEVER
        if self._paused:
            self._resume(_BY_STREAM)
        if self._tunnel:
            self._flush_and_close()
        elif self._request_done:
            self._answered()
        else:
            self._discarding = True
            self._stats.downstream_rq_rx_reset.value += 1
            self._go_on()

    def _answered(self) -> None:
        """A request and its response are over."""
        if not self._close and not self._queue:
            now = time.monotonic()
            self._start_idle(now)
            timeout = self._options.head_timeout
            if timeout > 0.0 and self._reader.in_head and self._head_deadline == NEVER:
                self._head_deadline = now + timeout  # the last one passed while this request was under way
                self._arm()
        if not self._in_turn and (
            self._close or self._queue or self._paused or self._failure is not None or self._discarding
        ):
            self._go_on()

    def close_after(self) -> None:
        self._close = True

    def reset(self) -> None:
        self._stream = None
        self._pending = b""
        self._queue.clear()
        self._flush_and_close()

    def pause(self) -> None:
        self._pause(_BY_STREAM)

    def resume(self) -> None:
        self._resume(_BY_STREAM)

    def arm(self, deadline: float) -> None:
        self._stream_deadline = deadline
        if deadline < self.deadline:
            self._arm()

    # -- deadlines

    def _start_idle(self, now: float) -> None:
        timeout = self._options.idle_timeout
        deadline = now + timeout if timeout > 0.0 else NEVER
        self._idle_deadline = deadline
        if deadline < self.deadline:
            self._arm()

    def _arm(self) -> None:
        deadline = self._stream_deadline if self._stream is not None else self._idle_deadline
        if self._head_deadline < deadline:
            deadline = self._head_deadline
        if self._close_deadline < deadline:
            deadline = self._close_deadline
        if self._drain_deadline < deadline:
            deadline = self._drain_deadline
        if self._options.max_connection_duration > 0.0 and not self._close and not self._draining:
            limit = self._born + self._options.max_connection_duration
            if limit < deadline:
                deadline = limit
        self._listener.wheel.arm(self, deadline)

    def on_deadline(self, now: float) -> None:
        self._now = now
        try:
            self._check_deadlines(now)
        except Exception as error:  # noqa: BLE001 - as in data_received
            report_bug(self._listener.wheel.loop, error, "at a deadline")
            self.abort()

    def _check_deadlines(self, now: float) -> None:
        duration = self._options.max_connection_duration
        if self._close_deadline <= now:
            self._check_closing()
            return
        if self._phase > _SERVING:
            self._arm()
            return
        if self._head_deadline <= now:
            self._head_deadline = NEVER
            if self._stream is None and self._reader.in_head:
                self._failed = True
                self._fail(self._options.head_timeout_failure)
                self._go_on()
        elif duration > 0.0 and self._born + duration <= now and not self._close and not self._draining:
            self._stats.downstream_cx_max_duration_reached.value += 1
            self._drain(now)
        elif self._drain_deadline <= now:
            self._drain_deadline = NEVER
            self._close = True
            if self._stream is None and not self._reader.in_head:
                self._go_on()
        elif self._stream is not None:
            if self._stream_deadline <= now:
                self._stream.on_deadline(now)
        elif self._idle_deadline <= now:
            self._idle_deadline = NEVER
            if not self._reader.in_head:
                self._stats.downstream_cx_idle_timeout.value += 1
                self._drain(now)
        if self._transport is not None and self.deadline == NEVER:
            self._arm()

    def _drain(self, now: float) -> None:
        """The connection has had its time: drain_timeout is left for a request that is on its way.

        One that has never carried a request is closed at once, as in Envoy.
        """
        if self._requests == 0 and not self._reader.in_head:
            self._flush_and_close()
        elif not self._draining:
            self._draining = True
            self._drain_deadline = now + self._options.drain_timeout
            self._arm()

    # -- closing

    def close_if_idle(self) -> None:
        """Close unless a request is under way; then its response is the last."""
        if self._stream is not None or self._queue or self._reader.in_head or self._phase > _SERVING:
            return
        if self._pending:
            return  # the beginning of HTTP/2
        if not self._has_unread():
            self._flush_and_close()

    def _has_unread(self) -> bool:
        """Whether a request waits in the socket: closing over it would reset the connection."""
        return self._transport is not None and native.has_unread(self._transport)

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._phase = _FLUSHING
        if self._transport is not None:
            self._transport.abort()

    def _shut(self) -> None:
        """Close after the last response. A client that may still send is given time to read it first."""
        if self._request_done and not self._failed and not self._queue and not self._discarding:
            self._flush_and_close()
        else:
            self._linger()

    def _flush_and_close(self) -> None:
        self._phase = _FLUSHING
        if self._transport is not None:
            self._transport.close()
            self._set_close_deadline()

    def _linger(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._options.delayed_close_timeout <= 0.0:
            self._flush_and_close()
            return
        self._phase = _LINGERING
        self._queue.clear()
        self._discarding = False
        if transport.is_closing():
            return
        try:
            transport.write_eof()
        except OSError:  # the client has gone; the loop does not know yet
            transport.abort()
            return
        self._resume(_BY_STREAM | _BY_QUEUE)
        self._set_close_deadline()

    def _check_closing(self) -> None:
        """The client has had its time to close. One that still reads what is left gets as much again."""
        transport = self._transport
        if transport is None:
            return
        unsent = transport.get_write_buffer_size()
        if unsent and unsent < self._unsent:
            self._set_close_deadline()
        else:
            self._stats.downstream_cx_delayed_close_timeout.value += 1
            transport.abort()

    def _set_close_deadline(self) -> None:
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()
        timeout = self._options.delayed_close_timeout
        self._close_deadline = time.monotonic() + (timeout if timeout > 0.0 else 1.0)
        self._arm()

    # -- the transport

    def _write(self, data: bytes) -> None:
        self._stats.downstream_cx_tx_bytes_total.value += len(data)
        if self._wire is not None:
            self._wire.downstream_sent += len(data)
        if self._transport is not None:
            self._transport.write(data)

    def _pause(self, who: int) -> None:
        transport = self._transport
        if self._paused == 0 and transport is not None and not transport.is_closing():
            transport.pause_reading()
            self._stats.downstream_flow_control_paused_reading_total.value += 1
        self._paused |= who

    def _resume(self, who: int) -> None:
        if self._paused == 0:
            return
        self._paused &= ~who
        transport = self._transport
        if self._paused == 0 and transport is not None and not transport.is_closing():
            transport.resume_reading()
            self._stats.downstream_flow_control_resumed_reading_total.value += 1
