"""A CONNECT that ends here: what goes through its tunnel reaches the host as bare bytes.

Envoy: config.route.v3.RouteAction.UpgradeConfig.connect_config. The host hears nothing of the request; it is
connected to, and then the client is answered.
"""

import time
from typing import Final

from proxyd.codec.framing import TUNNEL
from proxyd.codec.headers import Headers
from proxyd.codec.messages import ResponseHead
from proxyd.errors import CONNECT_FAILED, CONNECT_TIMEOUT, UPSTREAM_CLOSED, UPSTREAM_OVERFLOW
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import WireBytes
from proxyd.filters.tls_info import TlsInfo
from proxyd.net.addresses import proxy_header
from proxyd.net.cluster import Cluster, Host
from proxyd.net.stream import Stream, UpstreamStream
from proxyd.net.tcp_upstream import TcpUpstream, TcpUpstreamUser


class TerminatedConnect(UpstreamStream, TcpUpstreamUser):
    """One connection for one request, which has it from the beginning of connecting on."""

    __slots__ = ("_cluster", "_ended", "_preface", "_stream", "_tcp", "_wire")

    def __init__(
        self, cluster: Cluster, host: Host, stream: Stream, info: ConnectionInfo, proxy_protocol: int
    ) -> None:
        """``proxy_protocol`` is the version of the PROXY header that the route wants sent, 0 for none."""
        self._cluster: Final = cluster
        self._stream: Stream | None = stream
        self._tcp: Final = TcpUpstream(cluster, host, self, info)
        self._preface: Final = proxy_header(proxy_protocol, info)
        self._ended: bool = False  # the client sends nothing more
        self._wire: WireBytes | None = None

    def connect(self, now: float) -> None:
        """Begin; where a limit is reached the request hears of it before this returns."""
        cluster = self._cluster
        stats = cluster.stats
        if cluster.connections >= cluster.config.max_connections:
            stats.upstream_cx_overflow.value += 1
        elif cluster.pending >= cluster.config.max_pending_requests:
            stats.upstream_rq_pending_overflow.value += 1
        else:
            self._tcp.connect()
            return
        stream = self._let_go()
        if stream is not None:
            stream.on_upstream_failure(UPSTREAM_OVERFLOW, "", now)

    def _let_go(self) -> Stream | None:
        stream = self._stream
        self._stream = None
        return stream

    # -- TcpUpstreamUser

    def on_upstream_connected(self, upstream: TcpUpstream, now: float) -> None:
        stream = self._stream
        if stream is None:
            return
        stream.on_upstream_ready(self, False, now)
        if self._stream is not None:
            head = ResponseHead(Headers())
            head.status = 200
            head.body = TUNNEL
            stream.on_response(head, now)

    def on_connect_failure(self, upstream: TcpUpstream, reason: str, now: float) -> None:
        stream = self._let_go()
        if stream is not None:
            stream.on_upstream_failure(CONNECT_FAILED if reason else CONNECT_TIMEOUT, reason, now)

    def on_upstream_data(self, data: bytes) -> None:
        stream = self._stream
        if stream is not None:
            if self._wire is not None:
                self._wire.upstream_received += len(data)
            stream.on_response_data(data, time.monotonic())
            stream.on_response_flush()

    def on_upstream_eof(self) -> None:
        stream = self._stream
        if stream is not None:
            stream.on_tunnel_closing(time.monotonic())

    def on_upstream_lost(self, reset: bool, now: float) -> None:
        stream = self._let_go()
        if stream is not None:
            stream.on_upstream_failure(UPSTREAM_CLOSED, "", now)  # as in Envoy, reset or not

    def on_upstream_blocked(self) -> None:
        if self._stream is not None:
            self._stream.on_upstream_blocked()

    def on_upstream_writable(self) -> None:
        if self._stream is not None:
            self._stream.on_upstream_writable()

    def on_bug(self) -> None:
        stream = self._let_go()
        self._tcp.abort()
        if stream is not None:
            stream.on_bug()

    # -- UpstreamStream

    def send_head(self, method: bytes, path: bytes, authority: bytes, headers: Headers, body: int) -> None:
        if self._preface:
            self.send_data(self._preface)

    def count_bytes(self, wire: WireBytes) -> None:
        self._wire = wire

    def ask_tunnel(self) -> None:
        """It is one."""

    def send_data(self, data: bytes) -> None:
        if self._wire is not None:
            self._wire.upstream_sent += len(data)
        self._tcp.write(data)

    def end(self) -> None:
        self._ended = True
        self._tcp.write_eof()

    def end_with(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """A tunnel has none."""
        self.end()

    def reset(self) -> None:
        self._stream = None
        # What came of a client that has ended still goes to the host.
        if not self._ended or not self._tcp.close(self._cluster.config.connect_timeout, True):
            self._tcp.abort()

    def pause(self) -> None:
        self._tcp.pause()

    def resume(self) -> None:
        self._tcp.resume()

    def flush(self) -> None:
        """Everything is written as it comes."""

    def unanswered(self) -> bool:
        return False

    def local_address(self) -> str:
        return self._tcp.local_address()

    def tls_info(self) -> TlsInfo | None:
        return self._tcp.tls
