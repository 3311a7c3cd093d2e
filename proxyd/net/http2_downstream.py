"""One HTTP/2 connection of a client: its streams, each of which is a request with its way back.

To an exchange it is the same as HTTP/1: heads, data, ends, pauses. Here are flow control, the connection's
life (idle, too old, draining by two GOAWAYs), and what a client must not do to it.
"""

import asyncio
import time
from typing import Final

from proxyd.codec.http2 import (
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    Fields,
)
from proxyd.codec.http2_fields import (
    BAD_FIELD,
    MALFORMED,
    TOO_LARGE,
    TOO_MANY,
    UNDERSCORES,
    RequestFields,
    read_trailers,
)
from proxyd.codec.http2_frames import goaway_frame
from proxyd.errors import BAD_FIELD as FIELD_FAILURE
from proxyd.errors import (
    BAD_MESSAGE,
    CLIENT_CANCELLED,
    CLIENT_FINISHED,
    CLIENT_GONE,
    FIELDS_TOO_LARGE,
    HEAD_TOO_SLOW,
    TOO_MANY_FIELDS,
    UNDERSCORE_IN_FIELD,
    WRONG_LENGTH,
    Failure,
)
from proxyd.errors import PREMATURE_RESETS as TOO_MANY_RESETS
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import WireBytes
from proxyd.net.addresses import note_addresses
from proxyd.net.bugs import report_bug
from proxyd.net.http2_connection import Http2Connection
from proxyd.net.http2_request import Http2Request
from proxyd.net.listener import Connection, HttpListener
from proxyd.net.stream import Stream
from proxyd.net.timers import NEVER

# What is left of a connection's life.
_SERVING: Final = 0
_CLOSING: Final = 1  # the last GOAWAY is on its way; closed when what is written has gone out
_LINGERING: Final = 2  # half-closed; the client's remaining bytes are thrown away until it closes

# As in Envoy: of so many requests and more, half must not be reset by the client before an answer came.
_PREMATURE_RESETS: Final = 500
_PREMATURE_SECONDS: Final = 2.0

# A fault that data has, beside those of fields.
_BAD_LENGTH: Final = 100
_FAULTS: Final = {
    MALFORMED: BAD_MESSAGE,
    BAD_FIELD: FIELD_FAILURE,
    TOO_LARGE: FIELDS_TOO_LARGE,
    TOO_MANY: TOO_MANY_FIELDS,
    UNDERSCORES: UNDERSCORE_IN_FIELD,
    _BAD_LENGTH: WRONG_LENGTH,
}


class Http2Downstream(Http2Connection, Connection):
    """The streams of one client, and what they share."""

    __slots__ = (
        "_began", "_born", "_close_deadline", "_closed_here", "_drain_deadline", "_draining", "_fields",
        "_finished", "_head_deadline", "_heard", "_idle_deadline", "_last_stream", "_leaves", "_listener",
        "_options", "_phase", "_premature", "_requests", "_resetting", "_said_last", "_stats", "_streams",
        "_unlogged", "_unsent", "_written", "info",
    )  # fmt: skip

    def __init__(self, listener: HttpListener, info: ConnectionInfo | None = None) -> None:
        """``info`` is what is known already of a connection that was HTTP/1 so far, or might have been."""
        options = listener.options
        stats = options.http2_stats
        assert stats is not None, "HTTP/2 is not spoken here"
        super().__init__(
            listener.wheel,
            options.http2,
            stats,
            True,
            options.max_header_bytes,
            options.max_header_count,
            options.buffer_limit,
        )
        self._listener: Final = listener
        self._options: Final = options
        self._stats: Final = listener.http_stats
        self._fields: Final = RequestFields(
            options.max_header_bytes,
            options.max_header_count,
            options.underscores,
            options.http2.allow_connect,
        )
        self._streams: Final[dict[int, Http2Request]] = {}
        self._resetting: Final[list[int]] = []  # answered before they had been sent completely
        self._requests: int = 0
        self._heard: int = 0  # streams of which the engine has told, in whatever way
        self._last_stream: int = 0
        self._finished: int = 0
        self._premature: int = 0  # resets
        self._phase: int = _SERVING
        self._closed_here: bool = False
        self._draining: bool = False
        self._leaves: bool = False  # the client has said that it opens no further stream
        self._said_last: bool = False
        self._began: bool = False
        self._born: float = 0.0
        self._idle_deadline: float = NEVER
        self._head_deadline: float = NEVER
        self._drain_deadline: float = NEVER  # for requests that were on their way at the first GOAWAY
        self._close_deadline: float = NEVER
        self._unsent: int = 0
        self._unlogged: Final[dict[int, Stream]] = {}  # who waits for the count of a response's bytes
        self._written: Final[list[int]] = []  # streams that are over; their last bytes may be counted now
        self.info: Final = info or ConnectionInfo()
        self.info.protocol = "HTTP/2"

    # -- the event loop's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        if not self._listener.admit(self):
            self._listening = False
            self._closed_here = True
            transport.abort()
            return
        note_addresses(self.info, transport)
        self.info.filter_chain_name = self._options.filter_chain_name
        self._begin(transport, self._now)

    def take_over(self, transport: asyncio.Transport, born: float, data: bytes) -> None:
        """Speak HTTP/2 on a connection that was opened at ``born`` and begins with ``data``."""
        self._begin(transport, born)
        self.data_received(data)

    def _begin(self, transport: asyncio.Transport, born: float) -> None:
        self._transport = transport
        self._born = born
        self._began = True
        self._stats.downstream_cx_http2_total.value += 1
        self._stats.downstream_cx_http2_active.value += 1
        transport.set_write_buffer_limits(self._options.buffer_limit)
        self._start_idle(self._now)
        self._start_pings(self._now)
        self._arm()

    def eof_received(self) -> bool:
        return False  # as in Envoy, a client that closes its half has gone

    def connection_lost(self, error: Exception | None) -> None:
        now = time.monotonic()
        self._now = now
        self._wheel.disarm(self)
        self._transport = None
        self._listening = False
        busy = self._lose_all(CLIENT_GONE, now)
        self._engine.release()
        if self._began:
            self._stats.downstream_cx_http2_active.value -= 1
        self._listener.forget(self, self._closed_here, busy, now - self._born)

    def _lose_all(self, failure: Failure, now: float) -> bool:
        """Tell all handlers that there is no client any more; whether there were any."""
        busy = False
        for request in list(self._streams.values()):
            handler = request.lose()
            if handler is not None:
                busy = True
                try:
                    handler.on_downstream_reset(failure, now)
                except Exception as bug:  # noqa: BLE001 - the others must hear of it, too
                    report_bug(self._wheel.loop, bug, "giving up a request")
        self._http2_stats.streams_active.value -= len(self._streams)
        self._written.extend(self._streams)
        self._streams.clear()
        self._waiting.clear()
        self._resetting.clear()
        self._tell_written()
        return busy

    # -- the engine's side

    def on_headers(self, stream_id: int, fields: Fields, end: bool) -> None:
        self._heard += 1
        if not self._listening:
            return
        now = self._now
        request = Http2Request(self, stream_id, now)
        self._streams[stream_id] = request
        self._last_stream = stream_id
        self._http2_stats.streams_active.value += 1
        head = self._fields.read(fields, end)
        if head is None:
            self._refuse(request, self._fields.fault)
            return
        self._count_dropped()
        self._requests += 1
        self._stats.downstream_rq_http2_total.value += 1
        options = self._options
        if options.max_requests_per_connection and self._requests >= options.max_requests_per_connection:
            if not self._draining:
                self._stats.downstream_cx_max_requests_reached.value += 1
            self.drain(now)
        if not end:
            request.expect_body(head)
        handler = self._listener.factory.new_stream(request)
        try:
            request.begin(head, handler, now)
        except Exception as error:  # noqa: BLE001 - one broken request must not take others with it
            report_bug(self._wheel.loop, error, "reading a request")
            request.abort()

    def _count_dropped(self) -> None:
        if self._fields.dropped:
            self._http2_stats.dropped_headers_with_underscores.value += self._fields.dropped
            self._fields.dropped = 0

    def on_interim(self, stream_id: int, fields: Fields) -> None:
        """Clients send none."""

    def on_data(self, stream_id: int, data: bytes, end: bool) -> None:
        request = self._streams.get(stream_id)
        if request is None:
            self._engine.consume(stream_id, len(data))
            return
        now = self._now
        try:
            good = not data or request.take(data, now)
            if good and end:
                good = request.end_request(now)
            elif good and request.handler is not None:
                request.handler.on_request_flush()
        except Exception as error:  # noqa: BLE001 - as in on_headers
            report_bug(self._wheel.loop, error, "reading a request")
            request.abort()
            return
        if not good:
            self._refuse(request, _BAD_LENGTH)

    def on_trailers(self, stream_id: int, fields: Fields) -> None:
        request = self._streams.get(stream_id)
        if request is None:
            return
        trailers = read_trailers(fields)
        if trailers is None:
            self._refuse(request, BAD_FIELD)
            return
        self._http2_stats.trailers.value += 1
        request.add_trailers(trailers)
        try:
            if not request.end_request(self._now):
                self._refuse(request, _BAD_LENGTH)
        except Exception as error:  # noqa: BLE001 - as in on_headers
            report_bug(self._wheel.loop, error, "reading a request")
            request.abort()

    def on_reset(self, stream_id: int, code: int) -> None:
        self._http2_stats.rx_reset.value += 1
        request = self._streams.get(stream_id)
        if request is None:
            return
        if not request.answering and self._now - request.born < _PREMATURE_SECONDS:
            self._premature += 1
        self._lose(request, CLIENT_CANCELLED if code else CLIENT_FINISHED)

    def on_closed(self, stream_id: int, code: int) -> None:
        if self._watch.sending:
            self._watch.give_up(stream_id)
        request = self._streams.pop(stream_id, None)
        if request is None:
            if self._listening:
                self._count_refused(code)
            return
        self._http2_stats.streams_active.value -= 1
        self._finished += 1
        if self._wire is not None:
            self._written.append(stream_id)
        request.give_back()
        if request.handler is not None:
            # The engine has reset it. Where no length was announced, its trailers were none.
            failure = WRONG_LENGTH if request.left >= 0 else BAD_MESSAGE
            self._lose(request, failure)
            if failure is BAD_MESSAGE and self._listening:
                self._refuse_message(failure)
        if not self._streams:
            self._start_idle(time.monotonic())
        if 2 * self._premature >= max(_PREMATURE_RESETS, self._finished) and self._listening:
            self._stats.downstream_rq_too_many_premature_resets.value += 1
            self._fail(ENHANCE_YOUR_CALM, TOO_MANY_RESETS)

    def _count_excess(self) -> None:
        """Streams beyond those that may be open, from a client that could not know of the limit yet."""
        refused = self._watch.streams - int(self._watch.in_head) - self._heard
        if refused > 0 and self._listening and not self._said_last:
            self._heard += refused
            self._http2_stats.stream_refused_errors.value += refused
            self._http2_stats.tx_reset.value += refused

    def _count_refused(self, code: int) -> None:
        """The engine has reset a stream before anything was heard of it: its head was malformed."""
        self._heard += 1
        if code == PROTOCOL_ERROR:
            self._tell(Http2Request(self, 0, self._now), BAD_MESSAGE)
            self._refuse_message(BAD_MESSAGE)

    def _tell(self, request: Http2Request, failure: Failure) -> None:
        """Have a request counted and logged that could not be read, as Envoy does."""
        self._stats.downstream_rq_http2_total.value += 1
        try:
            self._listener.factory.new_stream(request).on_downstream_reset(failure, self._now)
        except Exception as error:  # noqa: BLE001 - as in on_headers
            report_bug(self._wheel.loop, error, "refusing a request")

    def _lose(self, request: Http2Request, failure: Failure) -> None:
        handler = request.lose()
        if handler is None:
            return
        try:
            handler.on_downstream_reset(failure, self._now)
        except Exception as error:  # noqa: BLE001 - as in on_headers
            report_bug(self._wheel.loop, error, "giving up a request")

    def on_settings(self) -> None:
        """How many streams we may open: none, for nothing is pushed."""

    def on_goaway(self, last_stream_id: int, code: int) -> None:
        """The client opens no further stream; what it has asked for it still wants."""
        self._leaves = True

    # -- what clients must not do

    def _refuse(self, request: Http2Request, fault: int) -> None:
        """A message that cannot be taken."""
        stats = self._http2_stats
        self._count_dropped()
        code = INTERNAL_ERROR
        failure = _FAULTS[fault]
        if fault == UNDERSCORES:
            stats.requests_rejected_with_underscores_in_headers.value += 1
        elif fault == TOO_LARGE:
            stats.header_list_size_too_large.value += 1
        elif fault == TOO_MANY:
            stats.header_overflow.value += 1
        else:
            code = PROTOCOL_ERROR
        if request.head is None:
            self._tell(request, failure)
        self._lose(request, failure)
        self.reset(request.stream_id, code)
        if code == PROTOCOL_ERROR and failure is not WRONG_LENGTH:
            self._refuse_message(failure)

    def _refuse_message(self, failure: Failure) -> None:
        """As in Envoy, a malformed message costs its connection unless it is said to cost its stream."""
        self._http2_stats.rx_messaging_error.value += 1
        if not self._settings.stream_errors:
            self._fail(PROTOCOL_ERROR, failure)

    def _fail(self, code: int, failure: Failure) -> None:
        if not self._listening:
            return
        self._listening = False
        self._closed_here = True
        if code:
            self._stats.downstream_cx_protocol_error.value += 1
        self._http2_stats.goaway_sent.value += 1
        if not self._engine.shut_down(code) and self._transport is not None:
            self._transport.write(goaway_frame(self._last_stream, code))
        self._lose_all(failure, self._now)
        self._phase = _CLOSING
        self._set_close_deadline()
        self.request_flush()

    # -- the streams' side

    def count_bytes(self, stream_id: int, wire: WireBytes) -> int:
        """Count a stream's bytes there until it is closed; how many have come."""
        return 0 if self._wire is None else self._wire.count(stream_id, wire)

    def tell_when_written(self, stream_id: int, stream: Stream) -> bool:
        """Whether ``stream`` will hear when all bytes of this stream have been counted."""
        if self._wire is None or stream_id not in self._streams:
            return False
        self._unlogged[stream_id] = stream
        return True

    def _tell_written(self) -> None:
        meter = self._wire
        for stream_id in self._written:
            if meter is not None:
                meter.forget(stream_id)
            stream = self._unlogged.pop(stream_id, None)
            if stream is not None:
                try:
                    stream.on_written()
                except Exception as error:  # noqa: BLE001 - as in on_headers
                    report_bug(self._wheel.loop, error, "logging a request")
        self._written.clear()

    def break_off(self, request: Http2Request) -> None:
        """A response cannot be completed. What was sent of it goes out first."""
        if not self._reading:
            self._write()
        self.reset(request.stream_id, request.reset_code(INTERNAL_ERROR))
        self._await_flush(request)

    def send_interim(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        if self.count_frame():
            self._engine.send_interim(stream_id, fields)
            self.request_flush()

    def send_headers(self, stream_id: int, fields: list[tuple[bytes, bytes]], end: bool) -> None:
        if self.count_frame():
            self._engine.send_headers(stream_id, fields, end)
            self.request_flush()

    def on_response_head(self, request: Http2Request) -> None:
        """A response begins."""
        if not request.request_done:
            self._stats.downstream_rq_response_before_rq_complete.value += 1
        if self._listener.drain_close and not self._draining:
            self._stats.downstream_cx_drain_close.value += 1
            self.drain(self._now)

    def on_response_end(self, request: Http2Request) -> None:
        """A response is complete. What the client would still send of the request is not wanted."""
        if not request.request_done:
            self._stats.downstream_rq_rx_reset.value += 1
            self._resetting.append(request.stream_id)
        self._await_flush(request)

    def _await_flush(self, request: Http2Request) -> None:
        """Nothing more is sent on this stream; now it is for the client to take what is left."""
        timeout = self._flush_timeout(request)
        if timeout > 0.0:
            request.deadline = time.monotonic() + timeout
            self.arm_at(request.deadline)

    def _flush_timeout(self, request: Http2Request) -> float:
        return request.flush_timeout if request.flush_timeout >= 0.0 else self._options.flush_timeout

    def _end_flush(self, request: Http2Request, now: float) -> None:
        """The client has had its time. As in Envoy it is not asked whether it takes a little now and then.

        Where it does not even take the bytes of the connection, nothing can be said to it.
        """
        if not self._blocked:
            if self._engine.queued(request.stream_id):
                self._http2_stats.tx_flush_timeout.value += 1
                self.reset(request.stream_id, INTERNAL_ERROR)
            return
        deadline = self._blocked_since + self._flush_timeout(request)
        if deadline <= now:
            self._http2_stats.tx_flush_timeout.value += 1
            self.abort()
        else:
            request.deadline = deadline

    # -- writing

    def _count_received(self, count: int) -> None:
        self._stats.downstream_cx_rx_bytes_total.value += count
        if self._options.counts_wire_bytes:
            self._measure(True)

    def _count_sent(self, count: int) -> None:
        self._stats.downstream_cx_tx_bytes_total.value += count

    def _flushed(self) -> bool:
        self.look_at_waiting()
        if self._written and not self._blocked:
            self._tell_written()
        more = bool(self._resetting) and self._reset_answered()
        if self._phase == _SERVING:
            if not self._streams and (self._leaves or (self._draining and self._drain_deadline == NEVER)):
                self._draining = True
                self._drain_deadline = NEVER
                self._shut()
                more = True
            elif self._watch.unfinished() and self._options.head_timeout > 0.0:
                if self._head_deadline == NEVER:
                    self._head_deadline = self._now + self._options.head_timeout
                    self.arm_at(self._head_deadline)
            else:
                self._head_deadline = NEVER
        elif self._phase == _CLOSING and not self._blocked:
            self._linger()
        return more

    def _reset_answered(self) -> bool:
        """Responses that are out while their requests are still coming in: the rest is not wanted."""
        more = False
        for stream_id in list(self._resetting):
            if self._engine.queued(stream_id) == 0 and not self._blocked:
                self._resetting.remove(stream_id)
                request = self._streams.get(stream_id)
                if request is not None:
                    self._engine.reset(stream_id, request.reset_code(NO_ERROR))
                    more = True
        return more

    # -- deadlines

    def _start_idle(self, now: float) -> None:
        timeout = self._options.idle_timeout
        self._idle_deadline = now + timeout if timeout > 0.0 else NEVER
        self.arm_at(self._idle_deadline)

    def _arm(self) -> None:
        deadline = min(
            self._head_deadline,
            self._close_deadline,
            self._drain_deadline,
            self._ping_deadline,
            self._pong_deadline,
        )
        if not self._streams:
            deadline = min(deadline, self._idle_deadline)
        for request in self._streams.values():
            if request.deadline < deadline:
                deadline = request.deadline
        if self._options.max_connection_duration > 0.0 and not self._draining:
            deadline = min(deadline, self._born + self._options.max_connection_duration)
        self._wheel.arm(self, deadline)

    def _check_deadlines(self, now: float) -> None:
        if self._close_deadline <= now:
            self._check_closing()
            return
        if self._phase == _SERVING:
            self._check_life(now)
            for request in list(self._streams.values()):
                if request.deadline <= now:
                    request.deadline = NEVER
                    handler = request.handler
                    if handler is None:
                        self._end_flush(request, now)
                    else:
                        try:
                            handler.on_deadline(now)
                        except Exception as error:  # noqa: BLE001 - as in on_headers
                            report_bug(self._wheel.loop, error, "at a deadline")
                            request.abort()
        if self._transport is not None and self.deadline == NEVER:
            self._arm()

    def _check_life(self, now: float) -> None:
        duration = self._options.max_connection_duration
        if not self._check_pings(now):
            self._closed_here = True
            self._listening = False
            if self._transport is not None:
                self._transport.abort()
        elif self._head_deadline <= now:
            self._head_deadline = NEVER
            self._stats.downstream_rq_header_timeout.value += 1
            self._fail(NO_ERROR, HEAD_TOO_SLOW)
        elif self._drain_deadline <= now:
            self._drain_deadline = NEVER
            self._say_last()
        elif duration > 0.0 and self._born + duration <= now and not self._draining:
            self._stats.downstream_cx_max_duration_reached.value += 1
            self.drain(now)
        elif self._idle_deadline <= now and not self._streams:
            self._idle_deadline = NEVER
            if not self._watch.in_head:
                self._stats.downstream_cx_idle_timeout.value += 1
                self.drain(now)

    # -- closing

    def drain(self, now: float) -> None:
        """The connection is to end: say so, and take what is on its way for drain_timeout.

        One that has never carried a request is closed at once, as in Envoy.
        """
        if self._draining or self._phase != _SERVING:
            return
        if self._requests == 0 and not self._streams:
            self._draining = True
            self._shut()
        else:
            self._announce(now)

    def _announce(self, now: float) -> None:
        self._draining = True
        self._http2_stats.goaway_sent.value += 1
        self._engine.announce_shutdown()
        self._drain_deadline = now + self._options.drain_timeout
        self.arm_at(self._drain_deadline)
        self.request_flush()

    def begin_drain(self) -> None:
        if self._transport is not None and self._phase == _SERVING and not self._draining:
            self._stats.downstream_cx_drain_close.value += 1
            self._announce(time.monotonic())

    def close_if_idle(self) -> None:
        if self._streams or self._phase != _SERVING or self._watch.unfinished():
            return
        self._draining = True
        self._drain_deadline = NEVER
        self._shut()

    def abort(self) -> None:
        self._closed_here = True
        self._listening = False
        if self._transport is not None:
            self._transport.abort()

    def _shut(self) -> None:
        """No stream is left: a last GOAWAY, and the end."""
        self._closed_here = True
        self._listening = False
        self._phase = _CLOSING
        self._set_close_deadline()
        self._say_last()
        self.request_flush()

    def _say_last(self) -> None:
        """The last GOAWAY: no stream is taken after those that are there."""
        if not self._said_last:
            self._said_last = True
            self._http2_stats.goaway_sent.value += 1
            self._engine.shut_down(NO_ERROR)

    def _linger(self) -> None:
        """All is written. The client is given time to read it before the connection closes."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._phase = _LINGERING
        if self._options.delayed_close_timeout <= 0.0:
            transport.close()
            self._set_close_deadline()
            return
        try:
            transport.write_eof()
        except OSError:  # the client has gone; the loop does not know yet
            transport.abort()
            return
        self._set_close_deadline()

    def _set_close_deadline(self) -> None:
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()
        timeout = self._options.delayed_close_timeout
        self._close_deadline = time.monotonic() + (timeout if timeout > 0.0 else 1.0)
        self._arm()

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

    # -- Connection

    def connection_info(self) -> ConnectionInfo:
        return self.info
