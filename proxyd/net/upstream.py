"""One HTTP/1 connection to a host: transport on one side, reader and the leasing request on the other."""

import asyncio
import time
from typing import Final

from mypy_extensions import trait

from proxyd.codec.framing import BODYLESS_METHODS, CHUNKED, NO_BODY, TUNNEL
from proxyd.codec.header_case import proper_case
from proxyd.codec.headers import Headers
from proxyd.codec.http1_responses import ResponseReader
from proxyd.codec.http1_writers import LAST_CHUNK, write_chunk, write_request_head, write_trailers
from proxyd.codec.messages import ResponseEvents, ResponseHead
from proxyd.codec.websocket import ACCEPT, KEY, WEBSOCKET, new_key
from proxyd.errors import UPSTREAM_CLOSED, UPSTREAM_PROTOCOL_ERROR
from proxyd.filters.stream_info import WireBytes
from proxyd.filters.tls_info import TlsInfo
from proxyd.net.addresses import end_of, format_address
from proxyd.net.bugs import report_bug
from proxyd.net.stream import Stream, UpstreamStream
from proxyd.net.timers import NEVER, Timed, TimerWheel
from proxyd.net.upstream_connection import UpstreamConnection
from proxyd.snapshot.clusters import ClusterSnapshot
from proxyd.stats.scopes import ClusterStats
from proxyd.system import native

# A head and a body up to this size go out in one write.
_JOIN_LIMIT: Final = 16384

GOODBYE_LIMIT: Final = 1.0  # seconds for a host to take the goodbye of TLS


@trait
class ConnectionOwner:
    """The pool that a connection reports to."""

    def on_request_over(self, connection: "Http1Upstream", reusable: bool, now: float) -> None:
        """Its request and response are complete; it can carry another where ``reusable``."""
        raise NotImplementedError

    def on_closed(self, connection: "Http1Upstream", local: bool, now: float) -> None:
        """It is gone, by our own doing or the peer's."""
        raise NotImplementedError


class Http1Upstream(Timed, ResponseEvents, UpstreamStream, UpstreamConnection):
    """A protocol of the event loop by shape (no base class: native classes are cheaper without one)."""

    __slots__ = (
        "_asks_tunnel",
        "_blocked",
        "_body",
        "_closed_here",
        "_config",
        "_heard",
        "_idle_deadline",
        "_idle_timeout",
        "_keep_alive",
        "_local_address",
        "_max_duration",
        "_now",
        "_own_key",
        "_owner",
        "_paused",
        "_pending",
        "_reader",
        "_request_done",
        "_response_done",
        "_stats",
        "_stream",
        "_transport",
        "_tunnel",
        "_wheel",
        "_wire",
        "address",
        "born",
        "closing",
        "leased",
        "requests",
        "tls",
    )  # fmt: skip

    def __init__(
        self,
        owner: ConnectionOwner,
        wheel: TimerWheel,
        config: ClusterSnapshot,
        address: str,
    ) -> None:
        """``address`` is that of the host, ``ip:port``."""
        super().__init__()
        self._owner: Final = owner
        self._wheel: Final = wheel
        self._config: Final = config
        self._stats: Final[ClusterStats] = config.stats
        self._idle_timeout: Final = config.idle_timeout
        self._idle_deadline: float = NEVER
        self._max_duration: Final = config.max_connection_duration
        self._reader: ResponseReader = ResponseReader(
            self, config.max_response_header_bytes, config.max_response_headers, config.enable_trailers
        )
        self._transport: asyncio.Transport | None = None
        self._stream: Stream | None = None
        self._pending: bytes = b""  # a request head held back to go out with what follows
        self._body: int = NO_BODY
        self._asks_tunnel: bool = False
        self._tunnel: bool = False
        self._own_key: bool = False  # of a WebSocket whose client speaks HTTP/2 and has none
        self._request_done: bool = True
        self._response_done: bool = True
        self._keep_alive: bool = True
        self._closed_here: bool = False
        self._heard: bool = False
        self._paused: bool = False
        self._blocked: bool = False
        self._wire: WireBytes | None = None  # where the bytes of this request are counted
        self._now: float = 0.0
        self._local_address: str = ""
        self.address: Final = address
        self.born: float = time.monotonic()
        self.requests: int = 0
        self.leased: bool = False  # kept by the pool
        self.tls: TlsInfo | None = None
        self.closing: bool = False  # no request may be given to it any more

    # -- the pool's side

    def take_tls(self, info: TlsInfo) -> None:
        self.tls = info

    def is_closing(self) -> bool:
        return self.closing

    def attach(self, stream: Stream) -> None:
        """Lease the connection to ``stream`` until its response has ended or either side breaks off."""
        self._stream = stream
        self.requests += 1

    def close(self) -> None:
        """Close at once, of TLS behind a goodbye; the owner hears of it when the loop has done so."""
        self._closed_here = True
        self.closing = True
        transport = self._transport
        if transport is None:
            return
        if self.tls is None or transport.is_closing() or transport.get_write_buffer_size() > 0:
            transport.abort()
            return
        # Hosts forget the session of a connection that ended without a goodbye (TLS 1.2 without tickets).
        transport.close()
        self._wheel.arm(self, time.monotonic() + GOODBYE_LIMIT)

    def set_idle(self, now: float) -> None:
        """Start to wait for the next lease."""
        deadline = now + self._idle_timeout if self._idle_timeout > 0.0 else NEVER
        if self._max_duration > 0.0:
            deadline = min(deadline, self.born + self._max_duration)
        self._idle_deadline = deadline
        if deadline < self.deadline:
            self._wheel.arm(self, deadline)

    def worn_out(self, now: float) -> bool:
        """Whether it has lived as long as the cluster allows; counts it."""
        if self._max_duration <= 0.0 or now < self.born + self._max_duration:
            return False
        self._stats.upstream_cx_max_duration_reached.value += 1
        return True

    def on_deadline(self, now: float) -> None:
        if self._closed_here:  # and the host takes no goodbye
            if self._transport is not None:
                self._transport.abort()
            return
        if self._stream is not None:
            return  # armed again when the lease ends
        if now < self._idle_deadline:  # it has been used since
            self._wheel.arm(self, self._idle_deadline)
            return
        if not self.worn_out(now):
            self._stats.upstream_cx_idle_timeout.value += 1
        self.close()

    # -- the event loop's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(self._config.buffer_limit)
        probes = self._config.keep_alive
        if probes is not None:
            native.keep_alive(transport.get_extra_info("socket"), probes.probes, probes.time, probes.interval)

    def data_received(self, data: bytes) -> None:
        stream = self._stream
        try:
            self._read(data)
        except Exception as error:  # noqa: BLE001 - one broken exchange must not take others with it
            report_bug(self._wheel.loop, error, "reading a response")
            self._stream = None
            self.close()
            if stream is not None:
                stream.on_bug()

    def _read(self, data: bytes) -> None:
        now = time.monotonic()
        self._now = now
        self._heard = True
        self._stats.upstream_cx_rx_bytes_total.value += len(data)
        if self._wire is not None:
            self._wire.upstream_received += len(data)
        stream = self._stream
        if self._tunnel and stream is not None:  # nothing more is parsed
            stream.on_response_data(data, now)
            stream.on_response_flush()
            return
        good = self._reader.feed(data)
        stream = self._stream
        if not good and not self.closing:
            self._stats.upstream_cx_protocol_error.value += 1
        if stream is None:
            if not good:
                self.close()
        elif self._response_done:
            if not self._keep_alive:
                self._stats.upstream_cx_close_notify.value += 1
            # What is still to come of the request could not be told from the next one: no second use then.
            self._release(good and self._keep_alive and self._request_done and not self._blocked)
            stream.on_response_end(now)
        elif not good:
            self._stream = None
            self.close()
            stream.on_upstream_failure(UPSTREAM_PROTOCOL_ERROR, "", now)
        else:
            stream.on_response_flush()

    def eof_received(self) -> bool:
        self.closing = True
        stream = self._stream
        if not self._tunnel or stream is None:
            return False
        try:
            stream.on_tunnel_closing(time.monotonic())
        except Exception as error:  # noqa: BLE001 - as in data_received
            report_bug(self._wheel.loop, error, "closing a tunnel")
            stream.on_bug()
            return False
        return True

    def connection_lost(self, error: Exception | None) -> None:
        now = time.monotonic()
        self._now = now
        self._wheel.disarm(self)
        self._transport = None
        self.closing = True
        stream = self._stream
        # As in Envoy: what ends in the middle of a message is no message.
        broken = self._reader.in_message()
        local = self._closed_here
        if stream is not None and not local and self._reader.finish():
            self._release(False)
            self._reader.release()
            self._owner.on_closed(self, local, now)
            stream.on_response_end(now)
            return
        self._stream = None
        self._reader.release()
        self._owner.on_closed(self, local, now)
        if stream is not None:
            if broken:
                self._stats.upstream_cx_protocol_error.value += 1
            stream.on_upstream_failure(UPSTREAM_PROTOCOL_ERROR if broken else UPSTREAM_CLOSED, "", now)

    def pause_writing(self) -> None:
        self._stats.upstream_flow_control_backed_up_total.value += 1
        self._blocked = True
        if self._stream is not None:
            self._stream.on_upstream_blocked()

    def resume_writing(self) -> None:
        self._stats.upstream_flow_control_drained_total.value += 1
        self._blocked = False
        if self._stream is not None:
            self._stream.on_upstream_writable()

    # -- the request's side

    def send_head(self, method: bytes, path: bytes, authority: bytes, headers: Headers, body: int) -> None:
        self._reader.expect(method, self._asks_tunnel)
        self._heard = False
        self._request_done = False
        self._response_done = False
        self._keep_alive = True
        self._body = body
        if self._asks_tunnel and headers.get(b"upgrade") == WEBSOCKET and headers.get(KEY) is None:
            self._own_key = True
            headers.items.append((KEY, new_key()))
        if body == NO_BODY and method not in BODYLESS_METHODS:
            headers.set(b"content-length", b"0")
        head = write_request_head(method, path, authority, headers, body)
        self._pending = proper_case(head) if self._config.proper_case else head

    def ask_tunnel(self) -> None:
        self._asks_tunnel = True

    def count_bytes(self, wire: WireBytes) -> None:
        self._wire = wire

    def _write(self, data: bytes) -> None:
        self._stats.upstream_cx_tx_bytes_total.value += len(data)
        if self._wire is not None:
            self._wire.upstream_sent += len(data)
        if self._transport is not None:
            self._transport.write(data)

    def send_data(self, data: bytes) -> None:
        if self._body == CHUNKED:
            data = write_chunk(data)
        pending = self._pending
        if pending:
            self._pending = b""
            if len(data) <= _JOIN_LIMIT:
                self._write(pending + data)
                return
            self._write(pending)
        self._write(data)

    def end(self) -> None:
        if self._body == CHUNKED:
            self._write(self._pending + LAST_CHUNK)
            self._pending = b""
        elif self._pending:
            self._write(self._pending)
            self._pending = b""
        self._request_done = True
        transport = self._transport
        if self._tunnel and transport is not None and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the host has gone; the loop does not know yet
                transport.abort()

    def end_with(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._body == CHUNKED and self._config.enable_trailers:
            self._write(self._pending + write_trailers(trailers))
            self._pending = b""
            self._request_done = True
        else:
            self.end()

    def flush(self) -> None:
        if self._pending:
            self._write(self._pending)
            self._pending = b""

    def reset(self) -> None:
        self._stream = None
        self.close()

    def pause(self) -> None:
        if self._transport is not None and not self._paused:
            self._paused = True
            self._stats.upstream_flow_control_paused_reading_total.value += 1
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self._paused:
            self._paused = False
            self._stats.upstream_flow_control_resumed_reading_total.value += 1
            self._transport.resume_reading()

    def unanswered(self) -> bool:
        return not self._heard

    def local_address(self) -> str:
        if not self._local_address and self._transport is not None:
            self._local_address = format_address(*end_of(self._transport, "sockname"))
        return self._local_address

    def tls_info(self) -> TlsInfo | None:
        return self.tls

    # -- the reader's side

    def on_interim(self, head: ResponseHead) -> None:
        if self._stream is not None:
            self._stream.on_interim(head, self._now)

    def on_response(self, head: ResponseHead) -> None:
        self._tunnel = head.body == TUNNEL
        if self._own_key:
            head.headers.remove(ACCEPT)  # the client has not asked
        self._keep_alive = head.keep_alive
        if self._stream is not None:
            self._stream.on_response(head, self._now)

    def on_response_data(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.on_response_data(data, self._now)

    def on_response_end(self) -> None:
        # Acted upon when all that was read at once has been looked at: what stands behind the response must
        # not be taken for the answer to the next request.
        self._response_done = True

    def _release(self, reusable: bool) -> None:
        self._stream = None
        self._wire = None
        if self._paused:
            self.resume()
        self._owner.on_request_over(self, reusable, self._now)
