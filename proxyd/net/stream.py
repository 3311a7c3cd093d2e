"""Where codecs and requests meet: the same small interface whatever protocol version is on either side.

Calls go down (``send_head``, ``send_data``, ``end``, ``reset``, ``pause``, ``resume``), events come
back. Nothing is delivered after an end or a reset.
"""

from mypy_extensions import trait

from proxyd.codec.headers import Headers
from proxyd.codec.messages import RequestHead, ResponseHead
from proxyd.errors import Failure
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import StreamInfo, WireBytes
from proxyd.filters.tls_info import TlsInfo


@trait
class DownstreamStream:
    """One request's way back to the client, as its handler uses it."""

    __slots__ = ()

    def connection_info(self) -> ConnectionInfo:
        raise NotImplementedError

    def count_bytes(self, wire: WireBytes) -> int:
        """Count the connection's bytes there until the response has ended; how many had come before.

        Only where the listener's options have ``counts_wire_bytes``.
        """
        raise NotImplementedError

    def unwritten(self) -> int:
        """How many bytes ``end`` would write if it came now, where that can be said."""
        raise NotImplementedError

    def tell_when_written(self, stream: "Stream") -> bool:
        """Whether it cannot: then ``on_written`` comes when all of the response has been counted.

        To be asked before the last of a response is sent, or it is reset.
        """
        raise NotImplementedError

    def send_interim(self, status: int, items: list[tuple[bytes, bytes]]) -> bool:
        """Send an interim (1xx) response; False where the client would not understand one."""
        raise NotImplementedError

    def begin_tunnel(self) -> None:
        """While a request is told that asks for an upgrade or is a CONNECT: what follows is endless data.

        A ``send_head`` with the framing TUNNEL opens the other way too; after any other response the
        connection ends.
        """
        raise NotImplementedError

    def allow_tunnel(self, allowed: bool) -> None:
        """Whether what goes wrong from now on is the tunnel's failing: neither we nor the host refuse it."""

    def half_close(self) -> None:
        """Nothing more goes to the client; what comes from it still counts. Of a tunnel."""
        raise NotImplementedError

    def send_head(self, status: int, headers: Headers, body: int) -> None:
        """Start the response; ``body`` is a framing constant of ``codec.framing``."""
        raise NotImplementedError

    def send_data(self, data: bytes) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """The response is complete."""
        raise NotImplementedError

    def end_with(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The response is complete, and these fields follow it where the client is to have any."""
        raise NotImplementedError

    def close_after(self) -> None:
        """No further request is to be taken on this connection. Before ``send_head`` the response says so."""
        raise NotImplementedError

    def reset(self) -> None:
        """Break the response off so that the client cannot take it for complete."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close the connection at once."""
        raise NotImplementedError

    def pause(self) -> None:
        """Stop reading the request's body."""
        raise NotImplementedError

    def resume(self) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        """Nothing more follows for now: write what was held back to go out in one piece."""
        raise NotImplementedError

    def set_flush_timeout(self, seconds: float) -> None:
        """How long the client may have what is left of a complete response before it; 0.0: for ever.

        Of HTTP/2, whose streams the next requests need.
        """

    def arm(self, deadline: float) -> None:
        """Call the handler's ``on_deadline`` at ``deadline`` at the latest, unless a later call moves it.

        It may be called early: who has more time then arms again.
        """
        raise NotImplementedError


@trait
class UpstreamStream:
    """One request's way to a host, leased from a pool until its response has ended."""

    __slots__ = ()

    def send_head(self, method: bytes, path: bytes, authority: bytes, headers: Headers, body: int) -> None:
        raise NotImplementedError

    def count_bytes(self, wire: WireBytes) -> None:
        """Count the connection's bytes there until the response has ended."""
        raise NotImplementedError

    def ask_tunnel(self) -> None:
        """Before ``send_head``: the request asks for an upgrade, or is a CONNECT.

        Where the host accepts, its response has the framing TUNNEL, ``send_data`` takes what is to go
        through it, and ``end`` closes this half.
        """
        raise NotImplementedError

    def send_data(self, data: bytes) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """The request is complete."""
        raise NotImplementedError

    def end_with(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The request is complete, and these fields follow it where the host is to have any."""
        raise NotImplementedError

    def reset(self) -> None:
        """Give the stream up; no further event comes from it."""
        raise NotImplementedError

    def pause(self) -> None:
        """Stop reading the response's body."""
        raise NotImplementedError

    def resume(self) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        """Nothing more follows for now: write what was held back to go out in one piece."""
        raise NotImplementedError

    def unanswered(self) -> bool:
        """No byte has come from the host since the request was sent, on a connection that was good before."""
        raise NotImplementedError

    def local_address(self) -> str:
        """``ip:port`` of this side of the connection."""
        raise NotImplementedError

    def tls_info(self) -> TlsInfo | None:
        """What is known of the connection's TLS; None where it has none."""
        raise NotImplementedError


class Stream(StreamInfo):
    """One request as both codecs see it. ``now`` is the monotonic clock at the event."""

    __slots__ = ()

    # -- from downstream

    def on_request(self, head: RequestHead, now: float) -> None:
        raise NotImplementedError

    def on_request_failure(self, failure: Failure, now: float) -> None:
        """The request cannot be read (any further); comes in place of ``on_request`` or of its end."""
        raise NotImplementedError

    def on_request_data(self, data: bytes, now: float) -> None:
        raise NotImplementedError

    def on_request_end(self, now: float) -> None:
        raise NotImplementedError

    def on_request_flush(self) -> None:
        """All that was read at once has been delivered."""

    def on_downstream_reset(self, failure: Failure, now: float) -> None:
        """The client has gone or does not want it any more; nothing can be sent."""
        raise NotImplementedError

    def on_downstream_blocked(self) -> None:
        """More than the buffer limit waits to be written to the client."""

    def on_downstream_writable(self) -> None:
        """The client has taken enough of it."""

    def on_deadline(self, now: float) -> None:
        """A deadline given to ``DownstreamStream.arm`` may have passed."""

    def on_written(self) -> None:
        """All bytes of the response have been counted, as ``tell_when_written`` has promised."""

    def on_bug(self) -> None:
        """An exception that nobody expected has met this request: give both sides up."""
        raise NotImplementedError

    # -- from upstream

    def on_upstream_ready(self, upstream: UpstreamStream, reused: bool, now: float) -> None:
        """A lease that had to wait is granted."""
        raise NotImplementedError

    def on_upstream_failure(self, failure: Failure, reason: str, now: float) -> None:
        """No connection could be had, or the one in use died; ``reason`` is the system's word for it."""
        raise NotImplementedError

    def on_interim(self, head: ResponseHead, now: float) -> None:
        """An interim (1xx) response has come."""

    def on_response(self, head: ResponseHead, now: float) -> None:
        raise NotImplementedError

    def on_response_data(self, data: bytes, now: float) -> None:
        raise NotImplementedError

    def on_response_end(self, now: float) -> None:
        raise NotImplementedError

    def on_tunnel_closing(self, now: float) -> None:
        """The host sends nothing more through the tunnel, but may still take."""

    def on_response_flush(self) -> None:
        """All that was read at once has been delivered."""

    def on_upstream_blocked(self) -> None:
        """More than the buffer limit waits to be written to the host."""

    def on_upstream_writable(self) -> None:
        """The host has taken enough of it."""


@trait
class StreamFactory:
    """Makes the handler of each request of a connection."""

    def new_stream(self, downstream: DownstreamStream) -> Stream:
        raise NotImplementedError
