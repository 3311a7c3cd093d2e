"""One HTTP/2 connection to a host, and the requests that share it."""

import asyncio
import time
from typing import Final

from mypy_extensions import trait

from proxyd.codec.framing import LENGTH, TUNNEL, parse_length
from proxyd.codec.headers import Headers
from proxyd.codec.http2 import CANCEL, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, Fields
from proxyd.codec.http2_fields import ResponseFields, read_trailers
from proxyd.codec.http2_frames import goaway_frame
from proxyd.codec.messages import ResponseHead
from proxyd.codec.websocket import ACCEPT, KEY, WEBSOCKET, accept_of
from proxyd.errors import (
    UPSTREAM_CLOSED,
    UPSTREAM_PROTOCOL_ERROR,
    UPSTREAM_REFUSED,
    UPSTREAM_RESET,
    Failure,
)
from proxyd.filters.stream_info import WireBytes
from proxyd.filters.tls_info import TlsInfo
from proxyd.net.addresses import format_address
from proxyd.net.bugs import report_bug
from proxyd.net.http2_connection import Http2Connection
from proxyd.net.http2_stream import Http2Stream
from proxyd.net.stream import Stream, UpstreamStream
from proxyd.net.timers import NEVER, TimerWheel
from proxyd.net.upstream_connection import UpstreamConnection
from proxyd.snapshot.clusters import ClusterSnapshot
from proxyd.stats.scopes import ClusterStats
from proxyd.system import native

# Of one hop in HTTP/1; an upgrade is told in other words.
_HOP_FIELDS: Final = (b"connection", b"upgrade", KEY)


@trait
class Http2Owner:
    """The pool that a connection reports to."""

    __slots__ = ()

    def on_stream_over(self, request: "Http2Lease", now: float) -> None:
        """Its response is complete, or it has been given up."""
        raise NotImplementedError

    def on_room(self, connection: "Http2Upstream", now: float) -> None:
        """It can perhaps take another request, or nobody uses it any more."""
        raise NotImplementedError

    def on_connection_lost(self, connection: "Http2Upstream", local: bool, busy: bool, now: float) -> None:
        """It is gone, by our own doing or the peer's, perhaps amid requests."""
        raise NotImplementedError


class Http2Lease(Http2Stream, UpstreamStream):
    """One request's stream, from before it is opened to the end of its response."""

    __slots__ = (
        "_answered", "_asks_tunnel", "_host", "_key", "_since", "_tunnel", "_upgrade", "handler", "head",
        "request_done", "response_done", "to_head", "wire",
    )  # fmt: skip

    def __init__(self, host: "Http2Upstream", handler: Stream, since: float) -> None:
        """``since`` is now, or NEVER on a connection that has not carried any other request to its end."""
        super().__init__(host, 0)
        self._host: Final = host
        self._since: Final = since
        self.handler: Stream | None = handler
        self.head: ResponseHead | None = None
        self.request_done: bool = False
        self.response_done: bool = False
        self._answered: bool = False
        self.to_head: bool = False
        self.wire: WireBytes | None = None  # where the bytes of this request are counted
        self._asks_tunnel: bool = False
        self._tunnel: bool = False
        self._upgrade: bytes = b""  # what a client of HTTP/1 has asked for, and its key
        self._key: bytes = b""

    # -- Http2Stream

    def send_fields(self, fields: list[tuple[bytes, bytes]], end: bool) -> None:
        self._host.open(self, fields, end)

    def on_blocked(self) -> None:
        self._host.count_blocked()
        if self.handler is not None:
            self.handler.on_upstream_blocked()

    def on_writable(self) -> None:
        self._host.count_drained()
        if self.handler is not None:
            self.handler.on_upstream_writable()

    # -- the request's side

    def send_head(self, method: bytes, path: bytes, authority: bytes, headers: Headers, body: int) -> None:
        self.to_head = method == b"HEAD"
        items = headers.items
        handler = self.handler
        scheme = b"http" if handler is None else handler.scheme or b"http"
        if self._asks_tunnel:
            self._fields = _tunnel_fields(method, path, authority, scheme, items)
            if handler is not None and handler.protocol != "HTTP/2":
                self._upgrade = headers.get(b"upgrade") or b""
                self._key = headers.get(KEY) or b""
        else:
            self._fields = [
                (b":method", method),
                (b":scheme", scheme),
                (b":authority", authority),
                (b":path", path),
                *items,
            ]

    def count_bytes(self, wire: WireBytes) -> None:
        self.wire = wire

    def ask_tunnel(self) -> None:
        self._asks_tunnel = True

    def send_data(self, data: bytes) -> None:
        if data:
            self.queue_data(data)

    def end(self) -> None:
        self.submit(True)
        self.request_done = True

    def end_with(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if trailers:
            self.submit_trailers(trailers)
            self.request_done = True
        else:
            self.end()

    def reset(self) -> None:
        if self.handler is not None:
            self.handler = None
            self._host.cancel(self)

    def unanswered(self) -> bool:
        # A host that has lived to say something else has had the request, and dies of whatever it dies of.
        return not self._answered and self._since != NEVER and self._host.last_heard() <= self._since

    def local_address(self) -> str:
        return self._host.local_address()

    def tls_info(self) -> TlsInfo | None:
        return self._host.tls

    # -- the connection's side

    def take_head(self, head: ResponseHead, end: bool, now: float) -> None:
        """The response begins."""
        self._answered = True
        self.head = head
        if self._asks_tunnel and 200 <= head.status < 300:
            self._tunnel = True
            head.body = TUNNEL
            head.headers.remove(b"content-length")
            if self._upgrade:
                self._switch(head)
        elif head.body == LENGTH:
            self.left = parse_length(head.headers.get(b"content-length") or b"")
        elif not self.to_head and not end and head.headers.get(b"content-length") is not None:
            self.left = 0
        if self.handler is not None:
            self.handler.on_response(head, now)

    def _switch(self, head: ResponseHead) -> None:
        """Say in HTTP/1's words that the host accepts: the client has asked in them."""
        head.status = 101
        items = head.headers.items
        items.append((b"connection", b"Upgrade"))
        items.append((b"upgrade", self._upgrade))
        if self._key and self._upgrade.lower() == WEBSOCKET and head.headers.get(ACCEPT) is None:
            items.append((ACCEPT, accept_of(self._key)))

    def take(self, data: bytes, now: float) -> bool:
        """A part of the body; False where there must not be so much."""
        head = self.head
        if head is None or (self.to_head and data) or not self.is_within_length(len(data)):
            return False
        handler = self.handler
        if handler is not None:
            handler.on_response_data(data, now)
        self.received(len(data))
        return True

    def let_go(self) -> Stream | None:
        """The stream is over; the handler, if it is to be told."""
        handler = self.handler
        self.handler = None
        self.stop_sending()
        self._paused = False
        self.give_back()
        return handler

    @property
    def is_tunnel(self) -> bool:
        return self._tunnel


def _tunnel_fields(
    method: bytes, path: bytes, authority: bytes, scheme: bytes, items: list[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """A CONNECT (RFC 9113 section 8.5), or an upgrade as RFC 8441 says it."""
    if method == b"CONNECT":
        return [(b":method", method), (b":authority", authority), *items]
    protocol = next((value for name, value in items if name == b"upgrade"), b"")
    return [
        (b":method", b"CONNECT"),
        (b":protocol", protocol),
        (b":scheme", scheme),
        (b":authority", authority),
        (b":path", path),
        *(item for item in items if item[0] not in _HOP_FIELDS),
    ]


class Http2Upstream(Http2Connection, UpstreamConnection):
    """The streams to one host, and what they share."""

    __slots__ = (
        "_closed", "_closed_here", "_config", "_fields", "_idle_deadline", "_last_heard", "_local_address",
        "_most_held", "_owner", "_preface", "_stats", "_streams", "address", "born", "closing", "leases",
        "requests", "tls",
    )  # fmt: skip

    def __init__(
        self,
        owner: Http2Owner,
        wheel: TimerWheel,
        config: ClusterSnapshot,
        address: str,
        preface: bytes = b"",
    ) -> None:
        """``address`` is that of the host, ``ip:port``; ``preface`` goes to it before everything else."""
        stats = config.http2_stats
        assert stats is not None, "HTTP/2 is not spoken to this cluster"
        super().__init__(
            wheel,
            config.http2,
            stats,
            False,
            config.max_response_header_bytes,
            config.max_response_headers,
            config.buffer_limit,
        )
        self._owner: Final = owner
        self._config: Final = config
        self._stats: Final[ClusterStats] = config.stats
        self._fields: Final = ResponseFields(config.max_response_header_bytes, config.max_response_headers)
        self._streams: Final[dict[int, Http2Lease]] = {}
        self._closed: Final[list[int]] = []  # streams whose last frame may still be counted
        self._closed_here: bool = False
        self._idle_deadline: float = NEVER
        self._last_heard: float = 0.0
        self._local_address: str = ""
        self._preface: Final = preface
        self._most_held: Final[int] = config.http2.initial_connection_window_size // 2
        self.address: Final = address
        self.born: float = time.monotonic()
        self.leases: int = 0  # requests on it, those that have no stream yet included
        self.requests: int = 0
        self.tls: TlsInfo | None = None
        self.closing: bool = False  # no request may be given to it any more

    # -- the pool's side

    def take_tls(self, info: TlsInfo) -> None:
        self.tls = info

    def is_closing(self) -> bool:
        return self.closing

    def has_room(self) -> bool:
        """Whether it takes another request now.

        Not where requests whose clients do not read keep most of what the host may send: it has nothing left
        for others. An intended difference: Envoy lets them wait behind those.
        """
        if self.closing or self.held > self._most_held:
            return False
        most = self._config.max_requests_per_connection
        if most and self.requests >= most:
            return False
        limit = min(self._engine.peer_max_streams(), self._settings.max_concurrent_streams)
        return max(self.leases, len(self._streams)) < limit

    def lease(self, stream: Stream, now: float) -> Http2Lease:
        """A request for ``stream``."""
        idle = self._settings.keepalive_idle_interval
        if idle > 0.0 and self._last_heard and now - self._last_heard > idle:
            self.ping(now)
            self.arm_at(self._pong_deadline)
        since = now if self.requests > self.leases else NEVER
        self.leases += 1
        self.requests += 1
        most = self._config.max_requests_per_connection
        if most and self.requests >= most:
            self._stats.upstream_cx_max_requests.value += 1
            self.closing = True
        return Http2Lease(self, stream, since)

    def last_heard(self) -> float:
        """When the host has sent anything last; 0.0: never."""
        return self._last_heard

    def close(self) -> None:
        """Close when what is written has gone; the owner hears of it when the loop has done so."""
        self._closed_here = True
        self.closing = True
        transport = self._transport
        if transport is None:
            return
        if self._listening:
            self._listening = False
            self._engine.shut_down(NO_ERROR)
            self._write()
        if transport.get_write_buffer_size() > 0:
            transport.abort()
        else:
            transport.close()

    def abort(self) -> None:
        self._closed_here = True
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def drain(self) -> None:
        """Take no new request, and close when nobody uses it."""
        self.closing = True
        if self.leases == 0:
            self.close()

    def local_address(self) -> str:
        """``ip:port`` of this side."""
        if not self._local_address and self._transport is not None:
            name = self._transport.get_extra_info("sockname")
            if name is not None:
                self._local_address = format_address(name[0], name[1])
        return self._local_address

    # -- the event loop's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(self._config.buffer_limit)
        probes = self._config.keep_alive
        if probes is not None:
            native.keep_alive(transport.get_extra_info("socket"), probes.probes, probes.time, probes.interval)
        now = time.monotonic()
        self._now = now
        self._start_pings(now)
        self._start_idle(now)
        if self._preface:
            transport.write(self._preface)
        self._write()

    def eof_received(self) -> bool:
        self.closing = True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        now = time.monotonic()
        self._now = now
        self._wheel.disarm(self)
        self._transport = None
        self._listening = False
        self.closing = True
        busy = self.leases > 0
        self._fail_all(UPSTREAM_CLOSED, now)
        self._engine.release()
        self._owner.on_connection_lost(self, self._closed_here, busy, now)

    def _fail_all(self, failure: Failure, now: float) -> None:
        for request in list(self._streams.values()):
            self._fail_stream(request, failure, now)
        self._http2_stats.streams_active.value -= len(self._streams)
        self._streams.clear()
        self._waiting.clear()

    def _fail_stream(self, request: Http2Lease, failure: Failure, now: float) -> None:
        handler = request.let_go()
        if handler is None:
            return
        self._release(request, now)
        try:
            handler.on_upstream_failure(failure, "", now)
        except Exception as error:  # noqa: BLE001 - the others must hear of it, too
            report_bug(self._wheel.loop, error, "failing a request")
            handler.on_bug()

    def _release(self, request: Http2Lease, now: float) -> None:
        self.leases -= 1
        self._owner.on_stream_over(request, now)
        if self.leases == 0:
            self._start_idle(now)
            if self.closing and self._transport is not None and not self._closed_here:
                self.close()

    def on_given_back(self, count: int) -> None:
        if self.held <= self._most_held < self.held + count:
            self._wheel.loop.call_soon(self._tell_room)

    def _tell_room(self) -> None:
        if not self.closing:
            self._owner.on_room(self, time.monotonic())

    # -- the requests' side

    def open(self, request: Http2Lease, fields: list[tuple[bytes, bytes]], end: bool) -> None:
        """Begin a request's stream."""
        stream_id = self._engine.open(fields, end) if self._listening else -1
        if stream_id < 0:
            # Not from inside the sending: whoever sends does not expect an answer.
            request.stop_sending()
            self._wheel.loop.call_soon(self._refuse, request)
            self.closing = True
            return
        request.stream_id = stream_id
        self._streams[stream_id] = request
        if request.wire is not None:
            meter = self._measure(False)
            if meter is not None:
                meter.count(stream_id, request.wire)
        self._http2_stats.streams_active.value += 1
        self._watch.count_stream()
        if self.count_frame():
            self.request_flush()

    def _refuse(self, request: Http2Lease) -> None:
        self._fail_stream(request, UPSTREAM_REFUSED, time.monotonic())

    def cancel(self, request: Http2Lease) -> None:
        """The request is not wanted any more."""
        request.let_go()
        if request.stream_id and request.stream_id in self._streams:
            self._stats.upstream_rq_tx_reset.value += 1
            self.reset(request.stream_id, CANCEL)
        self._release(request, time.monotonic())

    def count_blocked(self) -> None:
        self._stats.upstream_flow_control_backed_up_total.value += 1

    def count_drained(self) -> None:
        self._stats.upstream_flow_control_drained_total.value += 1

    # -- the engine's side

    def on_headers(self, stream_id: int, fields: Fields, end: bool) -> None:
        request = self._streams.get(stream_id)
        if request is None or request.handler is None:
            return
        now = self._now
        head = self._fields.read(fields, end, request.to_head)
        if head is None:
            self._break(request)
            return
        try:
            request.take_head(head, end, now)
            if end:
                self._finish(request, now)
            elif request.handler is not None:
                request.handler.on_response_flush()
        except Exception as error:  # noqa: BLE001 - one broken exchange must not take others with it
            self._report(request, error)

    def on_interim(self, stream_id: int, fields: Fields) -> None:
        request = self._streams.get(stream_id)
        if request is None or request.handler is None:
            return
        head = self._fields.read(fields, False, True)
        if head is None:
            self._break(request)
            return
        try:
            request.handler.on_interim(head, self._now)
        except Exception as error:  # noqa: BLE001 - as in on_headers
            self._report(request, error)

    def on_data(self, stream_id: int, data: bytes, end: bool) -> None:
        request = self._streams.get(stream_id)
        if request is None or request.handler is None:
            self._engine.consume(stream_id, len(data))
            return
        now = self._now
        try:
            good = not data or request.take(data, now)
            if good and end:
                good = request.left <= 0
                if good:
                    self._finish(request, now)
            elif good and request.handler is not None:
                request.handler.on_response_flush()
        except Exception as error:  # noqa: BLE001 - as in on_headers
            self._report(request, error)
            return
        if not good:
            self._break(request)

    def on_trailers(self, stream_id: int, fields: Fields) -> None:
        request = self._streams.get(stream_id)
        if request is None or request.handler is None:
            return
        trailers = read_trailers(fields)
        if trailers is None or request.head is None or request.left > 0:
            self._break(request)
            return
        self._http2_stats.trailers.value += 1
        if trailers:
            request.head.trailers = trailers
        try:
            self._finish(request, self._now)
        except Exception as error:  # noqa: BLE001 - as in on_headers
            self._report(request, error)

    def _finish(self, request: Http2Lease, now: float) -> None:
        """The response is complete."""
        if request.is_tunnel:
            handler = request.handler
            if handler is not None and not request.request_done:
                handler.on_tunnel_closing(now)
                return
        request.response_done = True
        handler = request.let_go()
        if not request.request_done:
            # The host has said all without having heard all.
            self._stats.upstream_rq_tx_reset.value += 1
            self.reset(request.stream_id, NO_ERROR)
        self._release(request, now)
        if handler is not None:
            handler.on_response_end(now)

    def on_reset(self, stream_id: int, code: int) -> None:
        self._http2_stats.rx_reset.value += 1
        request = self._streams.get(stream_id)
        if request is None:
            return
        self._stats.upstream_rq_rx_reset.value += 1
        if request.handler is None:
            self._stats.upstream_rq_rx_reset_no_error.value += code == NO_ERROR
        self._fail_stream(request, UPSTREAM_REFUSED if code == REFUSED_STREAM else UPSTREAM_RESET, self._now)

    def on_closed(self, stream_id: int, code: int) -> None:
        request = self._streams.pop(stream_id, None)
        if request is None:
            return
        if request.wire is not None:
            self._closed.append(stream_id)
        self._http2_stats.streams_active.value -= 1
        request.give_back()
        if request.handler is not None:
            # The engine has ended it: not to be answered after a GOAWAY, or malformed.
            refused = code == REFUSED_STREAM
            if not refused:
                self._count_malformed()
            self._fail_stream(request, UPSTREAM_REFUSED if refused else UPSTREAM_PROTOCOL_ERROR, self._now)
        self._owner.on_room(self, self._now)

    def on_settings(self) -> None:
        self._owner.on_room(self, self._now)

    def on_goaway(self, last_stream_id: int, code: int) -> None:
        if not self.closing:
            self._stats.upstream_cx_close_notify.value += 1
        self.closing = True
        for stream_id, request in list(self._streams.items()):
            if stream_id > last_stream_id:
                self._fail_stream(request, UPSTREAM_REFUSED, self._now)
        if self.leases == 0 and not self._closed_here:
            self.close()

    def _break(self, request: Http2Lease) -> None:
        """The host has sent what is no response."""
        self._count_malformed()
        self._fail_stream(request, UPSTREAM_PROTOCOL_ERROR, self._now)
        self.reset(request.stream_id, PROTOCOL_ERROR)

    def _count_malformed(self) -> None:
        self._http2_stats.rx_messaging_error.value += 1
        self._stats.upstream_cx_protocol_error.value += 1
        if not self._settings.stream_errors:
            self.closing = True  # as in Envoy, which closes at once

    def _report(self, request: Http2Lease, error: Exception) -> None:
        report_bug(self._wheel.loop, error, "reading a response")
        handler = request.let_go()
        if handler is not None:
            self.reset(request.stream_id, CANCEL)
            self._release(request, self._now)
            handler.on_bug()

    # -- what the base class asks for

    def _count_received(self, count: int) -> None:
        self._last_heard = self._now
        self._stats.upstream_cx_rx_bytes_total.value += count

    def _count_sent(self, count: int) -> None:
        self._stats.upstream_cx_tx_bytes_total.value += count

    def _fail(self, code: int, failure: Failure) -> None:
        """``failure`` is for clients' connections; requests hear that the host has broken the protocol."""
        if not self._listening:
            return
        self._listening = False
        self.closing = True
        self._closed_here = True
        self._stats.upstream_cx_protocol_error.value += 1
        self._http2_stats.goaway_sent.value += 1
        if not self._engine.shut_down(code) and self._transport is not None:
            self._transport.write(goaway_frame(0, code))
        self._fail_all(UPSTREAM_PROTOCOL_ERROR, self._now)
        self._wheel.loop.call_soon(self._close_failed)

    def _close_failed(self) -> None:
        self._write()
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size():
            transport.abort()  # a host that does not even read is not waited for
        else:
            transport.close()

    def _flushed(self) -> bool:
        self.look_at_waiting()
        if self._closed and not self._blocked:
            if self._wire is not None:
                for stream_id in self._closed:
                    self._wire.forget(stream_id)
            self._closed.clear()
        return False

    # -- deadlines

    def _start_idle(self, now: float) -> None:
        timeout = self._config.idle_timeout
        self._idle_deadline = now + timeout if timeout > 0.0 else NEVER
        self._arm()

    def _arm(self) -> None:
        deadline = min(self._ping_deadline, self._pong_deadline)
        if self.leases == 0:
            deadline = min(deadline, self._idle_deadline)
        if self._config.max_connection_duration > 0.0 and not self.closing:
            deadline = min(deadline, self.born + self._config.max_connection_duration)
        self.arm_at(deadline)

    def _check_deadlines(self, now: float) -> None:
        duration = self._config.max_connection_duration
        if not self._check_pings(now):
            self.abort()
            return
        if duration > 0.0 and self.born + duration <= now and not self.closing:
            self._stats.upstream_cx_max_duration_reached.value += 1
            self.drain()
        elif self.leases == 0 and self._idle_deadline <= now and not self._closed_here:
            self._stats.upstream_cx_idle_timeout.value += 1
            self.close()
        if self._transport is not None:
            self._arm()
