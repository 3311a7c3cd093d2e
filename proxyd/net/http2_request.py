"""One request of an HTTP/2 client: what an exchange knows of its stream."""

from typing import TYPE_CHECKING, Final

from proxyd.codec.framing import LENGTH, TUNNEL, parse_length
from proxyd.codec.headers import Headers
from proxyd.codec.http2 import CONNECT_ERROR
from proxyd.codec.messages import AUTHORITY_BYTES, RequestHead
from proxyd.errors import INVALID_AUTHORITY
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import WireBytes
from proxyd.net.http2_stream import Http2Stream
from proxyd.net.stream import DownstreamStream, Stream
from proxyd.net.timers import NEVER

if TYPE_CHECKING:
    from proxyd.net.http2_downstream import Http2Downstream

_HOP_FIELDS: Final = (b"connection", b"upgrade")
_STATUSES: Final[dict[int, tuple[bytes, bytes]]] = {}


def _status_field(status: int) -> tuple[bytes, bytes]:
    field = _STATUSES.get(status)
    if field is None:
        field = _STATUSES[status] = (b":status", b"%03d" % status)
    return field


class Http2Request(Http2Stream, DownstreamStream):
    """One stream: a request, and the way back to its client."""

    __slots__ = (
        "_client", "_head_sent", "_to_head", "_tunnels", "born", "deadline", "flush_timeout",
        "handler", "head", "request_done",
    )  # fmt: skip

    def __init__(self, client: "Http2Downstream", stream_id: int, now: float) -> None:
        super().__init__(client, stream_id)
        self._client: Final = client
        self.born: Final = now
        self.head: RequestHead | None = None
        self.handler: Stream | None = None
        self.request_done: bool = True
        self.deadline: float = NEVER
        self.flush_timeout: float = -1.0  # -1.0: as for all of the connection
        self._to_head: bool = False
        self._tunnels: bool = False
        self._head_sent: bool = False

    # -- the connection's side

    def begin(self, head: RequestHead, handler: Stream, now: float) -> None:
        """Hand the request over."""
        self.handler = handler
        self.head = head
        self._to_head = head.method == b"HEAD"
        if head.authority.translate(None, AUTHORITY_BYTES):
            handler.on_request_failure(INVALID_AUTHORITY, now)
        else:
            handler.on_request(head, now)

    def expect_body(self, head: RequestHead) -> None:
        """The client has not ended the request with its head."""
        self.request_done = False
        if head.body == LENGTH:
            self.left = parse_length(head.headers.get(b"content-length") or b"")

    def add_trailers(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The request ends with these."""
        if self.head is not None and trailers:
            self.head.trailers = trailers

    def take(self, data: bytes, now: float) -> bool:
        """A part of the body; False where it is more than was announced."""
        count = len(data)
        if not self.is_within_length(count):
            return False
        handler = self.handler
        if handler is not None:
            handler.on_request_data(data, now)
        self.received(count)
        return True

    def end_request(self, now: float) -> bool:
        """The client has ended; False where it has announced more."""
        if self.left > 0:
            return False
        self.request_done = True
        handler = self.handler
        if handler is not None:
            handler.on_request_end(now)
        return True

    def lose(self) -> Stream | None:
        """The client wants it no more; the handler, if it is to be told."""
        handler = self.handler
        self.handler = None
        self._let_go()
        return handler

    def _let_go(self) -> None:
        self.stop_sending()
        self.deadline = NEVER
        self._paused = False
        self.give_back()

    @property
    def answering(self) -> bool:
        """The client has been sent, or is about to be sent, a part of the response."""
        return self._head_sent or self._fields is not None

    def reset_code(self, usual: int) -> int:
        """With what code to reset it; RFC 9113 section 8.5 has one for a tunnel whose host is lost."""
        return CONNECT_ERROR if self._tunnels else usual

    # -- Http2Stream

    def send_fields(self, fields: list[tuple[bytes, bytes]], end: bool) -> None:
        self._head_sent = True
        self._client.send_headers(self.stream_id, fields, end)

    def on_blocked(self) -> None:
        if self.handler is not None:
            self.handler.on_downstream_blocked()

    def on_writable(self) -> None:
        if self.handler is not None:
            self.handler.on_downstream_writable()

    # -- the handler's side

    def connection_info(self) -> ConnectionInfo:
        return self._client.info

    def count_bytes(self, wire: WireBytes) -> int:
        return self._client.count_bytes(self.stream_id, wire)

    def unwritten(self) -> int:
        return 0

    def tell_when_written(self, stream: Stream) -> bool:
        return not self.done and self._client.tell_when_written(self.stream_id, stream)

    def send_interim(self, status: int, items: list[tuple[bytes, bytes]]) -> bool:
        if self.done or self.answering:
            return False
        self._client.send_interim(self.stream_id, [_status_field(status), *items])
        return True

    def begin_tunnel(self) -> None:
        self.request_done = False

    def allow_tunnel(self, allowed: bool) -> None:
        self._tunnels = allowed

    def half_close(self) -> None:
        self.submit(True)

    def send_head(self, status: int, headers: Headers, body: int) -> None:
        items = headers.items
        if body == TUNNEL:
            if status == 101:
                status = 200  # RFC 8441 section 4
            items = [item for item in items if item[0] not in _HOP_FIELDS]
        self._fields = [_status_field(status), *items]
        self._client.on_response_head(self)

    def send_data(self, data: bytes) -> None:
        if data and not self._to_head:
            self.queue_data(data)

    def end(self) -> None:
        if not self.done:
            self.submit(True)
            self._ended()

    def end_with(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if not trailers or self._to_head:
            self.end()
        elif not self.done:
            self.submit_trailers(trailers)
            self._ended()

    def _ended(self) -> None:
        self.handler = None
        self._let_go()
        self._client.on_response_end(self)

    def close_after(self) -> None:
        """The connection goes on: what is wrong with one stream is its own affair."""

    def reset(self) -> None:
        self.handler = None
        if not self.done:
            self._let_go()
            self._client.break_off(self)

    def abort(self) -> None:
        self.reset()

    def set_flush_timeout(self, seconds: float) -> None:
        self.flush_timeout = seconds

    def arm(self, deadline: float) -> None:
        self.deadline = deadline
        self._client.arm_at(deadline)
